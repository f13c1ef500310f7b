"""From a request's bytes to rows in ClickHouse: the order of the stages.

receive:  bytes -> check -> retransmission? -> journal -> fdatasync -> acknowledge (`intake`, any thread)
process:  sealed segment -> derive, sample, roll up, encode -> plan -> insert with tokens -> release (one thread)

Acknowledgement: `accept` returns a future that is done when the request is valid and its record is on disk, never
before. What is acknowledged reaches ClickHouse exactly once: see `headgate.collector.journal` for every crash point.
Processing runs later, over the same bytes, whether they are still in memory or read back after a crash; segments are
processed in order. A retryable failure is repeated until it succeeds; a request that cannot be processed, and a block
that the store will never take, is put aside in `quarantine/`, counted and reported, and the rest goes on.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from headgate.collector.delivery import Delivery
from headgate.collector.errors import Retryable
from headgate.collector.filling import Limits
from headgate.collector.intake import Intake
from headgate.collector.journal import Journal, SegmentFile
from headgate.collector.quarantine import Quarantine
from headgate.collector.release import Releaser
from headgate.collector.retransmission import Retransmissions
from headgate.collector.room import Room
from headgate.collector.rules import Rules
from headgate.collector.segment import Segment, StoredSegment
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from headgate.collector.ledger import Entry
    from headgate.collector.partial import Partial
    from headgate.collector.process import Request
    from headgate.collector.sampling import Sampler
    from headgate.store import Store

__all__ = ["Limits", "Pipeline"]

log = logging.getLogger(__name__)
_IDLE_S = 30.0


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
        self._intake = Intake(
            self._changed,
            self._journal,
            self._retransmissions,
            self.room,
            limits,
            database=store.database,
            clock_ns=clock_ns,
            monotonic_s=monotonic_s,
            most_services=rules.limits.services,
        )
        self.books = self._intake.books
        self._waiting: deque[Segment] = deque()
        self._sealed_count = self._stored_count = 0
        self._urgent = self._finished = False
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
            self._delivery.engine.doubt()
        self._journal.start()
        self._thread.start()

    def accept(self, signal: Signal, body: bytes, held: int = 0) -> Future[Partial | None]:
        """Take a request: see `headgate.collector.intake.Intake.accept`."""
        return self._intake.accept(signal, body, held)

    @property
    def accepting(self) -> bool:
        """Whether requests are taken: until `close`."""
        return self._intake.accepting

    @property
    def waiting_segments(self) -> int:
        """How many sealed segments are not stored yet."""
        return len(self._waiting)

    @property
    def backlog_bytes(self) -> int:
        """How many bytes of the journal are not released yet."""
        return self._journal.backlog_bytes

    @property
    def forgotten_early(self) -> int:
        """How many requests were forgotten before their time, so that a retry of theirs would be taken again."""
        return self._retransmissions.evicted_early

    @property
    def broken_parts(self) -> int:
        """How many parts the embedded engine could not write whole, since the start."""
        return self._delivery.engine.broken

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything acknowledged so far is stored; return False when that took too long."""
        with self._changed:
            pending = bool(self._intake.filling) or self.books.pending
            ticket = self._sealed_count + pending
            self._urgent = self._urgent or pending
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._stored_count >= ticket, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Stop accepting and store what was accepted; return False when some of it must wait in the journal."""
        deadline_s = self._monotonic_s() + timeout_s
        with self._changed:
            self._intake.stop()
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

    def _sealed(self, file: SegmentFile) -> None:
        """Queue a segment that the journal has closed; called in the journal's thread."""
        with self._changed:
            filled = self._intake.take_filled()
            contents: tuple[list[Request], list[Entry]] | None = (filled.requests, filled.entries)
            if self._waiting and self.room.pressed:
                contents = None
                self.room.give(filled.size)
            self._waiting.append(Segment(file, contents))
            self._sealed_count += 1
            self._urgent = False
            self._changed.notify_all()

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
            self._delivery.engine.tend(self._monotonic_s())
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
                due_s = self._intake.filling.due_s
                due = (self._urgent or now_s >= due_s) and not self._waiting
                seal = due and self._intake.accepting and now_s >= asked_s + 1.0
                if not seal:
                    self._changed.wait(min(max(due_s - now_s, 0.05), 0.5))
            if seal:
                self.books.write()
                self._journal.seal()
                asked_s = now_s
