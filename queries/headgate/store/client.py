"""A store: where the rows are, and one client per thread to reach them.

There is no storage abstraction of our own: the embedded engine and a ClickHouse server are both
reached through `clickhouse_connect`'s client, with the same SQL.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.store.aside import Aside
from headgate.store.embedded import open_handle
from headgate.store.errors import NoData, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

DEFAULT_DATABASE = "headgate"

# The client logs what it also raises; without a handler Python would print it beside our message.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


class Store:
    """A database and a way to open clients of it; made by `embedded_store` or `server_store`."""

    def __init__(
        self,
        database: str,
        connect: Callable[[str | None], Client],
        *,
        embedded: bool,
        beside: Store | None = None,
    ) -> None:
        self.database = database
        self.aside: Aside = beside.aside if beside else Aside()
        self._is_sibling = beside is not None
        self.embedded = embedded
        self._connect = connect
        self._local = threading.local()
        self._clients: list[Client] = []
        self._siblings: dict[str, Store] = {}
        self._lock = threading.Lock()

    def client(self) -> Client:
        """Return this thread's client, opened on first use with `database` as its default.

        Raises NoData when there is no such database, StoreError when the store cannot be reached.
        """
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._connect(self.database)
            with self._lock:
                self._clients.append(client)
        return client

    def sibling(self, database: str) -> Store:
        """Return another database of the same server or engine, always the same object; it is closed with this one."""
        if database == self.database:
            return self
        with self._lock:
            found = self._siblings.get(database)
            if found is None:
                made = Store(database, self._connect, embedded=self.embedded, beside=self)
                found = self._siblings[database] = made
        return found

    def create_database(self) -> None:
        """Create the database if it does not exist."""
        with self._connect(None) as client:
            client.command(f"CREATE DATABASE IF NOT EXISTS `{self.database}`")

    def tables(self) -> dict[str, dict[str, str]]:
        """Return the columns of every table and their types, in order; empty when the database does not exist."""
        try:
            client = self.client()
        except NoData:
            return {}
        result = client.query(
            "SELECT table, groupArray((name, type)) FROM"
            " (SELECT * FROM system.columns WHERE database = {database:String} ORDER BY position)"
            " GROUP BY table",
            parameters={"database": self.database},
        )
        return {str(table): dict(columns) for table, columns in result.result_rows}

    def close(self) -> None:
        """Close every client of every thread."""
        if not self._is_sibling:  # else its threads are another's
            self.aside.close()
        with self._lock:
            siblings, self._siblings = list(self._siblings.values()), {}
            for client in self._clients:
                client.close()
            self._clients.clear()
        self._local = threading.local()
        for sibling in siblings:
            sibling.close()


def embedded_store(engine_path: Path, database: str = DEFAULT_DATABASE) -> Store:
    """Return the store whose engine files lie in `engine_path`; the caller owns the directory."""
    return Store(database, lambda name: open_handle(engine_path, name), embedded=True)


def server_store(url: str) -> Store:
    """Return the store behind `http(s)://user:password@host:8123/database`.

    The database is `headgate` when the address names none. Raises StoreError for an address that
    cannot be one; the server itself is asked when the first client opens.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (8443 if parts.scheme == "https" else 8123)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise StoreError(
            f"--store {_without_password(url)!r} is not a ClickHouse address;"
            " write http://user:password@host:8123/database"
        )
    database = parts.path.strip("/") or DEFAULT_DATABASE
    options: dict[str, Any] = {
        "host": parts.hostname,
        "port": port,
        "username": unquote(parts.username) if parts.username else "default",
        "password": unquote(parts.password) if parts.password else "",
        "secure": parts.scheme == "https",
        "autogenerate_session_id": False,
    }
    shown = f"{parts.scheme}://{parts.hostname}:{port}"

    def connect(name: str | None) -> Client:
        try:
            return clickhouse_connect.get_client(database=name or "__default__", **options)
        except ClickHouseError as error:
            if "UNKNOWN_DATABASE" in str(error):
                raise NoData(f"there is no database {name!r} at {shown} yet") from error
            raise StoreError(
                f"cannot use ClickHouse at {shown}: {_reason(error)};"
                " check the address, the user and the password given with --store"
            ) from error

    return Store(database, connect, embedded=False)


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _reason(error: ClickHouseError) -> str:
    """Return what a person can act on: the server's sentence or the system's, without the rest."""
    text = str(error)
    said = re.search(r"DB::Exception: (.+?)\.?(?: \([A-Z_]+\)| \(for url|$)", text, re.MULTILINE)
    said = said or re.search(r"\[Errno -?\d+\] ([^\"')\]]+)", text)
    return said[1] if said else text.partition("\n")[0]
