"""From a request's bytes to rows in ClickHouse; the only module that knows the order of the stages.

receive:  bytes -> check -> retransmission? -> journal -> fdatasync -> acknowledge          (any thread)
process:  sealed segment -> decode, derive, roll up, encode -> insert with tokens -> release (one thread)

Acknowledgement: `accept` returns a future that is done when the request is valid and its record is on disk, never
before. What is acknowledged reaches ClickHouse exactly once: see `headgate.collector.journal` for every crash point.
Processing runs later, over the same bytes, whether they are still in memory or read back after a crash; segments are
processed in order. A retryable failure is repeated until it succeeds; a request that cannot be processed, and a block
that the store will never take, is put aside in `quarantine/`, counted and reported, and the rest goes on.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.collector.check import examine
from headgate.collector.delivery import Delivery
from headgate.collector.errors import CollectorError, Malformed, Retryable
from headgate.collector.journal import Append, Journal, SegmentFile, read_digests
from headgate.collector.ledger import Entry, Tally, minute_of
from headgate.collector.process import Request
from headgate.collector.record import LEDGER, Record, pack
from headgate.collector.release import Releaser
from headgate.collector.retransmission import Retransmissions, digest
from headgate.collector.segment import KINDS, Segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headgate.collector.signals import Signal
    from headgate.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is sealed, and how much may wait.

    A segment is sealed at `segment_bytes` or `segment_items`, or by age: `busy_age_s` when it has `busy_items`, else
    `idle_age_s`. `memory_bytes` bounds the requests in memory: beyond half of it sealed segments are read back from
    disk, beyond all of it senders are told to come back. `journal_bytes` bounds the files.
    """

    segment_bytes: int = 32 << 20
    segment_items: int = 100_000
    busy_items: int = 1000
    busy_age_s: float = 1.0
    idle_age_s: float = 4.0
    memory_bytes: int = 256 << 20
    journal_bytes: int = 4 << 30


