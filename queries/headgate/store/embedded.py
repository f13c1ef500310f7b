"""One handle of the embedded engine (chDB), with its known traps closed.

How the client talks to it is in `backend`. One engine path per process, one handle per
thread; never fork after opening.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import clickhouse_connect

from headgate.store.errors import NoData, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client


# How often the engine looks at its own memory; 50 ms, its default, is a third of a percent of a core for nothing.
_OPTIONS = {"memory_worker_period_ms": "500"}


def open_handle(path: Path, database: str | None = None) -> Client:
    """Open one more handle of the engine whose files lie in `path`; for use by a single thread.

    Raises NoData when there is no such database, StoreError when the engine cannot be loaded or the
    directory cannot be opened.
    """
    try:
        # Here, because chdb is optional and takes half a gigabyte.
        from headgate.store.backend import DrainingBackend
    except ImportError as error:
        raise StoreError(
            "the embedded engine is not installed:"
            " pip install 'headgate[embedded]', or use --store URL"
        ) from error

    try:
        client: Any = clickhouse_connect.get_client(
            interface="chdb", path=str(path), database=database, chdb_options=_OPTIONS
        )
    except Exception as error:
        if "UNKNOWN_DATABASE" in str(error):
            raise NoData(f"there is no database {database!r} in {path} yet") from error
        raise StoreError(f"cannot open the embedded store in {path}: {_reason(error)}") from error
    # TRICKY: the client constructs its backend itself; only the class of the finished object can be
    # exchanged.
    client._backend.__class__ = DrainingBackend  # noqa: SLF001
    return client  # type: ignore[no-any-return]


def _reason(error: Exception) -> str:
    """Return the engine's reason in one line, without its stack trace."""
    text = str(error).partition("Stack trace")[0]
    if text.endswith("Error initializing EmbeddedServer: . (BAD_ARGUMENTS)"):
        return "another process uses it"
    said = re.search(r"already initialized with path '[^']*'|e\.what\(\) = ([^\n]+?), *$", text)
    if said:
        return said[1] or f"this process has an engine {said[0]}"
    return " ".join(text.rpartition("DB::Exception: ")[2].split())
