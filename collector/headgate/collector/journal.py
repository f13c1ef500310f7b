"""The journal: what was acknowledged and is not yet safely in ClickHouse, as append-only segment files.

Guarantees, crash point by crash point (kill -9 and power loss), and what proves each:

1. Before the record is on disk: the sender has no acknowledgement and sends again. Nothing is lost.
   (test_journal.py: nothing is called done before it can be read back.)
2. Record on disk (fdatasync), acknowledgement not sent: the sender sends again; its digest is found in the segment,
   and the copy is dropped. Nothing is doubled. (test_pipeline.py, test_faults_kill.py)
3. Acknowledged, segment not inserted, or inserted in part: at the next start the file is processed again; the same
   bytes make the same blocks, and blocks carry tokens made from the segment's id: what ClickHouse has is dropped there.
   If another version made the blocks, the segment's plan tells (`headgate.collector.plan`).
   (test_delivery.py, test_faults_kill.py)
4. Inserted, file not removed: as 3. (test_pipeline.py)
5. Inserted and removed: before a segment is removed, the engine's files are on disk (`syncfs`, embedded engine) and
   its digests are in the digest log, fsynced. A retry that arrives after the crash is still recognised.
   (test_retransmission.py, test_faults_kill.py)

6. The disk is full while the embedded engine writes, which it does not tell: a segment is released only after a look
   that found all its parts whole; else they are undone and inserted again (`headgate.store.repair`; killed before that,
   a block may be stored twice). (test_delivery.py, test_store_repair.py, test_faults_kill.py)

A write that fails leaves whole records only, and its senders are told to come back; room is kept on the disk for what
must be written to make room. A torn last record is cut off: it was never acknowledged. A record that was damaged later
is reported with its position and copied to `quarantine/`; the rest of its segment is delivered. A segment's id is 128
random bits, never a counter: a wiped, copied or restored directory does not reuse tokens. Exactly once across kills
and outages; across power loss at least once.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.collector.errors import Retryable
from headgate.collector.quarantine import Quarantine, sync_directory
from headgate.collector.record import FRAME_BYTES, Record, digests, frame, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger(__name__)
SUFFIX, PLAN = ".journal", ".plan"
_NAME = re.compile(r"\d+-([0-9a-f]{32})")


@dataclass(slots=True)
class SegmentFile:
    """One file of the journal; `size` and `items` are what has been committed to it so far, `id` 32 hex digits."""

    path: Path
    id: str
    size: int = 0
    items: int = 0

    @property
    def key(self) -> bytes:
        """What its records are keyed by."""
        return bytes.fromhex(self.id)

    @property
    def plan_path(self) -> Path:
        """Where its plan lies, once its rows are being inserted."""
        return self.path.with_suffix(PLAN)


@dataclass(frozen=True, slots=True)
class Append:
    """A record on its way to disk.

    `done` is called, mostly in the journal's thread, with its segment once it is durable, or with why it is not; it
    must not raise.
    """

    payload: bytes
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
        reserve_bytes: int,
        sealed: Callable[[SegmentFile], None],
        gather_s: float = 0.002,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the directory; `sealed` is called, in the journal's thread, with each segment that is closed.

        The journal holds `limit_bytes` at most, and leaves `reserve_bytes` of the disk free. Syncs follow each other
        after `gather_s` at the earliest: what comes in between is synced together, what comes alone at once.
        """
        self._directory = directory
        self._clock_ns = clock_ns
        self._new_id = new_id
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes
        self._sealed = sealed
        self._gather_s = gather_s
        self._monotonic_s = monotonic_s
        self._queue: queue.SimpleQueue[Append | str] = queue.SimpleQueue()
        self._current: SegmentFile | None = None
        self._descriptor = -1
        self._lock = threading.Lock()  # of the two that follow
        self._backlog_bytes = 0
        self._closed = False
        directory.mkdir(parents=True, exist_ok=True)
        sync_directory(directory.parent)
        sync_directory(directory.parent.parent)
        self._thread = threading.Thread(target=self._run, name="headgate-journal", daemon=True)

    @property
    def backlog_bytes(self) -> int:
        """How many bytes are not released yet."""
        return self._backlog_bytes

    def leftovers(self) -> list[SegmentFile]:
        """Return the segments that an earlier process left, oldest first; called once, before `start`."""
        found = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            name = _NAME.fullmatch(path.stem)
            size = path.stat().st_size
            if name is None:
                log.error("%s is no segment by its name, and is left alone", path)
            elif size:
                found.append(SegmentFile(path, name[1], size))
                self._grow(size)
            else:
                path.unlink()
        for plan in self._directory.glob(f"*{PLAN}"):
            if not plan.with_suffix(SUFFIX).exists():
                plan.unlink()
        return found

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def append(self, append: Append) -> None:
        """Queue a record; one for which there is no room is done at once, with Retryable."""
        refused = None
        with self._lock:
            if self._closed:
                refused = Retryable("the collector is stopping")
            elif self._backlog_bytes + len(append.payload) + FRAME_BYTES > self._limit_bytes:
                refused = Retryable("the journal is full: ClickHouse does not keep up", 2.0)
            else:
                self._queue.put(append)
        if refused is not None:
            append.done(refused)

    def seal(self) -> None:
        """Ask for the current segment to be closed, after what was appended before."""
        self._queue.put("seal")

    def close(self) -> None:
        """Write what was appended, close the current segment, end the thread."""
        with self._lock:
            self._closed = True
            self._queue.put("close")
        self._thread.join()

    def release(self, segment: SegmentFile) -> None:
        """Remove a segment whose rows are safe elsewhere."""
        segment.path.unlink(missing_ok=True)
        segment.plan_path.unlink(missing_ok=True)
        self._grow(-segment.size)

    def _grow(self, size: int) -> None:
        with self._lock:
            self._backlog_bytes += size

    def _run(self) -> None:
        running = True
        synced_s = float("-inf")
        while running:
            orders = [self._queue.get()]
            wait_s = synced_s + self._gather_s - self._monotonic_s()
            if wait_s > 0:
                time.sleep(wait_s)
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
            synced_s = self._monotonic_s()

    def _commit(self, group: list[Append]) -> None:
        """Write and sync a group of records; on failure none of them is there and their senders are told."""
        if not group:
            return
        try:
            self._check_room(sum(len(append.payload) + FRAME_BYTES for append in group))
            segment = self._current or self._open()
            key = segment.key
            data = b"".join(
                piece for append in group for piece in (frame(key, append.payload), append.payload)
            )
            _write_all(self._descriptor, data, segment.size)
            os.fdatasync(self._descriptor)
        except OSError as error:
            # What a disk holds after a failed sync is unknown: nothing more is written to this file.
            self._close_current()
            refused = Retryable(f"the journal cannot be written: {error.strerror}", 2.0)
            for append in group:
                append.done(refused)
            return
        segment.size += len(data)
        segment.items += sum(append.items for append in group)
        self._grow(len(data))
        for append in group:
            append.done(segment)

    def _check_room(self, size: int) -> None:
        """Raise OSError when the disk would have too little left for what frees it: rows, digests, plans."""
        disk = os.statvfs(self._directory)
        if disk.f_bavail * disk.f_frsize < size + self._reserve_bytes:
            raise OSError(errno.ENOSPC, "the disk is nearly full; make room on it")

    def _open(self) -> SegmentFile:
        identity = self._new_id()
        path = self._directory / f"{self._clock_ns():020d}-{identity}{SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._current = SegmentFile(path, identity)
        sync_directory(self._directory)
        return self._current

    def _close_current(self) -> None:
        """Close the current segment behind its last committed record, whatever stands there."""
        segment, self._current = self._current, None
        if segment is None:
            return
        try:
            if os.fstat(self._descriptor).st_size != segment.size:
                os.ftruncate(self._descriptor, segment.size)
            os.close(self._descriptor)
            if not segment.size:
                segment.path.unlink(missing_ok=True)
        except OSError as error:
            log.error("%s: cannot be closed properly: %s", segment.path, error)  # noqa: TRY400  # no trace is needed
        if segment.size:
            self._sealed(segment)


def read(segment: SegmentFile, quarantine: Quarantine) -> Iterator[Record]:
    """Read a segment; a damaged stretch is put aside and reported, the rest is returned. Raises OSError."""
    data = segment.path.read_bytes()[: segment.size]
    for found in unpack(segment.key, data):
        if isinstance(found, Record):
            yield found
            continue
        name = f"{segment.path.stem}-{found.start}-{found.end}.damaged"
        kept = quarantine.keep(name, data[found.start : found.end])
        log.error(
            "%s: bytes %d to %d are damaged or were torn off by a crash; they are kept as %s, the rest is delivered",
            segment.path.name, found.start, found.end, kept,
        )  # fmt: skip


def read_digests(segment: SegmentFile) -> list[tuple[int, bytes]]:
    """Return (arrival, digest) of the segment's undamaged requests; raises OSError."""
    return list(digests(segment.key, segment.path.read_bytes()[: segment.size]))


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
