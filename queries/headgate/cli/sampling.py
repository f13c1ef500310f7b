"""`headgate sampling`: show and set the budgets, and simulate what they would keep."""

from __future__ import annotations

import getpass
import json
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from headgate.cli.settings import load
from headgate.cli.simulate import simulate
from headgate.store import (
    Store,
    StoreError,
    default_data_directory,
    find_server,
    migrate,
    server_store,
)
from headgate.store.owned import own_store
from headgate.store.server import server_client
from headgate.web.sampling import described, last_accounts, saved_budgets, set_budgets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headgate.collector.policy import Policy

_WAIT_S = 10.0
_TIMEOUT_S = 30.0
WIDTH = 80

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Show, set or simulate what is kept of the detail when it is busy.",
)
app.command("simulate")(simulate)


class Signal(StrEnum):
    """What has budgets of its own."""

    traces = "traces"
    logs = "logs"
    events = "events"


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"


_Config = Annotated[
    Path | None, typer.Option(help="Settings file (YAML), for a store that no server has open.")
]
_Data = Annotated[
    Path | None, typer.Option(help="Directory of the embedded store. [default: as of serve]")
]
_Store = Annotated[
    str | None, typer.Option(help="ClickHouse server: http://user:password@host:8123/database.")
]
_Format = Annotated[Format, typer.Option("--format", help="table for people, json for programs.")]


@app.command("show")
def show(
    config: _Config = None,
    data: _Data = None,
    store: _Store = None,
    format_: _Format = Format.table,
) -> None:
    """Show the budgets in force, where they come from, and what the last segments were kept by."""
    _answer(_get(config, data, store), format_)


@app.command("set")
def set_(
    *,
    low: Annotated[
        float | None, typer.Option(help="Up to so many requests a minute, all are kept.")
    ] = None,
    high: Annotated[
        float | None, typer.Option(help="From so many on, `rate` of them are kept.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="The share kept far above `high`.")] = None,
    rows: Annotated[float | None, typer.Option(help="Most rows a minute that are stored.")] = None,
    signal: Annotated[
        Signal, typer.Option(help="Of what; `events` has `rows` alone.")
    ] = Signal.traces,
    reset: Annotated[
        bool, typer.Option("--reset", help="Return to the settings, for all signals.")
    ] = False,
    config: _Config = None,
    data: _Data = None,
    store: _Store = None,
    format_: _Format = Format.table,
) -> None:
    """Set budgets for all collectors of a store, in place of their settings, without a restart.

    Noted in the audit log; the budgets take effect within ten seconds, and at once in the server that is asked.
    """
    given = {"low": low, "high": high, "rate": rate, "rows": rows}
    budgets = {name: value for name, value in given.items() if value is not None}
    if not budgets and not reset:
        raise StoreError("nothing to set: give --low, --high, --rate or --rows, or --reset")
    changes: dict[str, Any] = {signal.value: budgets} if budgets else {}
    if reset:
        changes["reset"] = True
    server = None if store else _server(data)
    if server:
        _answer(_ask(server, "POST", changes), format_)
        return
    policy = load({}, config, os.environ).sampling.policy()
    with _opened(data, store) as opened:
        migrate(opened)
        try:
            set_budgets(opened, policy, changes, by=f"cli by {_user()}", now=datetime.now(UTC))
        except ValueError as error:
            raise StoreError(str(error)) from error
        _answer(_of_store(opened, policy), format_)


def _get(config: Path | None, data: Path | None, store: str | None) -> Mapping[str, Any]:
    server = None if store else _server(data)
    if server:
        return _ask(server, "GET", None)
    policy = load({}, config, os.environ).sampling.policy()
    place = data or default_data_directory(os.environ)
    if not store and not (place / "clickhouse").exists():
        return described(policy, policy, {}, 1, [])
    with _opened(data, store) as opened:
        return _of_store(opened, policy)


def _of_store(store: Store, policy: Policy) -> Mapping[str, Any]:
    """Describe a store that no server of ours has open; one of an older schema has nothing set."""
    tables = store.tables()
    budgets = saved_budgets(store) if "document" in tables else {}
    last = last_accounts(store) if "sampling_history" in tables else []
    return described(policy.overridden(budgets), policy, budgets, 1, last)


def _server(data: Path | None) -> dict[str, str] | None:
    return find_server(data or default_data_directory(os.environ))


def _ask(
    server: Mapping[str, str], method: str, changes: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    token = os.environ.get("HEADGATE_TOKEN")
    try:
        with server_client(server, token=token, timeout_s=_TIMEOUT_S) as client:
            response = client.request(method, "/api/sampling", json=changes)
        answer: Mapping[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise StoreError(f"the server at {server['api']} does not answer: {error}") from error
    if "error" in answer:
        raise StoreError(str(answer["error"]))
    return answer


@contextmanager
def _opened(data: Path | None, url: str | None) -> Iterator[Store]:
    """Open the store that no server has open."""
    if url:
        opened = server_store(url)
        try:
            yield opened
        finally:
            opened.close()
        return
    path = data or default_data_directory(os.environ)
    directory, opened = own_store(path, "writer", _WAIT_S)
    try:
        yield opened
    finally:
        opened.close()
        directory.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _answer(found: Mapping[str, Any], format_: Format) -> None:
    if format_ is Format.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    if not found["sampling"]:
        console.print("Nothing is sampled: sampling.enabled is false in the server's settings.")
        return
    table = Table(title="Budgets, a minute", title_justify="left", box=None)
    for name in ("", "low", "high", "rate", "rows", "from"):
        table.add_column(name, justify="left" if name in {"", "from"} else "right")
    for signal, budgets in found["budgets"].items():
        numbers = [_number(budgets.get(name)) for name in ("low", "high", "rate", "rows")]
        changed = ", ".join(found["set"].get(signal, {}))
        table.add_row(signal, *numbers, f"set: {changed}" if changed else "settings")
    console.print(table)
    console.print(
        f"All requests up to `low` are kept, `rate` of them from `high` on; divided between"
        f" {found['collectors']} live collector{'s' if found['collectors'] != 1 else ''}."
    )
    if found["last"]:
        console.print(_last(found["last"]))


def _last(accounts: list[Mapping[str, Any]]) -> Table:
    table = Table(title="\nLast segments", title_justify="left", box=None)
    for name in ("", "until (UTC)", "requests/min", "rows/min", "kept", "least likely"):
        table.add_column(name, justify="left" if name in {"", "until (UTC)"} else "right")
    for account in accounts:
        table.add_row(
            account["signal"],
            account["until"][:19],
            _number(account["requests_a_minute"]),
            _number(account["rows_a_minute"]),
            f"{account['probability']:.1%}",
            f"{account['least_probability']:.2%}",
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.10g}"
