"""The journal: what was acknowledged and is not yet safely in ClickHouse, as append-only segment files.

Guarantees, crash point by crash point (kill -9 and power loss), and what proves each (tests/test_faults.py):

1. Before the record is on disk: the sender has no acknowledgement and sends again. Nothing is lost.
2. Record on disk (fdatasync), acknowledgement not sent: the sender sends again; its digest is found in the segment,
   and the copy is dropped. Nothing is doubled.
3. Acknowledged, segment not inserted, or inserted in part: at the next start the file is processed again; the same
   bytes make the same blocks, and blocks carry tokens made from the segment's id: what ClickHouse has is dropped there.
4. Inserted, file not removed: as 3.
5. Inserted and removed: before a segment is removed, the engine's files are on disk (`syncfs`, embedded engine) and
   its digests are in the digest log, fsynced. A retry that arrives after the crash is still recognised.

A torn last record is cut off: it was never acknowledged. A record that was damaged later is reported with its
position and copied to `quarantine/`; the rest of its segment is delivered. A segment's id is 128 random bits, never a
counter: a wiped, copied or restored directory does not reuse tokens. Exactly once across kills and outages; across
power loss at least once.
"""

from __future__ import annotations

import logging
import mmap
import os
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.collector.errors import Retryable
from headgate.collector.record import Damage, Record, digests, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger(__name__)
SUFFIX = ".journal"


@dataclass(slots=True)
class SegmentFile:
    """One file of the journal; `size` and `items` are what has been committed to it so far."""

    path: Path
    id: str
    size: int = 0
    items: int = 0


@dataclass(frozen=True, slots=True)
class Append:
    """A record on its way to disk; `done` is called with its segment once it is durable, or with why it is not."""

    data: bytes
    items: int
    done: Callable[[SegmentFile | Retryable], None]


class Journal:
    """Owns a directory of segments; any thread appends, one thread of its own writes and syncs in groups."""

    def __init__(
        self,
        directory: Path,
        *,
        clock_ns: Callable[[], int],
        new_id: Callable[[], str],
        limit_bytes: int,
        sealed: Callable[[SegmentFile], None],
    ) -> None:
        """Prepare the directory; `sealed` is called, in the journal's thread, with each segment that is closed."""
        self._directory = directory
        self._clock_ns = clock_ns
        self._new_id = new_id
        self._limit_bytes = limit_bytes
        self._sealed = sealed
        self._queue: queue.SimpleQueue[Append | str] = queue.SimpleQueue()
        self._current: SegmentFile | None = None
        self._descriptor = -1
        self.backlog_bytes = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="headgate-journal", daemon=True)

    def leftovers(self) -> list[SegmentFile]:
        """Return the segments that an earlier process left, oldest first; called once, before `start`."""
        found = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            size = path.stat().st_size
            if size:
                found.append(SegmentFile(path, path.stem.rpartition("-")[2], size))
                self.backlog_bytes += size
            else:
                path.unlink()
        return found

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def append(self, append: Append) -> None:
        """Queue a record; raises Retryable when the journal is full."""
        if self.backlog_bytes + len(append.data) > self._limit_bytes:
            raise Retryable("the journal is full: ClickHouse does not keep up", 2.0)
        self._queue.put(append)

    def seal(self) -> None:
        """Ask for the current segment to be closed, after what was appended before."""
        self._queue.put("seal")

    def close(self) -> None:
        """Write what was appended, close the current segment, end the thread."""
        self._queue.put("close")
        self._thread.join()

    def release(self, segment: SegmentFile) -> None:
        """Remove a segment whose rows are safe elsewhere."""
        segment.path.unlink(missing_ok=True)
        self.backlog_bytes -= segment.size

    def _run(self) -> None:
        running = True
        while running:
            orders = [self._queue.get()]
            while not self._queue.empty():
                orders.append(self._queue.get())
            group: list[Append] = []
            for order in orders:
                if isinstance(order, Append):
                    group.append(order)
                    continue
                self._commit(group)
                group = []
                self._close_current()
                running = running and order != "close"
            self._commit(group)

    def _commit(self, group: list[Append]) -> None:
        """Write and sync a group of records; on failure none of them is there and their senders are told."""
        if not group:
            return
        try:
            segment = self._current or self._open()
            data = b"".join(append.data for append in group)
            _write_all(self._descriptor, data, segment.size)
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._undo()
            refused = Retryable(f"the journal cannot be written: {error.strerror}", 2.0)
            for append in group:
                append.done(refused)
            return
        segment.size += len(data)
        segment.items += sum(append.items for append in group)
        self.backlog_bytes += len(data)
        for append in group:
            append.done(segment)

    def _open(self) -> SegmentFile:
        identity = self._new_id()
        path = self._directory / f"{self._clock_ns():020d}-{identity}{SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        sync_directory(self._directory)
        self._current = SegmentFile(path, identity)
        return self._current

    def _undo(self) -> None:
        """Cut what a failed write may have left behind the last whole record."""
        if self._current is not None:
            try:
                os.ftruncate(self._descriptor, self._current.size)
            except OSError as error:
                log.error(  # noqa: TRY400  # the reason is in the message
                    "cannot cut %s back to its last record: %s", self._current.path, error
                )

    def _close_current(self) -> None:
        segment, self._current = self._current, None
        if segment is None:
            return
        os.close(self._descriptor)
        if segment.size:
            self._sealed(segment)
        else:
            segment.path.unlink(missing_ok=True)


def read(segment: SegmentFile) -> Iterator[Record]:
    """Read a segment; a damaged stretch is copied to `quarantine/` and reported, the rest is returned."""
    data = segment.path.read_bytes()
    for found in unpack(data):
        if isinstance(found, Record):
            yield found
        else:
            _quarantine(segment, found, data)


def read_digests(segment: SegmentFile) -> list[tuple[int, bytes]]:
    """Return (arrival, digest) of the segment's requests, without reading the requests themselves."""
    with (
        segment.path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return list(digests(data))


def _quarantine(segment: SegmentFile, damage: Damage, data: bytes) -> None:
    directory = segment.path.parent / "quarantine"
    directory.mkdir(exist_ok=True)
    copy = directory / f"{segment.path.stem}-{damage.start}-{damage.end}.damaged"
    copy.write_bytes(data[damage.start : damage.end])
    log.error(
        "%s: bytes %d to %d are damaged or were torn off by a crash; they are kept as %s, the rest is delivered",
        segment.path.name, damage.start, damage.end, copy,
    )  # fmt: skip


def sync_directory(directory: Path) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
