"""Own a data directory and open the store behind it, as everybody does who opens the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.store.client import Store, embedded_store, server_store
from headgate.store.directory import DataDirectory, acquire
from headgate.store.errors import StoreError
from headgate.store.repair import repair

if TYPE_CHECKING:
    from pathlib import Path


def own_store(
    path: Path, role: str, wait_s: float, url: str | None = None
) -> tuple[DataDirectory, Store]:
    """Own the directory (also with a server at `url`: it holds the lock file) and open the store; close both.

    Broken parts, and tokens of parts that never came to be, are taken out of an embedded engine before it opens: once
    it is open, it removes what a broken part was merged of. Raises StoreBusy after `wait_s` of another owner,
    StoreError when the store cannot be opened or repaired.
    """
    directory = acquire(path, role, wait_s=wait_s)
    try:
        if url:
            return directory, server_store(url)
        repair(directory.engine_path)
        return directory, embedded_store(directory.engine_path)
    except OSError as error:
        directory.close()
        raise StoreError(
            f"cannot repair the store in {directory.engine_path}: {error.strerror or error};"
            " make room on its disk, or let its files be written"
        ) from error
    except StoreError:
        directory.close()
        raise
