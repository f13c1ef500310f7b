"""Let go of segments whose rows are stored: first make the rows durable, then the digests, then remove the files."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from headgate.collector.journal import read_digests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headgate.collector.journal import Journal, SegmentFile
    from headgate.collector.retransmission import Retransmissions


def sync_file_system(directory: Path) -> None:
    """Write everything of the directory's file system to disk (Linux `syncfs`; elsewhere `sync`)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), f"cannot sync the file system of {directory}")
    finally:
        os.close(descriptor)


class Releaser:
    """Collects stored segments and releases them together, at most every `every_ns`."""

    def __init__(
        self,
        journal: Journal,
        retransmissions: Retransmissions,
        make_durable: Callable[[], None],
        every_ns: int = 2 * 10**9,
    ) -> None:
        self._journal = journal
        self._retransmissions = retransmissions
        self._make_durable = make_durable
        self._every_ns = every_ns
        self._stored: list[SegmentFile] = []
        self._oldest_ns = 0

    def add(self, segment: SegmentFile, now_ns: int) -> None:
        """Take a segment whose blocks are all inserted."""
        if not self._stored:
            self._oldest_ns = now_ns
        self._stored.append(segment)

    def due(self, now_ns: int) -> bool:
        """Return whether it is time to release."""
        return bool(self._stored) and not 0 <= now_ns - self._oldest_ns < self._every_ns

    def release(self, now_ns: int) -> None:
        """Release everything taken so far; a crash in between only means that it is processed again."""
        if not self._stored:
            return
        self._make_durable()
        while self._stored:
            segment = self._stored[0]
            if segment.path.exists():
                self._retransmissions.persist(segment.id, read_digests(segment), now_ns)
            self._journal.release(segment)
            self._stored.pop(0)
