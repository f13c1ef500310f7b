"""What reports and ingestion do to each other: eight people ask different reports while spans come in.

A store with some millions of uses (see `month.py`) is served by `headgate serve`. Spans then come over OTLP/HTTP, from
a process of their own: first as many as are acknowledged, which is the capacity; then at half of that alone; then at
that rate beside clients that ask reports over HTTP, each the next of its list as soon as it has the last.
Compared are the times of acknowledgement and of reports, alone and together; memory is that of the server.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
from month_data import day_sizes, fill
from rich.console import Console
from rich.table import Table

from headgate.cli.bench.ingest import cpu_s, peak_rss_bytes
from headgate.cli.bench.load import Load
from headgate.cli.children import Children
from headgate.cli.ending import stop_on_signals
from headgate.queries import names
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from headgate.cli.children import Child

ITEMS, CONNECTIONS, PATIENCE_S = 512, 4, 300.0
FORMATS = ("json", "html", "table", "csv")


@dataclass
class Asked:
    """What one client was answered: seconds of each report, and what failed."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def prepare(place: Path, days: int, per_day: int) -> None:
    """Fill a store as `headgate serve` expects it below its data directory."""
    store = embedded_store(place / "clickhouse")
    store.create_database()
    migrate(store)
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    fill(store, end, day_sizes(end, days, per_day), 1)
    store.close()


def ask(api: str, reports: list[str], days: int, until_s: float, asked: Asked) -> None:
    """Ask one report after the other, each in another format, until the time is up."""
    with httpx.Client(base_url=api, timeout=PATIENCE_S) as client:
        turn = 0
        while time.monotonic() < until_s:
            name = reports[turn % len(reports)]
            began = time.monotonic()
            question = {"since": f"{days + 1}d", "format": FORMATS[turn % len(FORMATS)]}
            answer = client.get(f"/api/reports/{name}", params=question)
            if answer.status_code != 200:
                asked.failures.append(f"{name}: {answer.status_code} {answer.text[:200]}")
            asked.seconds.setdefault(name, []).append(time.monotonic() - began)
            turn += 1


def begin_asking(
    api: str, clients: int, days: int, seconds: float
) -> tuple[list[threading.Thread], Asked]:
    """Start the clients; each begins its list elsewhere."""
    every = names()
    asked = Asked()
    threads = []
    for number in range(clients):
        start = number * len(every) // clients
        order = [*every[start:], *every[:start]]
        args = (api, order, days, time.monotonic() + seconds, asked)
        threads.append(threading.Thread(target=ask, args=args))
    for thread in threads:
        thread.start()
    return threads, asked


class Phases:
    """The server, and what happens to it in each phase."""

    def __init__(self, children: Children, collector: Child, addresses: dict[str, str]) -> None:
        self._children = children
        self._collector = collector
        self._address = addresses["otlp_http"]
        self.api = f"http://{addresses['api'].removeprefix('http://')}"
        self.found: list[dict[str, Any]] = []

    def run(
        self, name: str, seconds: float, rate_per_s: float | None, clients: int, days: int
    ) -> dict[str, Any]:
        """Send, ask, or both; `rate_per_s` 0 is as many as are taken, None no spans."""
        pid = self._collector.process.pid
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        before = cpu_s(pid)
        threads, asked = begin_asking(self.api, clients, days, seconds)
        sent = {} if rate_per_s is None else self._send(seconds, rate_per_s)
        for thread in threads:
            thread.join()
        if asked.failures:
            raise SystemExit(
                f"{len(asked.failures)} reports failed, the first: {asked.failures[0]}"
            )
        took = [s for each in asked.seconds.values() for s in each] or [0.0]
        found = {
            "phase": name,
            "spans_per_s": round(sent.get("requests", 0) * ITEMS / sent.get("seconds", 1)),
            "ack_p50_ms": round(sent.get("ack_p50_ms", 0), 1),
            "ack_p99_ms": round(sent.get("ack_p99_ms", 0)),
            "refused": sent.get("refused", 0),
            "reports": sum(map(len, asked.seconds.values())),
            "report_p50_s": round(float(np.quantile(took, 0.5)), 2),
            "report_max_s": round(max(took), 1),
            "cpu_s": round(cpu_s(pid) - before),
            "peak_mib": round(peak_rss_bytes(pid) / (1 << 20)),
            "load": round(os.getloadavg()[0], 1),
        }
        self.found.append(found)
        slowest = sorted(asked.seconds.items(), key=lambda item: -max(item[1]))[:4]
        print(name, found, {n: [round(s, 1) for s in each] for n, each in slowest}, file=sys.stderr)
        return sent

    def _send(self, seconds: float, rate_per_s: float) -> dict[str, Any]:
        load = Load("http", self._address, "traces", ITEMS, CONNECTIONS, seconds, rate_per_s)
        command = (sys.executable, "-m", "headgate.cli.bench.load", json.dumps(asdict(load)))
        child = self._children.start("load", command, os.environ)
        self._children.wait(child, "ended", lambda: not child.running())
        self._children.finish(child)
        found: dict[str, Any] = json.loads(child.log.read_text())
        return found


def main() -> None:
    """Make a store, serve it, send and ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--per-day", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each phase lasts")
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity that is sent")
    parser.add_argument("--data", type=Path, help="keep the data here; an earlier run's are used")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with (
        stop_on_signals() as stop,
        tempfile.TemporaryDirectory(prefix="headgate-bench-") as scratch,
        Children(Path(scratch), stop) as children,
    ):
        place = asked.data or Path(scratch) / "data"
        if not place.exists():
            place.mkdir(parents=True)
            with multiprocessing.get_context("spawn").Pool(
                1
            ) as pool:  # the engine belongs to one process
                pool.apply(prepare, (place, asked.days, asked.per_day))
        collector, addresses = children.start_collector(place)
        phases = Phases(children, collector, addresses)
        short = min(asked.seconds, 10.0)
        most = phases.run("as many spans as are taken", short, 0, 0, asked.days)
        rate_per_s = most["requests"] / most["seconds"] * asked.share
        phases.run("spans alone", asked.seconds, rate_per_s, 0, asked.days)
        phases.run("reports alone", asked.seconds, None, asked.clients, asked.days)
        phases.run("both", asked.seconds, rate_per_s, asked.clients, asked.days)
        children.finish(collector)
    if asked.json:
        print(json.dumps(phases.found, indent=2))
        return
    table = Table(*(name.replace("_", " ") for name in phases.found[0]))
    for row in phases.found:
        table.add_row(
            *(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values())
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
