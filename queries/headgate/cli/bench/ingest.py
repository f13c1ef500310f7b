"""Measure what an item costs the collector, from the socket to the store, case by case.

A case is a protocol, a sink, a signal and a size of requests. Each has a collector of its own (`headgate serve`) and a
load in a process of its own. First the collector gets as much as it acknowledges, which gives the CPU an item costs,
counted from the first request until everything is stored; then half of that rate, which gives the latency. The floor
is measured meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate.cli.bench.baseline import Floor, obvious_us
from headgate.cli.bench.load import Load
from headgate.cli.children import ChildFailed
from headgate.collector.signals import Signal
from headgate.store import embedded_store, migrate, server_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from headgate.cli.children import Child, Children
    from headgate.store import Store

DRAIN_S = 120.0
"""How long the collector may take to store what it acknowledged."""

_POLL_S = 0.1
_CONNECTIONS = 4
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: `items` items a request, `http` or `grpc`, into `drain` or `embedded`, `share` of it kept."""

    protocol: str
    sink: str
    signal: Signal
    items: int
    share: float = 1.0

    @property
    def name(self) -> str:
        """How a case is called."""
        sampled = f"/sampled-{self.share:g}" if self.share < 1 else ""
        return f"{self.protocol}/{self.sink}/{self.signal}/{self.items}{sampled}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the collector: far above the threshold at once, or without sampling."""
        if self.share == 1:
            return {"sampling": {"enabled": False}}
        law = {"low": 1, "high": 2, "rate": self.share, "rows": 1e12}
        return {"sampling": {"traces": law, "logs": law}}


