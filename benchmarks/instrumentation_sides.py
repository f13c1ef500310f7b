"""Requests under our distribution and under OpenTelemetry's, side by side; `instrumentation.py` prints them.

Two processes of one program differ by some per cent in where their memory lies, whatever the number of
requests. So all sides are started many times, each start gives one ratio of the quantiles of all its
requests, and their mean counts, with its standard error. On a busy machine that takes many starts: a
second ratio is that of one process with what our package does in a request, and without it by turns.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Side:
    """One way to run the application: under a distribution, or under none."""

    distro: str = ""
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


# OpenTelemetry alone is without what our package brings, though it is installed.
ALONE = (("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "headgate_boundaries,headgate_logging"),)
PLAIN = Side("distro", environment=ALONE)
OURS = Side("headgate")
NONE = Side()
FEW = Side("distro", ("few",), ALONE)
MANY = Side("headgate", environment=(("HEADGATE_ASGI_SPANS", "true"),))
SIDES = {
    "flask": {"none": NONE, "plain": PLAIN, "ours": OURS},
    "fastapi": {"none": NONE, "plain": PLAIN, "ours": OURS, "few": FEW, "many": MANY},
}
RATIOS = {
    "flask": [
        ("flask request", "ours", "plain"),
        ("flask request, one process", "ours", "ours without"),
    ],
    "fastapi": [
        ("fastapi request", "ours", "plain"),
        ("fastapi, send/receive spans off", "ours", "few"),
        ("fastapi, send/receive spans on", "many", "plain"),
        ("the same, off, one process", "ours", "ours without"),
        ("the same, on, one process", "many", "many without"),
    ],
}
START_S = 3.0
"""How long the sides of one start take turns."""
REQUESTS = "25"


def application(kind: str, side: Side, address: str) -> subprocess.Popen[str]:
    """Start a child that serves requests to itself."""
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OTEL_", "HEADGATE_"))
        },
        "OTEL_PYTHON_DISTRO": side.distro,
        "OTEL_PYTHON_CONFIGURATOR": side.distro.replace("distro", "configurator"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "benchmark",
        # Batching alike, so that the exporters' threads disturb alike.
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
        "OTEL_BSP_MAX_QUEUE_SIZE": "8192",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "8192",
        "HEADGATE_USER_FROM": "cookie:uid",
        "HEADGATE_SESSION_FROM": "cookie:sid",
        # Another order of hashing is another program.
        "PYTHONHASHSEED": "0",
        **dict(side.environment),
    }
    wrapper = [str(BIN / "opentelemetry-instrument")] if side.distro else []
    script = str(HERE / "instrumentation_request.py")
    child = subprocess.Popen(
        [*wrapper, sys.executable, script, kind, *side.arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if ask(child) != "ready":
        raise SystemExit(f"The {kind} application did not start: install Flask and FastAPI.")
    return child


def ask(child: subprocess.Popen[str], text: str = "") -> str:
    """Write `text` to a child and return the line that it answers."""
    if text and child.stdin is not None:
        child.stdin.write(text + "\n")
        child.stdin.flush()
    return child.stdout.readline().strip() if child.stdout is not None else ""


SINK = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


Times = dict[str, dict[str, list[int]]]
"""What each side's requests took, by clock, in nanoseconds."""


def serve(kind: str, address: str, chance: random.Random) -> Times:
    """Start every side once and let them take turns."""
    children = {name: application(kind, side, address) for name, side in SIDES[kind].items()}
    order = [*children, *(f"{name} without" for name in ("ours", "many") if name in children)]
    found: Times = {name: {"cpu": [], "wall": []} for name in order}
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        # By chance, because a process that has just served is faster: none may always be the second.
        chance.shuffle(order)
        for turn in order:
            name, *without = turn.split()
            asked = " ".join([*without, REQUESTS])
            for clock, times in json.loads(ask(children[name], asked)).items():
                found[turn][clock] += times
    for child in children.values():
        child.kill()
        child.communicate()
    return found


def quantile(times: list[int], part: float) -> int:
    """Return a quantile of what requests took."""
    return sorted(times)[int(len(times) * part)]


def compare(kind: str, seconds: float) -> Iterator[tuple[str, float, float, str, str]]:
    """Yield what a request costs under our distribution against OpenTelemetry's: name, value, limit, detail, unit."""
    sink = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{ask(sink)}"
    starts = max(2, round(seconds / START_S))
    chance = random.Random(0)
    found = [serve(kind, address, chance) for _ in range(starts)]
    sink.kill()
    sink.communicate()
    for name, ours, plain in RATIOS[kind]:
        for label, part in (("p50", 0.5), ("p95", 0.95)):
            ratios = {
                clock: [
                    quantile(each[ours][clock], part) / quantile(each[plain][clock], part)
                    for each in found
                ]
                for clock in ("cpu", "wall")
            }
            error = statistics.stdev(ratios["cpu"]) / starts**0.5
            spent = statistics.mean(quantile(each[ours]["cpu"], part) for each in found) / 1e3
            wall = statistics.mean(ratios["wall"])
            detail = f"+- {error:.3f} of {starts} starts; {spent:.0f} us of CPU; by the clock {wall:.3f} x"
            yield f"{name} {label} / plain", statistics.mean(ratios["cpu"]), 1.05, detail, "x"
    added = statistics.mean(
        (quantile(each["ours"]["wall"], 0.95) - quantile(each["none"]["wall"], 0.95)) / 1e6
        for each in found
    )
    yield f"{kind} request p95: added", added, 5.0, "REQ-CAP-19, by the clock", "ms"
