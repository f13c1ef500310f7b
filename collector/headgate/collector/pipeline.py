"""From a request's bytes to rows in ClickHouse; the only module that knows the order of the stages.

receive:  bytes -> check -> retransmission? -> journal -> fdatasync -> acknowledge                   (any thread)
process:  sealed segment -> derive, sample, roll up, encode -> plan -> insert with tokens -> release (one thread)

Acknowledgement: `accept` returns a future that is done when the request is valid and its record is on disk, never
before. What is acknowledged reaches ClickHouse exactly once: see `headgate.collector.journal` for every crash point.
Processing runs later, over the same bytes, whether they are still in memory or read back after a crash; segments are
processed in order. A retryable failure is repeated until it succeeds; a request that cannot be processed, and a block
that the store will never take, is put aside in `quarantine/`, counted and reported, and the rest goes on.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from headgate.collector.books import Books
from headgate.collector.delivery import Delivery
from headgate.collector.errors import Malformed, Retryable, TooLarge
from headgate.collector.filling import Filling, Limits
from headgate.collector.inspect import Inspected, NothingGood, inspect
from headgate.collector.journal import Append, Journal, SegmentFile
from headgate.collector.quarantine import Quarantine
from headgate.collector.record import Record, pack
from headgate.collector.release import Releaser
from headgate.collector.retransmission import Retransmissions
from headgate.collector.room import Room
from headgate.collector.rules import Rules
from headgate.collector.segment import KINDS, Segment, StoredSegment
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headgate.collector.ledger import Entry
    from headgate.collector.partial import Partial
    from headgate.collector.process import Request
    from headgate.collector.sampling import Sampler
    from headgate.store import Store

__all__ = ["Limits", "Pipeline"]

log = logging.getLogger(__name__)
_IDLE_S = 30.0
_LEAST_SEGMENT_BYTES = 1 << 20


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
        when_idle: Callable[[], None] = lambda: None,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        sampler: Sampler | None = None,
        room: Room | None = None,
        rules: Rules = Rules(),  # noqa: B008  # frozen
        observer: Callable[[StoredSegment], None] | None = None,
    ) -> None:
        """Use `directory` for the journal; `new_id` returns 32 random hex digits.

        `make_durable` returns when what the store has taken is on its disk, or raises OSError; `when_idle` is called
        when nothing has come for half a minute. Without a sampler everything is kept. `room` is what bounds the
        memory, where other pipelines share it; it has `limits.memory_bytes` unless given.
        """
        self.room = room or Room(limits.memory_bytes)
        self.database = store.database
        self._clock_ns = clock_ns
        self._monotonic_s = monotonic_s
        self._limits = limits
        self._journal = Journal(
            directory,
            clock_ns=clock_ns,
            new_id=new_id,
            limit_bytes=limits.journal_bytes,
            reserve_bytes=limits.reserve_bytes,
            sealed=self._sealed,
        )
        self._retransmissions = Retransmissions(directory)
        self.sampler = sampler
        self._make_durable = make_durable
        self._when_idle = when_idle
        self._releaser = Releaser(self._journal, self._retransmissions, self._before_release)
        self.quarantine = Quarantine(directory / "quarantine")
        self._delivery = Delivery(store, self.quarantine, sampler, rules)
        self._changed = threading.Condition()  # guards everything below
        self._filling = Filling(limits)
        self._sealing = False
        self.books = Books(
            self._changed, self._journal, clock_ns, self._noted, self._entries_written
        )
        self._waiting: deque[Segment] = deque()
        self._sealed_count = self._stored_count = 0
        self._urgent = self._closing = self._finished = False
        self.last_stored_ns: int | None = None
        self._observer = observer
        self._thread = threading.Thread(target=self._run, name="headgate-process", daemon=True)

    def start(self) -> None:
        """Take up what an earlier process left, and begin."""
        self._retransmissions.load(self._clock_ns())
        for file in self._journal.leftovers():
            self._retransmissions.recall(file)
            self._waiting.append(Segment(file, None))
            self._sealed_count += 1
        if self._waiting:
            log.warning("processing %d segments that an earlier process left", len(self._waiting))
        self._journal.start()
        self._thread.start()

    @property
    def accepting(self) -> bool:
        """Whether requests are taken: until `close`."""
        return not self._closing

    @property
    def waiting_segments(self) -> int:
        """How many sealed segments are not stored yet."""
        return len(self._waiting)

    @property
    def backlog_bytes(self) -> int:
        """How many bytes of the journal are not released yet."""
        return self._journal.backlog_bytes

    def accept(self, signal: Signal, body: bytes, held: int = 0) -> Future[Partial | None]:
        """Validate a request (protobuf bytes) and write its good items to the journal.

        The future is done when they are durable, with what was left out, if anything; it fails with Retryable when
        they could not be made so. It cannot be cancelled, since it may be shared by the request and its
        retransmissions. Raises Malformed at once, counted as rejected, for a request without a good item, or Retryable
        when there is no room or we are stopping. `held` bytes of the room are taken over when this returns.
        """
        try:
            found = inspect(self.database, signal, body, self._clock_ns())
        except NothingGood as error:
            self.books.reject_items(signal, error.partial)
            raise
        except (Malformed, TooLarge):
            self.books.reject(signal, len(body))
            raise
        taken = self._take(found, held)
        if found.partial is None:
            return taken
        accepted: Future[Partial | None] = Future()
        accepted.set_running_or_notify_cancel()
        taken.add_done_callback(functools.partial(_answer, accepted, found.partial))
        return accepted

    def _take(self, found: Inspected, held: int) -> Future[Partial | None]:
        """Write what is good of a request, unless the same was sent before."""
        request, identity = found.request, found.identity
        outcome: Future[Partial | None] = Future()
        outcome.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                raise Retryable("the collector is stopping")
            original = (
                self._retransmissions.find(identity, request.arrival_ns) if identity else None
            )
            if original is None:
                self.room.take(len(request.body) + self._transient(request.body) - held, held)
                self.books.received[request.signal] += request.items
                if identity:
                    self._retransmissions.begin(identity, request.arrival_ns, outcome)
        if original is not None:
            self.room.give(held)
            original.add_done_callback(functools.partial(self._joined, found.sent))
            return original
        kind = KINDS[request.signal]
        record = pack(Record(kind, request.arrival_ns, request.items, identity, request.body))
        written = functools.partial(self._written, found, outcome)
        self._journal.append(Append(record, request.items, written))
        return outcome

    def _transient(self, body: bytes) -> int:
        """Return how much more than its own bytes a request takes until it is durable: its record, and the group's."""
        return min(2 * len(body), self._limits.memory_bytes // 4)

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything acknowledged so far is stored; return False when that took too long."""
        with self._changed:
            pending = bool(self._filling) or self.books.pending
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
        self._delivery.hasten()
        self.books.write()
        self._journal.close()
        with self._changed:
            stored = self._changed.wait_for(
                lambda: self._stored_count >= self._sealed_count, deadline_s - self._monotonic_s()
            )
            self._finished = True
            self._changed.notify_all()
            if not stored:
                log.warning("%d segments are left for the next start", len(self._waiting))
        self._delivery.stop()
        self._thread.join(2.0)
        return stored

    def _written(
        self,
        found: Inspected,
        outcome: Future[Partial | None],
        result: SegmentFile | Retryable,
    ) -> None:
        """Acknowledge or refuse a request; called in the journal's thread once its fate is known."""
        request = found.request
        self.room.give(self._transient(request.body))
        with self._changed:
            if isinstance(result, Retryable):
                self.room.give(len(request.body))
                self.books.received[request.signal] -= request.items
                self._retransmissions.failed(found.identity)
            else:
                if not self._filling:
                    self._changed.notify_all()
                self._filling.add(request, self._monotonic_s())
                if found.identity:
                    self._retransmissions.accepted(found.identity, request.arrival_ns)
                crowded = self.room.crowded and self._filling.size >= _LEAST_SEGMENT_BYTES
                if (self._filling.full or crowded) and not self._sealing:
                    self._sealing = True
                    self._journal.seal()
        if isinstance(result, Retryable):
            outcome.set_exception(result)
            return
        if found.partial is not None:
            self.books.reject_items(request.signal, found.partial)
            self.books.write()  # at once: after a crash nothing would tell of them
        outcome.set_result(None)

    def _joined(self, request: Request, original: Future[Partial | None]) -> None:
        """Count a retransmission, once it has its original's outcome: a refusal is nothing that was received."""
        if original.exception() is None:
            size = len(request.body)
            self.books.count("Duplicate", request.signal, request.items, size)

    def _sealed(self, file: SegmentFile) -> None:
        """Queue a segment that the journal has closed; called in the journal's thread."""
        with self._changed:
            filled, self._filling = self._filling, Filling(self._limits)
            contents: tuple[list[Request], list[Entry]] | None = (filled.requests, filled.entries)
            if self._waiting and self.room.pressed:
                contents = None
                self.room.give(filled.size)
            if self.books.has_entries:
                self._filling.begin(self._monotonic_s())
            self._waiting.append(Segment(file, contents))
            self._sealed_count += 1
            self._urgent = self._sealing = False
            self._changed.notify_all()

    def _noted(self) -> None:
        """Let the age of a segment begin: there is something for the ledger."""
        self._filling.begin(self._monotonic_s())
        self._changed.notify_all()

    def _entries_written(self, entries: list[Entry]) -> None:
        self._filling.entries += entries

    def _run(self) -> None:
        while (segment := self._next()) is not None:
            began_ns = self._clock_ns()
            try:
                delivered = self._delivery.deliver(segment)
            except Retryable:  # we are stopping: it is left for the next start
                break
            with self._changed:
                self.books.stored.update(delivered.stored)
                self.books.rejected.update(delivered.rejected)
                self.books.sampled_out.update(delivered.sampled_out)
                if segment.contents is not None:
                    self.room.give(sum(len(r.body) for r in segment.contents[0]))
                self._waiting.popleft()
                self._stored_count += 1
                self.last_stored_ns = self._clock_ns()
                self._releaser.add(segment.file, self._clock_ns())
                self._changed.notify_all()
            if self._observer is not None:
                items = {str(signal): delivered.stored[signal] for signal in Signal}
                file = segment.file
                self._observer(
                    StoredSegment(file.id, file.size, items, began_ns, self.last_stored_ns)
                )
        self._releaser.release(self._clock_ns())

    def _before_release(self) -> None:
        """Make durable what released segments would otherwise still tell."""
        self._make_durable()
        if self.sampler is not None:
            self.sampler.persist()

    def _next(self) -> Segment | None:
        """Return the oldest sealed segment, sealing one when it is time; None when stopping and all is stored."""
        asked_s, busy_s = float("-inf"), float("inf")
        while True:
            if self._releaser.due(self._clock_ns()):
                self._releaser.release(self._clock_ns())
                busy_s = self._monotonic_s()
            if self._monotonic_s() - busy_s > _IDLE_S:
                self._when_idle()
                busy_s = float("inf")
            with self._changed:
                if self._finished:
                    return None
                if self._waiting and not self._releaser.behind:
                    return self._waiting[0]
                now_s = self._monotonic_s()
                due_s = self._filling.due_s
                due = (self._urgent or now_s >= due_s) and not self._waiting
                seal = due and not self._closing and now_s >= asked_s + 1.0
                if not seal:
                    self._changed.wait(min(max(due_s - now_s, 0.05), 0.5))
            if seal:
                self.books.write()
                self._journal.seal()
                asked_s = now_s


def _answer(
    accepted: Future[Partial | None], partial: Partial, taken: Future[Partial | None]
) -> None:
    """Pass on that a request is durable, or why not, with what was left out of it."""
    error = taken.exception()
    if error is not None:
        accepted.set_exception(error)
    else:
        accepted.set_result(partial)
