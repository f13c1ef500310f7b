"""Deliver a segment: process its requests, insert the blocks, and put aside what can never be delivered.

Nothing that goes wrong ends the delivery: what may pass is tried again until it does, what cannot is put into
quarantine and reported, and the rest goes on.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.collector.errors import Permanent, Retryable
from headgate.collector.ledger import Entry, minute_of
from headgate.collector.plan import Plan, code_version, mark_inserted, read_plan, write_plan
from headgate.collector.process import Request, process
from headgate.collector.writer import insert_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headgate.collector.block import Block
    from headgate.collector.quarantine import Quarantine
    from headgate.collector.segment import Segment
    from headgate.collector.signals import Signal
    from headgate.store import Store

log = logging.getLogger(__name__)
_MOST_READS = 5


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a segment's items, by signal."""

    stored: Counter[Signal] = field(default_factory=Counter)
    rejected: Counter[Signal] = field(default_factory=Counter)


class Delivery:
    """Delivers segments one at a time, in one thread."""

    def __init__(
        self, store: Store, quarantine: Quarantine, retry_s: float = 0.2, retry_max_s: float = 5.0
    ) -> None:
        """Wait `retry_s` before the second attempt, twice as long before each further one, `retry_max_s` at most."""
        self._store = store
        self._quarantine = quarantine
        self._retry_s = retry_s
        self._retry_max_s = retry_max_s
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Do not try again from now on; a delivery that fails raises Retryable."""
        self._stopping.set()

    def deliver(self, segment: Segment) -> Delivered:
        """Return when everything is stored or put aside; raises Retryable when told to stop before.

        The same segment makes the same blocks under the same tokens, so that a repeat after a crash doubles nothing.
        """
        contents = self._load(segment)
        if contents is None:
            return Delivered()
        for pause_s in self._pauses():
            try:
                return self._attempt(segment, *contents)
            except Retryable as error:
                log.warning("%s; trying again in %.1f s", error, pause_s)
                self._wait(pause_s, error)
            except Permanent as error:
                log.error("%s; it is kept as %s", error, self._set_aside(segment))  # noqa: TRY400  # no trace is needed
                return Delivered()
            except Exception as error:  # noqa: BLE001  # nothing unforeseen may end the only thread that stores
                self._unforeseen(segment, error, pause_s)
        raise AssertionError("pauses never end")

    def _load(self, segment: Segment) -> tuple[list[Request], list[Entry]] | None:
        """Read the segment; None when it has vanished or, however often it is tried, cannot be read."""
        for attempt, pause_s in enumerate(self._pauses(), 1):
            try:
                return segment.load(self._quarantine)
            except FileNotFoundError:
                log.error("%s has vanished before it was stored", segment.file.path)  # noqa: TRY400  # no trace is needed
                return None
            except OSError as error:
                if attempt == _MOST_READS:
                    kept = self._set_aside(segment)
                    log.error("%s: %s; kept as %s", segment.file.path, error, kept)  # noqa: TRY400  # no trace is needed
                    return None
                self._unforeseen(segment, error, pause_s)
        raise AssertionError("pauses never end")

    def _attempt(
        self, segment: Segment, requests: Sequence[Request], entries: Sequence[Entry]
    ) -> Delivered:
        delivered = Delivered()
        blocks: list[tuple[str, Block]] = []
        for name, made in self._parts(segment.file.id, requests, entries, delivered):
            blocks += [(f"{name}/{b.table}/{number}", b) for number, b in enumerate(made)]
        plan = Plan(code_version(), tuple((token, block.rows) for token, block in blocks))
        done = self._plan(segment, plan)
        for token, block in blocks[done:]:
            self._insert(token, block)
            mark_inserted(segment.file.plan_path)
        for request in requests:
            delivered.stored[request.signal] += request.items
        delivered.stored.subtract(delivered.rejected)
        return delivered

    def _plan(self, segment: Segment, plan: Plan) -> int:
        """Write the plan down and return 0, or return how many blocks an earlier attempt has inserted by it."""
        path = segment.file.plan_path
        earlier = read_plan(path)
        if earlier is None:
            write_plan(path, plan)
            return 0
        if not plan.continues(earlier[0]):
            raise Permanent(
                f"{segment.file.path.name} was stored in part by another version of the collector, which divided its"
                " rows differently; to finish it, start that version with the segment and its plan in the journal"
            )
        return earlier[1]

    def _parts(
        self, name: str, requests: Sequence[Request], entries: Sequence[Entry], delivered: Delivered
    ) -> Iterator[tuple[str, list[Block]]]:
        """Process the requests together; where that fails, halve them until the request at fault stands alone."""
        try:
            blocks = process(requests, entries)
        except (MemoryError, OSError):
            raise  # not the requests' fault: it may pass, and a repeat must not divide them differently
        except Exception:
            log.exception("cannot process %d requests of segment %s", len(requests), name)
            if len(requests) > 1:
                middle = len(requests) // 2
                yield from self._parts(f"{name}a", requests[:middle], entries, delivered)
                yield from self._parts(f"{name}b", requests[middle:], (), delivered)
                return
            lost = [self._put_aside(name, request, delivered) for request in requests]
            blocks = process((), [*entries, *lost])
        yield name, blocks

    def _put_aside(self, name: str, request: Request, delivered: Delivered) -> Entry:
        path = self._quarantine.keep(f"{name}.{request.signal}.otlp", request.body)
        log.error(
            "a %s request of %d bytes cannot be processed; it is kept as %s",
            request.signal,
            len(request.body),
            path,
        )
        delivered.rejected[request.signal] += request.items
        minute = minute_of(request.arrival_ns)
        return Entry(minute, request.signal, b"", "Rejected", request.items, len(request.body))

    def _insert(self, token: str, block: Block) -> None:
        """Insert a block, or put it aside when the store will never take it; raises Retryable."""
        try:
            insert_block(self._store, token, block)
        except Permanent as error:
            path = self._quarantine.keep(f"{token.replace('/', '-')}.native", block.data)
            log.error("%s; the rows are kept as %s", error, path)  # noqa: TRY400  # no trace is needed

    def _set_aside(self, segment: Segment) -> str:
        """Move the segment and its plan into quarantine, as far as they are there."""
        moved = [
            str(self._quarantine.take(path))
            for path in (segment.file.path, segment.file.plan_path)
            if path.exists()
        ]
        return " and ".join(moved)

    def _unforeseen(self, segment: Segment, error: Exception, pause_s: float) -> None:
        log.error(
            "%s cannot be delivered now; trying again in %.1f s", segment.file.path.name, pause_s,
            exc_info=error,
        )  # fmt: skip
        self._wait(pause_s, error)

    def _wait(self, pause_s: float, error: Exception) -> None:
        if self._stopping.wait(pause_s):
            raise Retryable(f"stopped before it could be tried again: {error}") from error

    def _pauses(self) -> Iterator[float]:
        pause_s = self._retry_s
        while True:
            yield pause_s
            pause_s = min(2 * pause_s, self._retry_max_s)
