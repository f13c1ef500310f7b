"""Get a report's document from wherever the data is: a running server, a data directory, or a ClickHouse server.

A data directory belongs to one process. If a server owns it, the server is asked over HTTP, which also makes it write
what it still holds; otherwise the directory is owned for as long as the question takes. Reading never migrates.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel

from headgate.queries.errors import ReportError
from headgate.queries.revive import from_document
from headgate.queries.runner import answer
from headgate.queries.window import REMEDY
from headgate.store import (
    NoData,
    StoreBusy,
    StoreError,
    default_data_directory,
    find_server,
    server_store,
)
from headgate.store.owned import own_store
from headgate.store.server import remote_client, server_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.queries.answer import Answer
    from headgate.store import Store

WAIT_S = 10.0


def run(
    name: str,
    store: Store | None = None,
    *,
    data: Path | str | None = None,
    url: str | None = None,
    now: datetime | None = None,
    **question: Any,
) -> Answer:
    """Answer a report: `run("trend", since="30d", service="api")`; parameters as on the command line.

    `since` and `until` may be a datetime, or a timedelta back from `now`; `model` of `cost` a mapping, a dataclass or a
    CostModel. From a `store`; from a ClickHouse server at `url`; else from the directory `data` ($HEADGATE_DATA or the
    user's own unless given), through the server that owns it, if one does, which decides `now` itself. Raises
    ReportError for a question that cannot be asked so, StoreError (NoData, StoreBusy) for data that cannot be had.
    """
    question = _as_text(question)
    timed = question if now else {"timer": time.perf_counter} | question
    if store is not None:
        return answer(name, store, now=now or datetime.now(UTC), **timed)
    if url is not None:
        opened = server_store(url)
        try:
            return answer(name, opened, now=now or datetime.now(UTC), **timed)
        finally:
            opened.close()
    place = Path(data) if data is not None else default_data_directory(os.environ)
    return from_document(from_directory(place, name, question))


def _as_text(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return documents as the text that they are on the command line and over HTTP; JSON is YAML too."""
    found = dict(question)
    for key, value in question.items():
        if isinstance(value, BaseModel):
            found[key] = value.model_dump_json(exclude_unset=True)
        elif is_dataclass(value) and not isinstance(value, type):
            found[key] = json.dumps(asdict(value))
        elif isinstance(value, Mapping) and key != "where":
            found[key] = json.dumps(value)
    if "since" in found and found["since"] is None:
        raise ReportError(f"since is None: {REMEDY}")
    return found


def run_each(
    name: str, windows: Sequence[str | datetime | timedelta], **question: Any
) -> list[Answer]:
    """Answer one report for several windows, given by their `since` (REQ-USE-10); see `run`."""
    return [run(name, since=since, **question) for since in windows]


def from_url(url: str, name: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a ClickHouse server."""
    return _from_store(server_store(url), name, question)


def from_directory(
    data: Path, name: str, question: Mapping[str, Any], token: str | None = None
) -> dict[str, Any]:
    """Ask the server that owns `data`, or open it; waits WAIT_S for a process that is starting or about to finish.

    A `token` chooses the tenant; without one the server is asked with its own, and its own database answers.
    Raises NoData when nothing was ever stored there, StoreBusy when the wait was too short.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        server = find_server(data)
        if server:
            return ask(server_client(server, token=token), name, question)
        if not (data / "clickhouse").exists():
            raise NoData(
                f"there is no data in {data}: start `headgate serve --data {data}` and send it something,"
                " or name the directory of your data with --data DIR"
            )
        try:
            directory, opened = own_store(data, "reader", 0.0)
        except StoreBusy:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
            continue
        try:
            return _from_store(opened, name, question)
        finally:
            directory.close()


def _from_store(store: Store, name: str, question: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return answer(
            name, store, now=datetime.now(UTC), timer=time.perf_counter, **question
        ).to_dict()
    finally:
        store.close()


def from_server(
    url: str, name: str, question: Mapping[str, Any], token: str | None = None
) -> dict[str, Any]:
    """Ask the server whose API has the address `url`, on another machine perhaps."""
    return ask(remote_client(url, token=token), name, question)


def ask(client: httpx.Client, name: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the server of a client, which is closed afterwards."""
    asked = {
        key: f"{value // timedelta(seconds=1)}s" if isinstance(value, timedelta) else value
        for key, value in question.items()
        if value is not None and key != "where"
    }
    where = [f"{key}={value}" for key, value in question.get("where", {}).items()]
    try:
        with client:
            response = client.get(
                f"/api/reports/{name}", params={**asked, "where": where, "format": "json"}
            )
        document: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise StoreError(
            f"the server at {client.base_url} did not answer ({error}); see its log, or stop it and ask again"
        ) from error
    if response.is_success:
        return document
    denied = response.status_code in {401, 403}
    kind = ReportError if response.is_client_error and not denied else StoreError
    raise kind(document["error"])
