"""How long accepted requests wait under ten times the load that can be kept, beside half of that load.

A collector with a small journal in front of a sink that takes its time: what it can keep is what the sink takes. Then
half of that is offered, and ten times as much: nearly all is refused and told to come again. Latency is that of the
attempt that was taken, from its first byte to its answer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from headgate.cli.bench.ingest import Bench, peak_rss_bytes
from headgate.cli.bench.load import Load
from headgate.cli.children import Children
from headgate.cli.ending import stop_on_signals
from headgate.collector.signals import Signal

JOURNAL_BYTES = 24 << 20
SINK_S = 0.2
"""What each insert takes the sink."""

SPANS = 512
CONNECTIONS = 16


def measure(protocol: str, seconds: float) -> dict[str, dict[str, Any]]:
    """Return what the load reports of all it can get in, of half of that, and of ten times that, offered."""
    with (
        stop_on_signals() as stop,
        tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory,
        Children(Path(directory), stop) as children,
    ):
        bench = Bench(Path(directory), children, seconds)
        data = Path(directory) / "data"
        config = Path(directory) / "config.json"
        config.write_text(
            json.dumps({"journal_bytes": JOURNAL_BYTES, "sampling": {"enabled": False}})
        )
        store = f"{bench.sink(SINK_S)}/headgate"
        collector, addresses = children.start_collector(
            data, "--config", str(config), "--store", store
        )
        load = Load(
            protocol, addresses[f"otlp_{protocol}"], Signal.TRACES, SPANS, CONNECTIONS, seconds
        )
        found = {"all it keeps": bench.load(load)}
        kept = found["all it keeps"]
        kept_per_s = kept["requests"] / kept["seconds"]
        bench.stored(collector, data)
        found["half of that"] = bench.load(replace(load, rate_per_s=kept_per_s / 2))
        bench.stored(collector, data)
        found["ten times that"] = bench.load(replace(load, tries_per_s=10 * kept_per_s))
        bench.stored(collector, data)
        for each in found.values():
            each["peak_rss_bytes"] = peak_rss_bytes(collector.process.pid)
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each load is offered")
    options = parser.parse_args()
    found = {protocol: measure(protocol, options.seconds) for protocol in ("http", "grpc")}
    if options.format == "json":
        print(json.dumps(found, indent=2))
        return
    table = Table(title="Acknowledgement of what was taken")
    for name in ("offered", "taken/s", "refused/s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="left" if name == "offered" else "right")
    for protocol, loads in found.items():
        for offered, said in loads.items():
            table.add_row(
                f"{protocol}, {offered}",
                f"{said['requests'] / said['seconds']:.0f}",
                f"{said['refused'] / said['seconds']:.0f}",
                f"{said['ack_p50_ms']:.1f}",
                f"{said['ack_p99_ms']:.1f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
