"""`headgate forget`: remove a person from everything that is stored."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path  # noqa: TC003  # typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from headgate.cli.rules import rules_of
from headgate.cli.settings import load
from headgate.store import (
    StoreError,
    default_data_directory,
    find_server,
    migrate,
    server_store,
)
from headgate.store.owned import own_store
from headgate.store.server import server_client

if TYPE_CHECKING:
    from headgate.collector.rules import Rules
    from headgate.store import Store

_WAIT_S = 10.0
_TIMEOUT_S = 600.0
_DRAIN_S = 300.0


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"


def forget(
    user: Annotated[str, typer.Argument(help="Who, as applications name them (`user.id`).")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file (YAML) of the server, where none has the store open."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Directory of the embedded store. [default: as of serve]")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="ClickHouse server: http://user:password@host:8123/database."),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="table for people, json for programs.")
    ] = Format.table,
) -> None:
    """Remove a person from raw rows, events, users and what waits in the journal, for good; say what was removed.

    What is counted holds nobody and stays as it is. The audit log has a receipt and the numbers, not who it was.
    """
    if not yes:
        typer.confirm(f"Remove everything that is stored of {user!r}, for good?", abort=True)
    server = None if store else find_server(data or default_data_directory(os.environ))
    if server is not None:
        done = _ask(server, user)
    else:
        rules = rules_of(load({}, config, os.environ))
        done = _in_directory(data, rules, user) if store is None else _in_store(store, rules, user)
    if format_ is Format.json:
        typer.echo(json.dumps(done, indent=2))
        return
    for table, rows in done["removed"].items():
        typer.echo(f"{rows:>12,}  {table}")
    for name in done["files"]:
        typer.echo(f"        file  {name}")
    if not done["removed"] and not done["files"]:
        typer.echo("Nothing is stored of this user.")
    typer.echo(f"Noted in the audit log as {done['receipt']}.")


def _ask(server: dict[str, str], user: str) -> dict[str, Any]:
    token = os.environ.get("HEADGATE_TOKEN")
    try:
        with server_client(server, token=token, timeout_s=_TIMEOUT_S) as client:
            response = client.post("/api/forget", json={"user": user})
        answer: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise StoreError(
            f"the server at {server['api']} did not answer: {error}; ask again"
        ) from error
    if "error" in answer:
        raise StoreError(str(answer["error"]))
    return answer


def _in_store(url: str, rules: Rules, user: str) -> dict[str, Any]:
    opened = server_store(url)
    try:
        migrate(opened)
        return _forget(opened, rules, user, None)
    finally:
        opened.close()


def _in_directory(data: Path | None, rules: Rules, user: str) -> dict[str, Any]:
    path = data or default_data_directory(os.environ)
    directory, opened = own_store(path, "writer", _WAIT_S)
    try:
        migrate(opened)
        journal = path / "journal"
        if any(journal.glob("*.journal")):
            _drain(opened, journal, rules)
        return _forget(opened, rules, user, journal)
    finally:
        opened.close()
        directory.close()


def _drain(store: Store, journal: Path, rules: Rules) -> None:
    """Store what a server that ended has left in its journal; everything of it is kept, nothing sampled out."""
    from headgate.collector.pipeline import Pipeline
    from headgate.collector.release import sync_file_system

    pipeline = Pipeline(
        store,
        journal,
        clock_ns=time.time_ns,
        monotonic_s=time.monotonic,
        new_id=lambda: secrets.token_hex(16),
        make_durable=lambda: sync_file_system(journal),
        rules=rules,
    )
    pipeline.start()
    if not pipeline.close(_DRAIN_S):
        raise StoreError(f"the journal {journal} could not be stored; start `headgate serve` first")


def _forget(store: Store, rules: Rules, user: str, journal: Path | None) -> dict[str, Any]:
    from headgate.web.forget import forget_user

    now, by = datetime.now(UTC), f"cli by {_user()}"
    return forget_user(store, rules.identity, user, by=by, now=now, journal=journal)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