CASES = (
    Case("http", "drain", Signal.TRACES, 512),
    Case("grpc", "drain", Signal.TRACES, 512),
    Case("http", "drain", Signal.TRACES, 50),
    Case("http", "drain", Signal.TRACES, 8192),
    Case("http", "drain", Signal.LOGS, 512),
    Case("http", "drain", Signal.METRICS, 512),
    Case("http", "embedded", Signal.TRACES, 512),
    Case("http", "embedded", Signal.TRACES, 512, 0.1),
    Case("grpc", "embedded", Signal.TRACES, 512),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a case cost; CPU is user and system time of the collector process, ratios are of items per CPU-second.

    `disk_bytes_per_item` is the size of the embedded store, merged or not; None with a sink that keeps nothing.
    """

    protocol: str
    sink: str
    signal: str
    items_per_request: int
    kept_share: float
    bytes_per_item: float
    items: int
    items_per_cpu_s: float
    cpu_us_per_item: float
    floor_us_per_item: float
    obvious_us_per_item: float
    ratio_to_floor: float
    ratio_to_obvious: float
    wall_items_per_s: float
    peak_rss_bytes: int
    ack_p50_ms: float
    ack_p99_ms: float
    busy_ack_p99_ms: float
    refused: int
    disk_bytes_per_item: float | None


class Bench:
    """Runs cases, each in a directory of its own below `directory`."""

    def __init__(self, directory: Path, children: Children, seconds: float) -> None:
        self._directory = directory
        self._children = children
        self._seconds = seconds
        self._obvious: dict[tuple[str, Signal, int], float] = {}
        self._embedded: Store | None = None
        self._sink_url: str | None = None

    def run(self, cases: Iterable[Case], say: Callable[[str], None]) -> Iterator[Result]:
        """Measure the cases, one after the other; raises ChildFailed or Interrupted."""
        for case in cases:
            say(f"{case.name}: the obvious way")
            obvious = self._obvious_us(case)
            yield self._run(case, obvious, say)

    def sink(self, pause_s: float = 0.0) -> str:
        """Start the draining sink on first use, each insert taking so long, and return its address."""
        if self._sink_url is None:
            command = (
                sys.executable,
                "-m",
                "headgate.cli.bench.sink",
                str(self._directory / "sink"),
                str(pause_s),
            )
            child = self._children.start("draining sink", command, os.environ)
            port = ""

            def ready() -> bool:
                nonlocal port
                port = child.log.read_text().strip()
                return port.isdigit()

            self._children.wait(child, "listened", ready)
            self._sink_url = f"http://127.0.0.1:{port}"
        return self._sink_url

    def _obvious_us(self, case: Case) -> float:
        key = (case.sink, case.signal, case.items)
        if key not in self._obvious:
            if case.sink == "drain":
                store = server_store(f"{self.sink()}/headgate")
                migrate(store)
            else:
                if self._embedded is None:
                    self._embedded = embedded_store(self._directory / "obvious")
                    migrate(self._embedded)
                store = self._embedded
            self._obvious[key] = obvious_us(case.signal, case.items, store)
        return self._obvious[key]

    def _run(self, case: Case, obvious: float, say: Callable[[str], None]) -> Result:
        data = self._directory / case.name.replace("/", "-").replace(".", "")
        config = data.with_suffix(".json")  # which YAML reads too
        config.write_text(json.dumps(case.settings), encoding="utf-8")
        options = ["--config", str(config)]
        if case.sink == "drain":
            options += ["--store", f"{self.sink()}/headgate"]
        say(f"{case.name}: starting a collector")
        collector, addresses = self._children.start_collector(data, *options)
        load = Load(
            protocol=case.protocol,
            address=addresses[f"otlp_{case.protocol}"],
            signal=case.signal,
            items=case.items,
            connections=_CONNECTIONS,
            seconds=self._seconds,
        )
        say(f"{case.name}: as much as it takes, {self._seconds:.0f} s")
        before = cpu_s(collector.process.pid)
        floor = Floor(case.signal, case.items)
        busy = self.load(load, floor.sample)
        self.stored(collector, data)
        cpu = cpu_s(collector.process.pid) - before
        size = disk_bytes(data / "clickhouse") if case.sink == "embedded" else None
        say(f"{case.name}: half of that, {self._seconds:.0f} s")
        rate_per_s = busy["requests"] / busy["seconds"] / 2
        half = self.load(Load(**{**asdict(load), "rate_per_s": rate_per_s}))
        self.stored(collector, data)
        peak = peak_rss_bytes(collector.process.pid)
        self._children.finish(collector)
        items = busy["requests"] * case.items
        cost = cpu / items * 1e6
        return Result(
            protocol=case.protocol,
            sink=case.sink,
            signal=case.signal,
            items_per_request=case.items,
            kept_share=case.share,
            bytes_per_item=busy["bytes"] / items,
            items=items,
            items_per_cpu_s=items / cpu,
            cpu_us_per_item=cost,
            floor_us_per_item=floor.us,
            obvious_us_per_item=obvious,
            ratio_to_floor=floor.us / cost,
            ratio_to_obvious=obvious / cost,
            wall_items_per_s=items / busy["seconds"],
            peak_rss_bytes=peak,
            ack_p50_ms=half["ack_p50_ms"],
            ack_p99_ms=half["ack_p99_ms"],
            busy_ack_p99_ms=busy["ack_p99_ms"],
            refused=busy["refused"] + half["refused"],
            disk_bytes_per_item=size and size / items,
        )

    def load(self, load: Load, meanwhile: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Run a load in a process of its own, doing something meanwhile again and again; return what it says."""
        command = (sys.executable, "-m", "headgate.cli.bench.load", json.dumps(asdict(load)))
        child = self._children.start("load", command, os.environ)

        def ended() -> bool:
            meanwhile()
            return not child.running()

        self._children.wait(child, "ended", ended)
        self._children.finish(child)
        found: dict[str, Any] = json.loads(child.log.read_text())
        return found

    def stored(self, collector: Child, data: Path) -> None:
        """Wait until the collector has stored and released everything."""
        deadline_s = time.monotonic() + DRAIN_S
        while any((data / "journal").glob("*.journal")):
            collector.check()
            if time.monotonic() > deadline_s:
                raise ChildFailed(f"the collector has not stored everything within {DRAIN_S:.0f} s")
            time.sleep(_POLL_S)


def cpu_s(pid: int) -> float:
    """Return the user and system time of a process, all its threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def peak_rss_bytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def disk_bytes(directory: Path) -> int:
    """Return what the files below a directory take on disk; those that vanish meanwhile, in a merge, take nothing."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(parent, name).stat().st_blocks * 512
    return total
