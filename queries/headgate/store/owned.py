"""Own a data directory and open the store behind it, as everybody who writes does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.store.client import Store, embedded_store, server_store
from headgate.store.directory import DataDirectory, acquire
from headgate.store.errors import StoreError
from headgate.store.ghosts import forget_ghosts

if TYPE_CHECKING:
    from pathlib import Path


def own_store(
    path: Path, role: str, wait_s: float, url: str | None = None
) -> tuple[DataDirectory, Store]:
    """Own the directory (also with a server at `url`: it holds the lock file) and open the store; close both.

    Tokens of parts that never came to be are taken out of an embedded engine before it opens. Raises StoreBusy after
    `wait_s` of another owner, StoreError when the store cannot be opened.
    """
    directory = acquire(path, role, wait_s=wait_s)
    try:
        if url:
            return directory, server_store(url)
        forget_ghosts(directory.engine_path)
        return directory, embedded_store(directory.engine_path)
    except StoreError:
        directory.close()
        raise
