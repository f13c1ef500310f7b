"""Takes requests: checks them, recognises what was sent before, writes the rest to the journal, and answers.

Any thread calls `accept`; the journal's thread says what became of a request. What is durable is in `filling`, the
segment that is being written, until the journal has closed it and `take_filled` hands it on.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future
from typing import TYPE_CHECKING

from headgate.collector.books import Books
from headgate.collector.errors import Malformed, Retryable, TooLarge
from headgate.collector.filling import Filling, Limits
from headgate.collector.inspect import Inspected, NothingGood, inspect
from headgate.collector.journal import Append, Journal, SegmentFile
from headgate.collector.record import Record, pack
from headgate.collector.segment import KINDS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headgate.collector.ledger import Entry
    from headgate.collector.partial import Partial
    from headgate.collector.process import Request
    from headgate.collector.retransmission import Retransmissions
    from headgate.collector.room import Room
    from headgate.collector.signals import Signal

_LEAST_SEGMENT_BYTES = 1 << 20


class Intake:
    """The receiving half of a pipeline, whose lock it shares."""

    def __init__(
        self,
        lock: threading.Condition,
        journal: Journal,
        retransmissions: Retransmissions,
        room: Room,
        limits: Limits,
        *,
        database: str,
        clock_ns: Callable[[], int],
        monotonic_s: Callable[[], float],
        most_services: int,
    ) -> None:
        """Notify `lock` when there is something to seal that was not there before."""
        self._lock = lock  # guards everything below
        self._journal = journal
        self._retransmissions = retransmissions
        self._room = room
        self._limits = limits
        self._database = database
        self._clock_ns = clock_ns
        self._monotonic_s = monotonic_s
        self._closing = self._sealing = False
        self.filling = Filling(limits)
        self.books = Books(
            lock, journal, clock_ns, self._noted, self._entries_written, most_services
        )

    @property
    def accepting(self) -> bool:
        """Whether requests are taken: until `close`."""
        return not self._closing

    def stop(self) -> None:
        """Refuse what comes from now on; the lock is held."""
        self._closing = True

    def accept(self, signal: Signal, body: bytes, held: int = 0) -> Future[Partial | None]:
        """Validate a request (protobuf bytes) and write its good items to the journal.

        The future is done when they are durable, with what was left out, if anything; it fails with Retryable when
        they could not be made so. It cannot be cancelled, since it may be shared by the request and its
        retransmissions. Raises Malformed at once, counted as rejected, for a request without a good item, or Retryable
        when there is no room or we are stopping. `held` bytes of the room are taken over when this returns.
        """
        try:
            found = inspect(self._database, signal, body, self._clock_ns())
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
        with self._lock:
            if self._closing:
                raise Retryable("the collector is stopping")
            original = (
                self._retransmissions.find(identity, request.arrival_ns) if identity else None
            )
            if original is None:
                self._room.take(len(request.body) + self._transient(request.body) - held, held)
                if identity:
                    self._retransmissions.begin(identity, request.arrival_ns, outcome)
        if original is not None:
            self._room.give(held)
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

    def _written(
        self,
        found: Inspected,
        outcome: Future[Partial | None],
        result: SegmentFile | Retryable,
    ) -> None:
        """Acknowledge or refuse a request; called in the journal's thread once its fate is known."""
        request = found.request
        self._room.give(self._transient(request.body))
        with self._lock:
            if isinstance(result, Retryable):
                self._room.give(len(request.body))
                self._retransmissions.failed(found.identity)
            else:
                if not self.filling:
                    self._lock.notify_all()
                self.filling.add(request, self._monotonic_s())
                self.books.received[request.signal] += request.items
                if found.identity:
                    self._retransmissions.accepted(found.identity, request.arrival_ns)
                crowded = self._room.crowded and self.filling.size >= _LEAST_SEGMENT_BYTES
                if (self.filling.full or crowded) and not self._sealing:
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

    def take_filled(self) -> Filling:
        """Begin another segment and return what is in the one that was closed; the lock is held."""
        filled, self.filling = self.filling, Filling(self._limits)
        if self.books.has_entries:
            self.filling.begin(self._monotonic_s())
        self._sealing = False
        return filled

    def _noted(self) -> None:
        """Let the age of a segment begin: there is something for the ledger."""
        self.filling.begin(self._monotonic_s())
        self._lock.notify_all()

    def _entries_written(self, entries: list[Entry]) -> None:
        self.filling.entries += entries


def _answer(
    accepted: Future[Partial | None], partial: Partial, taken: Future[Partial | None]
) -> None:
    """Pass on that a request is durable, or why not, with what was left out of it."""
    error = taken.exception()
    if error is not None:
        accepted.set_exception(error)
    else:
        accepted.set_result(partial)
