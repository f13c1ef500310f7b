"""A store: where the rows are, and one client per thread to reach them.

There is no storage abstraction of our own: the embedded engine and a ClickHouse server are both reached through
`clickhouse_connect`'s client, with the same SQL.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect

from headgate.store.embedded import open_handle
from headgate.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

DEFAULT_DATABASE = "headgate"


class Store:
    """A database and a way to open clients of it; made by `embedded_store` or `server_store`."""

    def __init__(
        self, database: str, connect: Callable[[str | None], Client], *, embedded: bool
    ) -> None:
        self.database = database
        self.embedded = embedded
        self._connect = connect
        self._local = threading.local()
        self._clients: list[Client] = []
        self._lock = threading.Lock()

    def client(self) -> Client:
        """Return this thread's client, opened on first use with `database` as its default database."""
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._open(self.database)
        return client

    def create_database(self) -> None:
        """Create the database if it does not exist."""
        client = self._connect(None)
        client.command(f"CREATE DATABASE IF NOT EXISTS `{self.database}`")
        client.close()

    def tables(self) -> dict[str, set[str]]:
        """Return the columns of every table of the database; empty when the database does not exist."""
        client = self._open(None)
        result = client.query(
            "SELECT table, groupArray(name) FROM system.columns WHERE database = {database:String} GROUP BY table",
            parameters={"database": self.database},
        )
        return {str(table): set(columns) for table, columns in result.result_rows}

    def close(self) -> None:
        """Close every client of every thread."""
        with self._lock:
            for client in self._clients:
                client.close()
            self._clients.clear()
        self._local = threading.local()

    def _open(self, database: str | None) -> Client:
        client = self._connect(database)
        with self._lock:
            self._clients.append(client)
        return client


def embedded_store(engine_path: Path, database: str = DEFAULT_DATABASE) -> Store:
    """Return the store whose engine files lie in `engine_path`; the caller owns the directory."""
    return Store(database, lambda name: open_handle(engine_path, name), embedded=True)


def server_store(url: str) -> Store:
    """Return the store behind `http(s)://user:password@host:8123/database` (database `headgate` by default)."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise StoreError(
            f"--store {url!r} is not a ClickHouse address; write http://user:password@host:8123/database"
        )
    database = parts.path.strip("/") or DEFAULT_DATABASE
    options: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port or (8443 if parts.scheme == "https" else 8123),
        "username": unquote(parts.username) if parts.username else "default",
        "password": unquote(parts.password) if parts.password else "",
        "secure": parts.scheme == "https",
        "autogenerate_session_id": False,
    }

    def connect(name: str | None) -> Client:
        try:
            return clickhouse_connect.get_client(database=name or "__default__", **options)
        except Exception as error:
            shown = f"{parts.scheme}://{parts.hostname}:{options['port']}"
            raise StoreError(f"cannot reach ClickHouse at {shown}: {error}") from error

    return Store(database, connect, embedded=False)
