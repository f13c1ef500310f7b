"""`headgate ledger`: what was received, and what became of it."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path  # noqa: TC003  # typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headgate.cli.size import size_text
from headgate.queries import ReportError
from headgate.queries.render.readable import readable
from headgate.store import (
    StoreError,
    default_data_directory,
    find_server,
    server_store,
)
from headgate.store.owned import own_store
from headgate.store.server import server_client
from headgate.web.ledger import ledger as read_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WAIT_S = 10.0
_TIMEOUT_S = 120.0
_WIDTH = 120
_LONGEST = 60
_COUNTS = ("received", "stored", "sampled_out", "rejected", "duplicate")
_NOTES = ("other", "corrected")


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"
    csv = "csv"


def ledger(
    *,
    since: Annotated[
        str, typer.Option(help="Begin of the window of arrival: 24h or 7d back, or a time (UTC).")
    ] = "24h",
    until: Annotated[str | None, typer.Option(help="Its end; now unless given.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Directory of the embedded store. [default: as of serve]")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="ClickHouse server: http://user:password@host:8123/database."),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="table for people; json or csv for programs.")
    ] = Format.table,
) -> None:
    """Show what was received and what became of it, by minute of arrival, signal and service.

    received = stored + sampled out + rejected + duplicate, in items and bytes. Exits with 1 when that does not hold.
    Beside it: items counted as `__other__`, and items whose time was corrected.
    """
    found = _get(since, until, data, store)
    if format_ is Format.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif format_ is Format.csv:
        sys.stdout.write(_csv(found["rows"]))
    else:
        _print(found)
    if not found["closes"]:
        raise typer.Exit(1)


def _get(since: str, until: str | None, data: Path | None, url: str | None) -> dict[str, Any]:
    now = datetime.now(UTC)
    if url:
        opened = server_store(url)
        try:
            return read_ledger(opened, since, until, now)
        finally:
            opened.close()
    path = data or default_data_directory(os.environ)
    server = find_server(path)
    if server is not None:
        return _ask(server, since, until)
    if not (path / "clickhouse").exists():
        raise StoreError(f"there is no data in {path}; name the directory of your data with --data")
    directory, opened = own_store(path, "reader", _WAIT_S)
    try:
        return read_ledger(opened, since, until, now)
    finally:
        opened.close()
        directory.close()


def _ask(server: Mapping[str, str], since: str, until: str | None) -> dict[str, Any]:
    token = os.environ.get("HEADGATE_TOKEN")
    asked = {"since": since} | ({"until": until} if until else {})
    try:
        with server_client(server, token=token, timeout_s=_TIMEOUT_S) as client:
            response = client.get("/api/ledger", params=asked)
        answer: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise StoreError(
            f"the server at {server['api']} did not answer: {error}; ask again"
        ) from error
    if "error" in answer:
        raise (ReportError if response.is_client_error else StoreError)(str(answer["error"]))
    return answer


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    names = ["time", "signal", "service", *_COUNTS, *(f"{n}_bytes" for n in _COUNTS), *_NOTES]
    writer = csv.DictWriter(out, [*names, "closes"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "time": _minute(row["time"])})
    return out.getvalue()


def _print(found: Mapping[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    print_whole(console, table(found["rows"]))
    total = {n: sum(row[n] for row in found["rows"]) for n in _COUNTS}
    parts = ", ".join(f"{total[n]:,} {n.replace('_', ' ')}" for n in _COUNTS)
    console.print(f"\n{found['since']} to {found['until']}: {parts}.", soft_wrap=True)
    open_ = sum(not row["closes"] for row in found["rows"])
    said = "1 row does not close." if open_ == 1 else f"{open_} rows do not close."
    console.print(said if open_ else "The ledger closes.")


def print_whole(console: Console, shown: Table) -> None:
    """Print a table as wide as it is: a terminal may fold its lines, but no number loses digits."""
    width = console.width
    console.width = max(
        width, console.measure(shown, options=console.options.update(max_width=10_000)).maximum
    )
    console.print(shown)
    console.width = width


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return rows for people, a line each."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("arrived (UTC)", "signal", "service"):
        shown.add_column(name, no_wrap=True)
    for name in (*_COUNTS, "bytes", *_NOTES):
        shown.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    shown.add_column("closes", no_wrap=True)
    for row in rows:
        shown.add_row(
            _minute(row["time"]),
            row["signal"],
            Text(_shortened(row["service"] or "(unknown)")),
            *(f"{row[name]:,}" for name in _COUNTS),
            size_text(row["received_bytes"]),
            *(f"{row[name]:,}" for name in _NOTES),
            "yes" if row["closes"] else "NO",
        )
    return shown


def _shortened(name: str) -> str:
    """Return a sender's name for a line of a terminal; csv and json have the whole."""
    shown = readable(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _minute(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M}"
