"""`headgate bench`: what ingesting costs on this machine, as ratios within one run."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from headgate.cli.children import ChildFailed, Children
from headgate.cli.ending import INTERRUPTED, Interrupted, fail, stop_on_signals

if TYPE_CHECKING:
    from headgate.cli.bench.ingest import Result

__all__ = ["bench"]


class Subject(StrEnum):
    """What is measured."""

    INGEST = "ingest"


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


def bench(
    _subject: Annotated[Subject, typer.Argument(metavar="ingest", help="What is measured.")],
    *,
    seconds: Annotated[
        float, typer.Option(help="How long each case sends, twice.", min=0.5, max=600)
    ] = 5.0,
    only: Annotated[
        str, typer.Option(metavar="TEXT", help="Only cases whose name has it: http/drain, logs.")
    ] = "",
    output: Annotated[
        Format, typer.Option("--format", help="For people, or a JSON object a case.")
    ] = Format.TABLE,
) -> None:
    """Measure what a span, a log record and a data point cost the collector.

    Sends generated OTLP to collectors of its own, on loopback, into a store that drains and into embedded ones, all in
    a temporary directory; takes about 20 s a case. Ratios are of items per CPU-second: to `opentelemetry-proto` merely
    parsing the same bytes, and to walking its objects and inserting rows. Compare ratios, and those of one run.
    """
    from headgate.cli.bench.ingest import CASES, Bench

    cases = [case for case in CASES if only in case.name]
    if not cases:
        names = ", ".join(case.name for case in CASES)
        raise typer.BadParameter(f"--only {only!r} fits none of: {names}")
    console = Console(stderr=True)
    results: list[Result] = []
    try:
        with (
            stop_on_signals() as stop,
            tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory,
            Children(Path(directory), stop) as children,
            console.status("") as status,
        ):
            for result in Bench(Path(directory), children, seconds).run(cases, status.update):
                results.append(result)
                if output is Format.JSON:
                    sys.stdout.write(json.dumps(asdict(result)) + "\n")
                    sys.stdout.flush()
    except Interrupted:
        raise typer.Exit(INTERRUPTED) from None
    except ChildFailed as error:
        fail(str(error))
    if output is Format.TABLE:
        Console().print(_table(results))


def _table(results: list[Result]) -> Table:
    table = Table(
        title="CPU of the collector from the socket to the store, in us an item", box=SIMPLE
    )
    for name in (
        *("case", "bytes", "CPU", "floor", "of floor", "obvious", "items/s", "RSS MB"),
        *("p50 ms", "p99 ms", "on disk"),
    ):
        table.add_column(name, justify="left" if name == "case" else "right", no_wrap=True)
    for r in results:
        table.add_row(
            f"{r.protocol} {r.sink} {r.signal} {r.items_per_request}"
            + (f", {r.kept_share:.0%} kept" if r.kept_share < 1 else ""),
            f"{r.bytes_per_item:.0f}",
            f"{r.cpu_us_per_item:.2f}",
            f"{r.floor_us_per_item:.2f}",
            f"{r.ratio_to_floor:.2f}",
            f"{r.ratio_to_obvious:.1f} x",
            f"{r.wall_items_per_s:,.0f}",
            f"{r.peak_rss_bytes / 1e6:.0f}",
            f"{r.ack_p50_ms:.1f}",
            f"{r.ack_p99_ms:.0f}",
            "" if r.disk_bytes_per_item is None else f"{r.disk_bytes_per_item:.0f}",
        )
    return table
