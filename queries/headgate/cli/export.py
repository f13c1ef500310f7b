"""`headgate export`: rows as a file, streamed, with progress; through the running server if one owns the data."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  # typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from headgate.queries.errors import ReportError, choices
from headgate.queries.export import FORMATS, KINDS, write
from headgate.queries.export import Progress as Written
from headgate.store import (
    StoreError,
    default_data_directory,
    find_server,
    server_store,
)
from headgate.store.owned import own_store
from headgate.store.server import server_client
from headgate.web.export_routes import Order, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headgate.store import Store

_WAIT_S = 10.0
_POLL_S = 0.2


def export(
    kind: Annotated[str, typer.Argument(help=f"What: {', '.join(KINDS)}.")],
    *,
    output: Annotated[Path, typer.Option(help="The file to write; it appears when it is whole.")],
    fields: Annotated[
        str,
        typer.Option(
            help="Columns, separated by commas; one key of a map is written SpanAttributes.http.route."
            " [default: all]"
        ),
    ] = "",
    since: Annotated[str, typer.Option(help="Begin of the window, as for reports.")] = "24h",
    until: Annotated[str | None, typer.Option(help="End of the window; now unless given.")] = None,
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    timezone: Annotated[str, typer.Option(help="Time zone of bounds without an offset.")] = "UTC",
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"One of {', '.join(FORMATS)}. Unless given, by the ending of --output, else csv.",
        ),
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(help="Directory of the embedded store. A server that owns it is asked."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="ClickHouse server instead: http://user:password@host:8123/database."),
    ] = None,
) -> None:
    """Write what is stored, row by row, into a file of any size.

    For example: `headgate export events --since 30d --fields Timestamp,Operation,UserId,Weight --output events.csv`.
    Sampled rows stand for `Weight` rows each.
    """
    ending = output.suffix.removeprefix(".")
    if not format_ and ending and ending not in FORMATS:
        raise ReportError(
            f"a file that ends in .{ending} is not possible; choose one of: {choices(ending, FORMATS)},"
            " or name the format with --format"
        )
    order = Order(
        kind=kind,
        fields=[name.strip() for name in fields.split(",") if name.strip()],
        since=since,
        until=until,
        service=service,
        timezone=timezone,
        format=format_ or ending or "csv",
    )
    if data and store:
        raise StoreError("--data and --store name two places; give one of them")
    place = data or default_data_directory(os.environ)
    with _bar() as follow:
        if store:
            done = _here(server_store(store), order, output, follow)
        elif server := find_server(place):
            done = _there(server, order, output, follow)
        else:
            directory, opened = own_store(place, "reader", _WAIT_S)
            try:
                done = _here(opened, order, output, follow)
            finally:
                directory.close()
    typer.echo(f"{done.rows:,} rows, {done.bytes:,} bytes in {output}", err=True)


def _here(store: Store, order: Order, output: Path, follow: Callable[[Written], None]) -> Written:
    try:
        asked = checked(order, store, datetime.now(UTC))
        done = write(store, asked, output, follow)
        _tell(asked.notes)
        return done
    finally:
        store.close()


def _there(
    server: Mapping[str, str], order: Order, output: Path, follow: Callable[[Written], None]
) -> Written:
    """Let the server make the file, then fetch it."""
    part = output.with_name(f"{output.name}.part")
    with server_client(server, token=os.environ.get("HEADGATE_TOKEN")) as client:
        job: dict[str, Any] = {}
        try:
            job = _said(client.post("/api/exports", content=order.model_dump_json()))
            while job["state"] in {"queued", "processing"}:
                time.sleep(_POLL_S)
                job = _said(client.get(f"/api/exports/{job['id']}"))
                follow(Written(job["rows"], job["rows_total"], job["bytes"]))
            if job["state"] == "failed":
                raise StoreError(f"the export failed: {job['error']}")
            with (
                client.stream("GET", f"/api/exports/{job['id']}/file") as answer,
                part.open("wb") as file,
            ):
                for piece in answer.iter_bytes():
                    file.write(piece)
            if part.stat().st_size != job["bytes"]:
                raise StoreError("the file came incomplete; ask again")
            part.replace(output)
        except httpx.HTTPError as error:
            raise StoreError(
                f"the server at {server['api']} did not answer ({error}); see its log, or stop it and ask again"
            ) from error
        except OSError as error:
            raise ReportError(f"cannot write {output}: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)
            if job:  # also where it was stopped: nobody would fetch the file
                with contextlib.suppress(httpx.HTTPError):
                    client.delete(f"/api/exports/{job['id']}")
    _tell(job["notes"])
    return Written(job["rows"], job["rows"], job["bytes"])


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        typer.echo(note, err=True)


def _said(answer: httpx.Response) -> dict[str, Any]:
    said: dict[str, Any] = answer.json()
    if answer.is_success:
        return said
    raise (ReportError if answer.is_client_error else StoreError)(said["error"])


class _bar:  # noqa: N801  # a context manager that is used as a function
    """A progress bar with rows, bytes and the time left, on standard error."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("exporting"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"),
            TextColumn("{task.fields[size]}"), TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._progress.add_task("export", total=None, size="")

    def __enter__(self) -> Callable[[Written], None]:
        self._progress.start()
        return self._follow

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _follow(self, written: Written) -> None:
        self._progress.update(
            self._task,
            completed=written.rows,
            total=written.rows_total,
            size=decimal(written.bytes),
        )
