"""What `headgate-instrumentation` costs an application, as ratios within one run.

    python benchmarks/instrumentation.py [--seconds 60]

The two sides of each ratio take turns, so that a busy machine slows both. Calls are compared by their
smallest times; imports by CPU time; requests by the CPU time of the thread that serves, because by the
clock a shared machine measures its neighbours: each turn's quantile is divided by the other side's
in the same round, and the median of the rounds is shown with its standard error, over several starts of
all processes, because two processes of one program differ by some per cent too. Exit code 1 if a ratio
is above its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from headgate.instrumentation import telemetry, track
from headgate.instrumentation.processors import install
from headgate.instrumentation.recorder import Host
from headgate.instrumentation.switch import switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent


class Discard(SpanExporter):
    """Takes spans and forgets them: the exporter is the same on both sides."""

    def export(self, spans):  # noqa: ARG002
        """Accept everything."""
        return SpanExportResult.SUCCESS


def provider() -> TracerProvider:
    """Return an SDK as an application has it."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(Discard(), max_queue_size=1 << 16))
    return made


def nothing(first=None):
    """Do nothing: the function whose overhead is all that is measured."""


def turns(sides: dict[str, Callable[[int], None]], calls: int, seconds: float) -> dict[str, float]:
    """Return the smallest time of a call on each side, in nanoseconds."""
    best = dict.fromkeys(sides, float("inf"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, run in sides.items():
            began = time.perf_counter_ns()
            run(calls)
            best[name] = min(best[name], (time.perf_counter_ns() - began) / calls)
    return best


def measure_calls(seconds: float) -> list[dict[str, object]]:
    """Compare a tracked call with a bare span, and an untracked one with a bare call."""
    tracer = provider().get_tracer("benchmark")
    tracked = track(nothing)

    def bare_span(calls):
        for _ in range(calls):
            with tracer.start_as_current_span("nothing"):
                nothing()

    def tracked_call(calls):
        for _ in range(calls):
            tracked()

    def bare_call(calls):
        for _ in range(calls):
            nothing()

    off = turns({"bare": bare_call, "off": tracked_call}, 20_000, seconds)
    ours = provider()
    install(ours, get_logger_provider())
    switch.turn("otel", "a benchmark")
    # No global provider is set, so that the bare span keeps its own.
    telemetry._state.recorder = Host(ours, get_logger_provider())  # noqa: SLF001
    telemetry._state.generation = switch.generation  # noqa: SLF001
    on = turns({"bare": bare_span, "tracked": tracked_call}, 500, seconds)
    return [
        result(
            "tracked call / bare span",
            on["tracked"] / on["bare"],
            1.15,
            f"{on['tracked'] / 1e3:.1f} us",
        ),
        result(
            "off: added to a call",
            (off["off"] - off["bare"]) / 1e3,
            0.1,
            f"{off['off']:.0f} ns",
            "us",
        ),
    ]


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
    "flask": [("flask request", "ours", "plain")],
    "fastapi": [
        ("fastapi request", "ours", "plain"),
        ("fastapi, send/receive spans off", "ours", "few"),
        ("fastapi, send/receive spans on", "many", "plain"),
    ],
}
STARTS = 4
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


Round = dict[str, dict[str, list[int]]]
"""What each side needed in one round: by clock, its p50 and p95 in nanoseconds."""


def rounds(kind: str, address: str, seconds: float) -> Iterator[Round]:
    """Start every side once and let them take turns, in an order that rotates."""
    children = {name: application(kind, side, address) for name, side in SIDES[kind].items()}
    order = list(children)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield {name: json.loads(ask(children[name], REQUESTS)) for name in order}
        order = [*order[1:], order[0]]
    for child in children.values():
        child.kill()
        child.communicate()


def measure_requests(kind: str, seconds: float) -> list[dict[str, object]]:
    """Compare a request under our distribution with one under OpenTelemetry's."""
    sink = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{ask(sink)}"
    found = [each for _ in range(STARTS) for each in rounds(kind, address, seconds / STARTS)]
    sink.kill()
    sink.communicate()
    results = []
    for name, ours, plain in RATIOS[kind]:
        for index, quantile in enumerate(("p50", "p95")):
            cpu = [each[ours]["cpu"][index] / each[plain]["cpu"][index] for each in found]
            wall = [each[ours]["wall"][index] / each[plain]["wall"][index] for each in found]
            error = 1.25 * statistics.stdev(cpu) / len(cpu) ** 0.5
            spent = statistics.median(each[ours]["cpu"][index] for each in found) / 1e3
            detail = f"+- {error:.3f}; {spent:.0f} us of CPU; by the clock {statistics.median(wall):.3f} x"
            results.append(
                result(f"{name} {quantile} / plain", statistics.median(cpu), 1.05, detail)
            )
    added = statistics.median(
        (each["ours"]["wall"][1] - each["none"]["wall"][1]) / 1e6 for each in found
    )
    results.append(
        result(f"{kind} request p95: added", added, 5.0, "REQ-CAP-19, by the clock", "ms")
    )
    return results


def measure_import(seconds: float) -> list[dict[str, object]]:
    """Compare importing all that `opentelemetry-instrument` needs, with and without us."""
    sdk = (
        "import opentelemetry.sdk._configuration, opentelemetry.instrumentation.distro, opentelemetry.propagate, "
        "opentelemetry.exporter.otlp.proto.http.trace_exporter, opentelemetry.exporter.otlp.proto.http._log_exporter, "
        "opentelemetry.exporter.otlp.proto.http.metric_exporter"
    )
    codes = {
        "sdk": sdk,
        "ours": sdk + ", headgate.instrumentation.distro",
        "track": "import headgate.instrumentation",
        "python": "pass",
    }
    best = dict.fromkeys(codes, float("inf"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, code in codes.items():
            child = subprocess.Popen([sys.executable, "-c", code])
            usage = os.wait4(child.pid, 0)[2]
            child.returncode = 0
            best[name] = min(best[name], usage.ru_utime + usage.ru_stime)
    ratio = (best["ours"] - best["python"]) / (best["sdk"] - best["python"])
    alone = (best["track"] - best["python"]) * 1e3
    return [
        result(
            "import / the SDK's own",
            ratio,
            1.1,
            f"`track` alone {alone:.0f} ms, the SDK {(best['sdk'] - best['python']) * 1e3:.0f} ms",
        )
    ]


def result(
    name: str, value: float, limit: float, detail: str, unit: str = "x"
) -> dict[str, object]:
    """Return one line of the report."""
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "limit": limit,
        "ok": value <= limit,
        "detail": detail,
    }


def main() -> int:
    """Measure everything, print a table, and return 1 if a limit is broken."""
    parser = argparse.ArgumentParser(
        description="What headgate-instrumentation costs an application."
    )
    parser.add_argument(
        "--seconds", type=float, default=60, help="time for measuring, all together (default 60)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    part = options.seconds / 10
    results = [
        *measure_calls(part),
        *measure_requests("flask", 2 * part),
        *measure_requests("fastapi", 4 * part),
        *measure_import(2 * part),
    ]
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        for each in results:
            mark = "ok  " if each["ok"] else "OVER"
            print(
                f"{mark} {each['name']:44} {each['value']:7} {each['unit']:2} (limit {each['limit']}) {each['detail']}"
            )
    return 0 if all(each["ok"] for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
