"""Recognise a request that was sent again: by a 128-bit digest of tenant, signal and bytes, for ten minutes.

A retry that arrives while its original is under way joins the original's outcome. Digests outlive their segments in a
log beside the journal: it is written and synced before a segment is removed, so that a second crash cannot forget
them. The table has a number of places (58 MiB when all are taken); one that is taken away before its time is counted.
"""

from __future__ import annotations

import logging
import os
import struct
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING

import xxhash

from headgate.collector.journal import read_digests
from headgate.collector.quarantine import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate.collector.journal import SegmentFile
    from headgate.collector.partial import Partial
    from headgate.collector.signals import Signal

log = logging.getLogger(__name__)
REMEMBER_NS = 600 * 10**9
PLACES = 262_144
_ENTRY = struct.Struct("<q16s")


def digest(database: str, signal: Signal, body: bytes) -> bytes:
    """Return the identity of a request in a database."""
    hasher = xxhash.xxh3_128(f"{database}\0{signal}\0".encode())
    hasher.update(body)
    return hasher.digest()


class Retransmissions:
    """Digests of requests under way or accepted; not thread-safe, its owner holds a lock."""

    def __init__(self, directory: Path, places: int = PLACES) -> None:
        self._directory = directory
        self._places = places
        self._known: OrderedDict[bytes, tuple[int, Future[Partial | None] | None]] = OrderedDict()
        self._logs: list[tuple[int, Path]] = []
        self.evicted_early = 0

    def find(self, identity: bytes, now_ns: int) -> Future[Partial | None] | None:
        """Return the outcome of the original, done or not, or None when this request is new."""
        found = self._known.get(identity)
        if found is None or now_ns - found[0] > REMEMBER_NS:
            return None
        if found[1] is not None:
            return found[1]
        accepted: Future[Partial | None] = Future()
        accepted.set_result(None)
        return accepted

    def begin(self, identity: bytes, now_ns: int, outcome: Future[Partial | None]) -> None:
        """Remember a request that is under way; those of more than ten minutes ago take no place any more."""
        self._known.pop(identity, None)
        while self._known:
            first, (arrival_ns, _) = next(iter(self._known.items()))
            if now_ns - arrival_ns <= REMEMBER_NS:
                break
            del self._known[first]
        self._remember(identity, now_ns, outcome)

    def accepted(self, identity: bytes, arrival_ns: int) -> None:
        """Remember a request that was acknowledged."""
        self._remember(identity, arrival_ns, None)

    def _remember(
        self, identity: bytes, arrival_ns: int, outcome: Future[Partial | None] | None
    ) -> None:
        self._known[identity] = (arrival_ns, outcome)
        while len(self._known) > self._places:
            _, (first_ns, _) = self._known.popitem(last=False)
            self.evicted_early += arrival_ns - first_ns <= REMEMBER_NS

    def failed(self, identity: bytes) -> None:
        """Forget a request that was refused: it may come again."""
        self._known.pop(identity, None)

    def load(self, now_ns: int) -> None:
        """Read the digest logs that an earlier process left.

        A digest from the future is one from before the clock was set back: it is remembered like the others.
        """
        for path in sorted(self._directory.glob("*.digests")):
            newest = 0
            for arrival_ns, identity in _ENTRY.iter_unpack(_whole_entries(path.read_bytes())):
                newest = max(newest, arrival_ns)
                if now_ns - arrival_ns <= REMEMBER_NS:
                    self.accepted(identity, arrival_ns)
            self._logs.append((newest, path))

    def recall(self, segment: SegmentFile) -> None:
        """Remember the requests of a segment that an earlier process left."""
        try:
            found = read_digests(segment)
        except OSError as error:  # its delivery will say what becomes of it
            log.error("%s: retries of its requests will not be noticed: %s", segment.path, error)  # noqa: TRY400  # no trace is needed
            return
        for arrival_ns, identity in found:
            self.accepted(identity, arrival_ns)

    def persist(self, name: str, entries: Iterable[tuple[int, bytes]], now_ns: int) -> None:
        """Write the digests of a segment that is about to be removed, durably, and remove logs of the past."""
        listed = list(entries)
        if listed:
            path = self._directory / f"{name}.digests"
            with path.open("wb") as file:
                file.write(
                    b"".join(_ENTRY.pack(arrival_ns, identity) for arrival_ns, identity in listed)
                )
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self._directory)
            self._logs.append((max(arrival_ns for arrival_ns, _ in listed), path))
        for newest, path in [entry for entry in self._logs if now_ns - entry[0] > REMEMBER_NS]:
            path.unlink(missing_ok=True)
            self._logs.remove((newest, path))


def _whole_entries(data: bytes) -> bytes:
    return data[: len(data) // _ENTRY.size * _ENTRY.size]
