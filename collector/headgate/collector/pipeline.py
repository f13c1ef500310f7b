"""From a valid request to rows in ClickHouse; the only module that knows the order of the stages.

receive:  bytes -> check (validate) -> open segment                       (any thread)
process:  sealed segment -> decode, derive, roll up, encode -> insert     (one thread)

Acknowledgement: `accept` returns a future that is done when every block of the request's segment is inserted, never
before. A block that fails is sent again with the same token until it succeeds, so that nothing is doubled. When a
segment cannot be processed or inserted as a whole, it is split until the request at fault stands alone; that one
fails, its neighbours do not.

One segment is in work at a time; what arrives meanwhile forms the next one. This batches by itself: the busier the
collector, the larger its segments. Bytes in memory are bounded; above the bound senders are told to come back.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.collector.check import check
from headgate.collector.errors import CollectorError, Malformed, Permanent, Retryable
from headgate.collector.ledger import Entry, minute_of
from headgate.collector.process import Request, process
from headgate.collector.segment import Segment
from headgate.collector.writer import insert

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from headgate.collector.signals import Signal
    from headgate.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """`linger_s`: how long a segment waits for company; it is sealed earlier at `segment_bytes` or `segment_items`.

    `memory_bytes` bounds the requests accepted and not yet stored. `retry_s` is the first pause after a failed
    insert; it doubles up to `retry_max_s`.
    """

    linger_s: float = 0.1
    segment_bytes: int = 32 << 20
    segment_items: int = 100_000
    memory_bytes: int = 256 << 20
    retry_s: float = 0.2
    retry_max_s: float = 5.0


class Pipeline:
    """Takes requests from any thread and stores them; `close` finishes what was accepted."""

    def __init__(
        self,
        store: Store,
        *,
        clock_ns: Callable[[], int],
        new_id: Callable[[], str],
        limits: Limits = Limits(),  # frozen
    ) -> None:
        self._store = store
        self._clock_ns = clock_ns
        self._new_id = new_id
        self._limits = limits
        self._open = Segment(new_id())
        self._in_work: list[Future[None]] = []
        self._bytes = 0
        self._changed = threading.Condition()
        self._urgent = False
        self._closing = False
        self._abandon = threading.Event()
        self.received: Counter[Signal] = Counter()
        self.stored: Counter[Signal] = Counter()
        self.rejected: Counter[Signal] = Counter()
        self._thread = threading.Thread(target=self._run, name="headgate-process", daemon=True)

    def start(self) -> None:
        """Begin to process."""
        self._thread.start()

    def accept(self, signal: Signal, body: bytes) -> Future[None]:
        """Validate a request (protobuf bytes) and queue it.

        Raises Malformed at once, counted as rejected, or Retryable when memory is full or we are stopping. The
        future is done when the request is stored.
        """
        arrival_ns = self._clock_ns()
        try:
            items = check(signal, body)
        except Malformed:
            self.reject(signal, len(body))
            raise
        request = Request(signal, body, items, arrival_ns)
        with self._changed:
            if self._closing:
                raise Retryable("the collector is stopping")
            if self._bytes + len(body) > self._limits.memory_bytes and self._bytes:
                raise Retryable("the collector is busy: too many bytes wait to be stored")
            self.received[signal] += items
            self._bytes += len(body)
            future = self._open.add(request)
            self._changed.notify_all()
        return future

    def reject(self, signal: Signal, size: int) -> None:
        """Count a request that was refused for good, in the ledger too; it has one item as far as we know."""
        with self._changed:
            self.received[signal] += 1
            self.rejected[signal] += 1
            minute = minute_of(self._clock_ns())
            self._open.rejected.append(Entry(minute, signal, b"", "Rejected", 1, size))
            self._changed.notify_all()

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything accepted so far is stored or has failed; return False when that took too long."""
        with self._changed:
            waiting = [*self._in_work, *self._open.waiting]
            self._urgent = bool(waiting)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: all(f.done() for f in waiting), timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Stop accepting, store what was accepted, end the thread; return False when time ran out before."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        finished = not self._thread.is_alive()
        self._abandon.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(1.0)
        return finished

    def _run(self) -> None:
        while segment := self._seal():
            try:
                self._store_segment(segment)
            finally:
                with self._changed:
                    self._bytes -= segment.size
                    self._in_work = []
                    self._changed.notify_all()

    def _seal(self) -> Segment | None:
        """Wait for a segment with something in it and close it; None when stopping and nothing is left."""
        limits = self._limits
        with self._changed:
            self._changed.wait_for(lambda: bool(self._open) or self._closing)
            if not self._open:
                return None
            self._changed.wait_for(
                lambda: (
                    self._closing
                    or self._urgent
                    or self._open.size >= limits.segment_bytes
                    or self._open.items >= limits.segment_items
                ),
                limits.linger_s,
            )
            self._urgent = False
            segment, self._open = self._open, Segment(self._new_id())
            self._in_work = list(segment.waiting)
            return segment

    def _store_segment(self, segment: Segment) -> None:
        """Process and insert; on failure halve the segment until the request at fault stands alone."""
        try:
            self._insert(segment.id, segment)
        except CollectorError as error:
            self._split(segment, error)
        except Exception as error:  # a defect of ours must fail a request, not the collector
            log.exception("processing a segment of %d requests failed", len(segment.requests))
            self._split(segment, Permanent(f"the collector cannot process this request: {error}"))
        else:
            for request, future in zip(segment.requests, segment.waiting, strict=True):
                self.stored[request.signal] += request.items
                future.set_result(None)

    def _split(self, segment: Segment, error: CollectorError) -> None:
        if isinstance(error, Retryable) or len(segment.requests) <= 1:
            for request, future in zip(segment.requests, segment.waiting, strict=True):
                if isinstance(error, Permanent):
                    self.rejected[request.signal] += request.items
                future.set_exception(error)
            return
        log.error("splitting a segment of %d requests: %s", len(segment.requests), error)
        middle = len(segment.requests) // 2
        for half in (slice(middle), slice(middle, None)):
            part = Segment(self._new_id(), segment.requests[half], segment.waiting[half])
            self._store_segment(part)

    def _insert(self, token: str, segment: Segment) -> None:
        blocks = process(segment.requests, segment.rejected)
        pause_s = self._limits.retry_s
        while True:
            try:
                insert(self._store, token, blocks)
            except Retryable as error:
                log.warning("%s; trying again in %.1f s", error, pause_s)
                if self._abandon.wait(pause_s):
                    raise
                pause_s = min(2 * pause_s, self._limits.retry_max_s)
            else:
                return
