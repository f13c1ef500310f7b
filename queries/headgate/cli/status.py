"""`headgate status`: how the running server is, once or as a live screen."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  # typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headgate.cli.size import size_text
from headgate.store import StoreError, default_data_directory, find_server
from headgate.store.server import server_client

if TYPE_CHECKING:
    from collections.abc import Mapping

_FATES = ("received", "stored", "sampled_out", "rejected", "duplicate")
_NS = 1e9


def status(
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="Directory of the server. [default: per-user data directory]"),
    ] = None,
    watch: Annotated[bool, typer.Option(help="Go on until Ctrl-C, with rates.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, once.")] = False,
) -> None:
    """Show what the server took, what became of it, what waits, and how much memory that takes."""
    place = data or default_data_directory(os.environ)
    server = find_server(place)
    if server is None:
        raise StoreError(
            f"no server owns {place}: start `headgate serve`, or name its directory with --data DIR"
        )
    token = os.environ.get("HEADGATE_TOKEN")
    with server_client(server, token=token, timeout_s=10) as client:
        found = _look(client)
        if as_json:
            typer.echo(json.dumps(found, indent=2))
            return
        console = Console()
        if not watch:
            console.print(screen(found, None))
            return
        try:
            with Live(screen(found, None), console=console, screen=console.is_terminal) as live:
                while True:
                    time.sleep(every)
                    before, found = found, _look(client)
                    live.update(screen(found, before), refresh=True)
        except KeyboardInterrupt:
            return


def _look(client: httpx.Client) -> dict[str, Any]:
    try:
        answer = client.get("/api/status")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise StoreError(f"the server did not answer ({error}); see its log") from error
    return found


def screen(found: Mapping[str, Any], before: Mapping[str, Any] | None) -> Group:
    """Return what is shown of a look; rates are items a second since the look before."""
    signals = list(found["received"])
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("since the start")
    for fate in _FATES:
        table.add_column(fate.replace("_", " "), justify="right")
    if before is not None:
        table.add_column("received/s", justify="right")
    for signal in signals:
        cells = [f"{found[fate][signal]:,}" for fate in _FATES]
        if before is not None:
            seconds = max((found["now_ns"] - before["now_ns"]) / _NS, 1e-3)
            rate = (found["received"][signal] - before["received"][signal]) / seconds
            cells.append(f"{rate:,.0f}")
        table.add_row(signal, *cells)
    return Group(Text(_headline(found), style="bold"), Text(""), table, Text(""), _rest(found))


def _headline(found: Mapping[str, Any]) -> str:
    state = "takes data" if found["accepting"] else "is stopping"
    return f"headgate {state} · up {_span(found['uptime_s'])}"


def _rest(found: Mapping[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 3))
    grid.add_column(style="dim")
    grid.add_column()
    last = found["last_stored_ns"]
    stored = "nothing yet"
    if last is not None:
        ago = max((found["now_ns"] - last) / _NS, 0)
        stored = f"{datetime.fromtimestamp(last / _NS, UTC):%H:%M:%S} UTC, {_span(ago)} ago"
    segments = found["waiting_segments"]
    rows = [
        ("last stored", stored),
        (
            "waiting",
            f"{segments} segment{'' if segments == 1 else 's'}, journal {size_text(found['backlog_bytes'])}",
        ),
        (
            "requests in memory",
            f"{size_text(found['memory_bytes'])} of {size_text(found['memory_limit_bytes'])}",
        ),
        ("resident memory", size_text(found["resident_bytes"])),
        ("sampling", ", ".join(f"{s} {p:.1%}" for s, p in found["sampling"].items()) or "off"),
    ]
    if found.get("refused"):  # the server may be older than we are
        rows.append(("told to come again", f"{found['refused']:,} requests since the start"))
    if count := found["quarantined"]:
        pieces = "1 piece" if count == 1 else f"{count:,} pieces"
        rows.append(("quarantined", f"{pieces}: see the log and journal/quarantine"))
    if found["broken_parts"]:
        rows.append(
            (
                "broken parts",
                f"{found['broken_parts']} that the engine could not write: see the log",
            )
        )
    for name, value in rows:
        grid.add_row(name, value)
    return grid


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
