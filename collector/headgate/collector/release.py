"""Let go of segments whose rows are stored: first make the rows durable, then the digests, then remove the files."""

from __future__ import annotations

import ctypes
import logging
import os
from typing import TYPE_CHECKING

from headgate.collector.journal import read_digests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headgate.collector.journal import Journal, SegmentFile
    from headgate.collector.retransmission import Retransmissions

log = logging.getLogger(__name__)


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
    """Collects stored segments and releases them together: every `every_ns`, or when they are `many`."""

    def __init__(
        self,
        journal: Journal,
        retransmissions: Retransmissions,
        make_durable: Callable[[], None],
        every_ns: int = 2 * 10**9,
        many: int = 20,
    ) -> None:
        self._many = many
        self._journal = journal
        self._retransmissions = retransmissions
        self._make_durable = make_durable
        self._every_ns = every_ns
        self._stored: list[SegmentFile] = []
        self._since_ns = 0
        self._failed = False

    @property
    def behind(self) -> bool:
        """Return whether so many wait that no more should be stored before they are released.

        ClickHouse remembers a limited number of tokens: they must reach over what a restart would repeat.
        """
        return len(self._stored) >= 2 * self._many

    def add(self, segment: SegmentFile, now_ns: int) -> None:
        """Take a segment whose blocks are all inserted."""
        if not self._stored:
            self._since_ns = now_ns
        self._stored.append(segment)

    def due(self, now_ns: int) -> bool:
        """Return whether it is time to release, or to try again."""
        if not self._stored:
            return False
        waited = not 0 <= now_ns - self._since_ns < self._every_ns  # the clock may be set back
        return waited or (len(self._stored) >= self._many and not self._failed)

    def release(self, now_ns: int) -> None:
        """Release everything taken so far; a crash in between only means that it is processed again.

        What cannot be released now is reported, and due again when `every_ns` have passed.
        """
        self._since_ns, self._failed = now_ns, True
        try:
            self._release(now_ns)
        except OSError as error:
            log.error("stored segments cannot be removed yet: %s", error)  # noqa: TRY400  # no trace is needed
        else:
            self._failed = False

    def _release(self, now_ns: int) -> None:
        if self._stored:
            self._make_durable()
        while self._stored:
            segment = self._stored[0]
            if segment.path.exists():
                self._retransmissions.persist(segment.id, read_digests(segment), now_ns)
            self._journal.release(segment)
            self._stored.pop(0)
