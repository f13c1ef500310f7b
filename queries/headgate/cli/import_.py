"""`headgate import`: load files of OTLP through a collector, as if they had just been sent."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from headgate.cli.children import ChildFailed, Children
from headgate.cli.ending import INTERRUPTED, Interrupted, Stop, fail, stop_on_signals
from headgate.cli.loading import Tally, load_files
from headgate.cli.sending import Sender, Unreachable
from headgate.collector.errors import Malformed
from headgate.collector.signals import Signal
from headgate.store import default_data_directory, find_server
from headgate.store.server import otlp_url, verification

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

__all__ = ["import_"]

RAW_KEPT_DAYS = 7
"""How long the raw tables keep their rows (the TTL of the `otel_*` tables)."""

SHOWN_PROBLEMS = 10
NAMES = {
    Signal.TRACES: "spans",
    Signal.LOGS: "log records",
    Signal.METRICS: "metric points",
}


def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="OTLP/JSON lines or protobuf; .gz too.")
    ],
    *,
    signal: Annotated[
        Signal | None,
        typer.Option(help="What binary files hold, where that cannot be told from them."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Data directory to load into.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="OTLP/HTTP endpoint to load into: http://host:4318."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="HEADGATE_TOKEN", help="Token for the collector, where it asks for one."
        ),
    ] = None,
) -> None:
    """Load files written by OpenTelemetry file exporters.

    Reads OTLP/JSON lines, whole OTLP/JSON documents, and OTLP protobuf (one request, or many, each
    after its length as the Collector's file exporter writes them), compressed if the name ends in
    .gz. They go through a collector: the one that owns the data directory, else one that is
    started for as long as it takes. Exit code 1 when something in the files was not stored.
    """
    if data and endpoint:
        fail("give either --data DIR or --endpoint URL, not both")
    console = Console()
    begun = time.monotonic()
    old_before_ns = time.time_ns() - RAW_KEPT_DAYS * 86_400 * 10**9
    tally = Tally()
    try:
        total = sum(path.stat().st_size for path in files)
        with (
            stop_on_signals() as stop,
            _collector(data, endpoint, stop) as server,
            _progress(console) as progress,
        ):
            task = progress.add_task("", total=total)
            sender = Sender(
                server["url"],
                stop.sleep,
                compress=endpoint is not None,
                token=token or server.get("token"),
                verify=verification(server),
            )
            for tally in load_files(files, signal, sender.send, old_before_ns, stop):
                description = f"{tally.taken.total():,} items"
                progress.update(task, completed=tally.position, description=description)
            progress.update(task, completed=total)
            sender.close()
    except Interrupted:
        said = f"Stopped before the end. {_sentence(tally, len(files), begun)}"
        console.print(said, soft_wrap=True, highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    except (Malformed, ChildFailed, Unreachable) as error:
        _fail(str(error), tally)
    except OSError as error:
        _fail(f"cannot read {error.filename}: {error.strerror}", tally)
    _show_problems(tally)
    console.print(_sentence(tally, len(files), begun), soft_wrap=True, highlight=False)
    if tally.old:
        console.print(
            f"Older than the {RAW_KEPT_DAYS} days for which raw rows are kept: {tally.old:,}."
            " Reports count these, but their detail goes with the next clean-up.",
            soft_wrap=True,
            highlight=False,
        )
    if tally.problems:
        raise typer.Exit(1)


@contextmanager
def _collector(data: Path | None, endpoint: str | None, stop: Stop) -> Iterator[dict[str, str]]:
    """Give the collector to load into, its OTLP/HTTP address as `url`; one that had to be started ends again."""
    if endpoint:
        yield {"url": endpoint}
        return
    directory = data or default_data_directory(os.environ)
    if server := find_server(directory):
        yield server | {"url": otlp_url(server)}
        return
    with (
        tempfile.TemporaryDirectory(prefix="headgate-import-") as logs,
        Children(Path(logs), stop) as children,
    ):
        collector, addresses = children.start_collector(directory)
        yield addresses | {"url": otlp_url(addresses)}
        children.finish(collector)


def _progress(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _fail(message: str, tally: Tally) -> NoReturn:
    """End with a sentence, and with what was loaded before if anything was."""
    before = f" Before that, {_counts(tally.taken)} were loaded." if tally.taken.total() else ""
    fail(f"{message}{before}")


def _show_problems(tally: Tally) -> None:
    for problem in tally.problems[:SHOWN_PROBLEMS]:
        count = f"{problem.count:,} items not stored: " if problem.count else ""
        typer.echo(f"{problem.place}: {count}{problem.message}", err=True)
    more = len(tally.problems) - SHOWN_PROBLEMS
    if more > 0:
        typer.echo(f"... and {more:,} more like these.", err=True)


def _sentence(tally: Tally, files: int, begun: float) -> str:
    """Say what was loaded and what was not."""
    seconds = time.monotonic() - begun
    rejected = f"; rejected {_counts(tally.rejected)}" if tally.rejected.total() else ""
    unread = sum(not problem.count for problem in tally.problems)
    damaged = f"; skipped {_counted(unread, 'damaged parts')}" if unread else ""
    loaded = f"Loaded {_counts(tally.taken)} from {_counted(files, 'files')}"
    return f"{loaded} in {seconds:.1f} s{rejected}{damaged}."


def _counts(counter: Counter[Signal]) -> str:
    """Name counts in words, as in `2 spans, 1 log record`."""
    named = [_counted(counter[signal], name) for signal, name in NAMES.items() if counter[signal]]
    return ", ".join(named) or "nothing"


def _counted(count: int, plural: str) -> str:
    return f"{count:,} {plural if count != 1 else plural[:-1]}"