class Pipeline:
    """Takes requests from any thread, makes them durable and stores them; `close` finishes what it can."""

    def __init__(
        self,
        store: Store,
        directory: Path,
        *,
        clock_ns: Callable[[], int],
        monotonic_s: Callable[[], float],
        new_id: Callable[[], str],
        make_durable: Callable[[], None],
        limits: Limits = Limits(),  # frozen
    ) -> None:
        """Use `directory` for the journal; `make_durable` returns when what the store has taken is on its disk."""
        self._database = store.database
        self._clock_ns = clock_ns
        self._monotonic_s = monotonic_s
        self._limits = limits
        self._journal = Journal(
            directory,
            clock_ns=clock_ns,
            new_id=new_id,
            limit_bytes=limits.journal_bytes,
            sealed=self._sealed,
        )
        self._retransmissions = Retransmissions(directory)
        self._releaser = Releaser(self._journal, self._retransmissions, make_durable)
        self._delivery = Delivery(store, directory / "quarantine")
        self._changed = threading.Condition()
        self._open: list[Request] = []
        self._open_bytes = 0
        self._open_since_s = 0.0
        self._entries: list[Entry] = []
        self._tally = Tally()
        self._waiting: deque[Segment] = deque()
        self._memory_bytes = 0
        self._sealed_count = self._stored_count = 0
        self._urgent = False
        self._closing = False
        self.received: Counter[Signal] = Counter()
        self.stored: Counter[Signal] = Counter()
        self.rejected: Counter[Signal] = Counter()
        self.duplicate: Counter[Signal] = Counter()
        self._thread = threading.Thread(target=self._run, name="headgate-process", daemon=True)

    def start(self) -> None:
        """Take up what an earlier process left, and begin."""
        now_ns = self._clock_ns()
        self._retransmissions.load(now_ns)
        for file in self._journal.leftovers():
            for arrival_ns, identity in read_digests(file):
                self._retransmissions.accepted(identity, arrival_ns)
            self._waiting.append(Segment(file, None))
            self._sealed_count += 1
        if self._waiting:
            log.warning("processing %d segments that an earlier process left", len(self._waiting))
        self._journal.start()
        self._thread.start()

    @property
    def backlog_bytes(self) -> int:
        """How many bytes of the journal are not released yet."""
        return self._journal.backlog_bytes

    def accept(self, signal: Signal, body: bytes) -> Future[None]:
        """Validate a request (protobuf bytes) and write it to the journal.

        Raises Malformed at once, counted as rejected, or Retryable when there is no room or we are stopping. The
        future is done when the request is durable, and fails with Retryable when it could not be made so.
        """
        arrival_ns = self._clock_ns()
        try:
            items, recognisable = examine(signal, body)
        except Malformed:
            self.reject(signal, len(body))
            raise
        identity = digest(self._database, signal, body) if recognisable else b""
        outcome: Future[None] = Future()
        with self._changed:
            if self._closing:
                raise Retryable("the collector is stopping")
            self.received[signal] += items
            original = self._retransmissions.find(identity, arrival_ns) if identity else None
            if original is not None:
                self._count("Duplicate", signal, items, len(body))
                return original
            if self._memory_bytes + len(body) > self._limits.memory_bytes and self._memory_bytes:
                self.received[signal] -= items
                raise Retryable("the collector is busy: too many bytes wait to be stored")
            self._memory_bytes += len(body)
            if identity:
                self._retransmissions.begin(identity, arrival_ns, outcome)
        request = Request(signal, body, items, arrival_ns)
        record = pack(Record(KINDS[signal], arrival_ns, items, identity, body))
        try:
            self._journal.append(
                Append(
                    record, items, lambda result: self._written(request, identity, outcome, result)
                )
            )
        except Retryable as error:
            self._written(request, identity, outcome, error)
        return outcome

    def reject(self, signal: Signal, size: int, items: int = 1) -> None:
        """Count a request that was refused for good; it has one item as far as we know."""
        with self._changed:
            self.received[signal] += items
            self._count("Rejected", signal, items, size)

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything acknowledged so far is stored; return False when that took too long."""
        with self._changed:
            pending = bool(self._open or self._tally)
            ticket = self._sealed_count + pending
            self._urgent = self._urgent or pending
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._stored_count >= ticket, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Stop accepting and store what was accepted; return False when some of it must wait in the journal."""
        deadline_s = self._monotonic_s() + timeout_s
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._write_tally()
        self._journal.close()
        with self._changed:
            stored = self._changed.wait_for(
                lambda: self._stored_count >= self._sealed_count, deadline_s - self._monotonic_s()
            )
        self._delivery.stop()
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
        self._thread.join(2.0)
        return stored

    def _written(
        self,
        request: Request,
        identity: bytes,
        outcome: Future[None],
        result: SegmentFile | Retryable,
    ) -> None:
        """Acknowledge or refuse a request; called in the journal's thread once its fate is known."""
        with self._changed:
            if isinstance(result, Retryable):
                self._memory_bytes -= len(request.body)
                self.received[request.signal] -= request.items
                self._retransmissions.failed(identity)
            else:
                if not self._open:
                    self._open_since_s = self._monotonic_s()
                    self._changed.notify_all()
                self._open.append(request)
                self._open_bytes += len(request.body)
                if identity:
                    self._retransmissions.accepted(identity, request.arrival_ns)
                if (
                    result.size >= self._limits.segment_bytes
                    or result.items >= self._limits.segment_items
                ):
                    self._journal.seal()
        if isinstance(result, Retryable):
            outcome.set_exception(result)
        else:
            outcome.set_result(None)

    def _sealed(self, file: SegmentFile) -> None:
        """Queue a segment that the journal has closed; called in the journal's thread."""
        with self._changed:
            contents: tuple[list[Request], list[Entry]] | None = (self._open, self._entries)
            if self._waiting and self._memory_bytes > self._limits.memory_bytes // 2:
                contents = None
                self._memory_bytes -= self._open_bytes
            self._open, self._entries, self._open_bytes = [], [], 0
            self._waiting.append(Segment(file, contents))
            self._sealed_count += 1
            self._urgent = False
            self._changed.notify_all()

    def _count(self, fate: str, signal: Signal, items: int, size: int) -> None:
        """Note something that is not stored; the caller holds the lock."""
        counter = self.rejected if fate == "Rejected" else self.duplicate
        counter[signal] += items
        if not self._tally and not self._open:
            self._open_since_s = self._monotonic_s()
        self._tally.add(Entry(minute_of(self._clock_ns()), signal, b"", fate, items, size))
        self._changed.notify_all()

    def _write_tally(self) -> None:
        """Send what was refused and dropped the way of the data: into the journal."""
        with self._changed:
            entries = self._tally.take()
        if not entries:
            return

        def written(result: SegmentFile | Retryable) -> None:
            with self._changed:
                if isinstance(result, Retryable):
                    for entry in entries:
                        self._tally.add(entry)
                else:
                    self._entries += entries

        record = Record(LEDGER, self._clock_ns(), 0, b"", Entry.write(entries))
        try:
            self._journal.append(Append(pack(record), 0, written))
        except Retryable as error:
            written(error)

    def _run(self) -> None:
        while (segment := self._next()) is not None:
            try:
                requests, entries = segment.load()
            except OSError as error:
                log.error("segment %s cannot be read and is skipped: %s", segment.file.path, error)  # noqa: TRY400
                requests, entries = [], []
            try:
                self._delivery.deliver(segment.file.id, requests, entries)
            except CollectorError as error:  # we are stopping: the segment waits in the journal
                log.warning("%s is left for the next start: %s", segment.file.path.name, error)
                return
            with self._changed:
                for request in requests:
                    self.stored[request.signal] += request.items
                if segment.contents is not None:
                    self._memory_bytes -= sum(len(request.body) for request in requests)
                self._waiting.popleft()
                self._stored_count += 1
                self._releaser.add(segment.file, self._clock_ns())
                self._changed.notify_all()
        self._release()

    def _release(self) -> None:
        """Release what is stored; what cannot be released now is tried again with the next."""
        try:
            self._releaser.release(self._clock_ns())
        except OSError as error:
            log.error("stored segments cannot be removed yet: %s", error)  # noqa: TRY400

    def _next(self) -> Segment | None:
        """Return the oldest sealed segment, sealing one when it is time; None when stopping and all is stored."""
        asked_s = float("-inf")
        while True:
            with self._changed:
                now_s = self._monotonic_s()
                due_s = self._due_s()
                if self._waiting:
                    segment = self._waiting[0]
                    break
                if self._closing and self._urgent:
                    return None
                due = self._urgent or now_s >= due_s
                seal = due and not self._closing and now_s >= asked_s + 1.0
                if not seal and not self._releaser.due(self._clock_ns()):
                    self._changed.wait(min(max(due_s - now_s, 0.05), 0.5))
            if seal:
                self._write_tally()
                self._journal.seal()
                asked_s = now_s
            elif self._releaser.due(self._clock_ns()):
                self._release()
        if self._releaser.due(self._clock_ns()):
            self._release()
        return segment

    def _due_s(self) -> float:
        """Return when the open segment is to be sealed; the caller holds the lock."""
        if not (self._open or self._tally):
            return float("inf")
        busy = sum(request.items for request in self._open) >= self._limits.busy_items
        return self._open_since_s + (self._limits.busy_age_s if busy else self._limits.idle_age_s)
