"""What can never be delivered is put aside, durably and for a person to see; it is counted, and blocks nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Quarantine:
    """A directory that is made when first needed; `count` is what was put aside since the start."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.count = 0

    def keep(self, name: str, data: bytes) -> Path:
        """Write a file, overwriting one of the same name: a repeat after a crash; raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / name
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self._directory)
        self.count += 1
        return path

    def take(self, path: Path) -> Path:
        """Move a file of the same file system here; raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        moved = path.rename(self._directory / path.name)
        sync_directory(self._directory)
        sync_directory(path.parent)
        self.count += 1
        return moved


def sync_directory(directory: Path) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
