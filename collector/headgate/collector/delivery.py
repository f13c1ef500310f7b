"""Deliver a segment: process its requests, insert the blocks, and put aside what can never be delivered.

Nothing that goes wrong ends the delivery: what may pass is tried again until it does, what cannot is put into
quarantine and reported, and the rest goes on.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headgate.collector.attempt import Attempt, Delivered
from headgate.collector.decisions import Decisions
from headgate.collector.engine import Engine
from headgate.collector.errors import Permanent, Retryable
from headgate.collector.ledger import Entry, ledger_block, minute_of
from headgate.collector.plan import Plan, code_version, mark_inserted, read_plan, write_plan
from headgate.collector.policy import Policy
from headgate.collector.portion import joined, portions
from headgate.collector.process import Processed, Request, process_sampled
from headgate.collector.rules import Rules
from headgate.collector.sample import NotChosen, Sampling
from headgate.collector.writer import insert_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headgate.collector.block import Block
    from headgate.collector.quarantine import Quarantine
    from headgate.collector.sampling import Sampler
    from headgate.collector.segment import Segment
    from headgate.store import Store

log = logging.getLogger(__name__)
_MOST_READS = 5


class Delivery:
    """Delivers segments one at a time, in one thread."""

    def __init__(
        self,
        store: Store,
        quarantine: Quarantine,
        sampler: Sampler | None = None,
        rules: Rules = Rules(),  # noqa: B008  # frozen
        retry_s: float = 0.2,
        retry_max_s: float = 5.0,
    ) -> None:
        """Wait `retry_s` before the second attempt, twice as long before each further one, `retry_max_s` at most.

        Without a sampler everything is kept.
        """
        self._store = store
        self._quarantine = quarantine
        self._sampler = sampler
        self._rules = rules
        self._retry_s = retry_s
        self._retry_max_s = retry_max_s
        self.engine = Engine(store)
        self._hastened, self._stopping = threading.Event(), threading.Event()

    def hasten(self) -> None:
        """Try again at once, and every `retry_s` from now on: there is little time left."""
        self._hastened.set()

    def stop(self) -> None:
        """Do not try again from now on; a delivery that fails raises Retryable."""
        self._stopping.set()
        self._hastened.set()

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
                self.engine.repair()
            except Permanent as error:
                log.error("%s; it is kept as %s", error, self._set_aside(segment))  # noqa: TRY400  # no trace is needed
                return Delivered()
            except Exception as error:  # noqa: BLE001  # nothing unforeseen may end the only thread that stores
                self._unforeseen(segment, error, pause_s)
                self.engine.repair()
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
        planned = read_plan(segment.file.plan_path)
        attempt = self._begin(segment, planned and planned[0])
        made: list[Block] = []
        for number, some in enumerate(portions(requests)):
            name = f"{segment.file.id}-{number}" if number else segment.file.id
            made += self._process_all(name, some, () if number else entries, attempt)
        blocks = [(f"{segment.file.id}/{b.table}/{n}", b) for n, b in enumerate(joined(made))]
        done = self._plan(segment, planned, [(token, b.rows) for token, b in blocks], attempt)
        for first in range(done, len(blocks), self.engine.together):
            together = blocks[first : first + self.engine.together]
            for token, block in together:
                self._insert(token, block, attempt.delivered)
            self._mark(segment, len(together))
        delivered = attempt.delivered
        for request in requests:
            delivered.stored[request.signal] += request.items
        delivered.stored.subtract(delivered.rejected)
        delivered.stored.subtract(delivered.sampled_out)
        return delivered

    def _begin(self, segment: Segment, planned: Plan | None) -> Attempt:
        """Start from what the plan has chosen, or where the sampler is now; a plan without choices keeps everything."""
        if planned is None:
            if self._sampler is None:
                return Attempt(self._rules, None, None)
            self._sampler.refresh(self._store)
            return Attempt(self._rules, None, self._sampler.states)
        rules = self._rules
        try:
            if planned.rules:
                rules = Rules.from_json(planned.rules, self._rules.identity.key)
            earlier = Decisions.from_bytes(planned.sampling) if planned.sampling else None
        except (ValueError, KeyError, TypeError) as error:
            raise _of_another_version(segment) from error
        return Attempt(rules, earlier, None if earlier is None else earlier.states)

    def _plan(
        self,
        segment: Segment,
        planned: tuple[Plan, int] | None,
        blocks: Sequence[tuple[str, int]],
        attempt: Attempt,
    ) -> int:
        """Write the plan down and return 0, or return how many blocks an earlier attempt has inserted by it."""
        sampling = b""
        if attempt.states is not None and planned is None:
            sampling = Decisions(attempt.chosen, attempt.states).to_bytes()
        plan = Plan(code_version(), tuple(blocks), sampling, attempt.rules.to_json())
        if planned is None:
            with _disk_may_heal(segment):
                write_plan(segment.file.plan_path, plan)
        elif not plan.continues(planned[0]):
            raise _of_another_version(segment)
        if self._sampler is not None and attempt.states is not None:
            self._sampler.advance(attempt.states)
        return planned[1] if planned else 0

    def _process_all(
        self, name: str, requests: Sequence[Request], entries: Sequence[Entry], attempt: Attempt
    ) -> list[Block]:
        """Process the requests together; where that fails, halve them until the request at fault stands alone."""
        try:
            processed = self._process(name, requests, entries, attempt)
        except (MemoryError, OSError):
            raise  # not the requests' fault: it may pass, and a repeat must not divide them differently
        except Exception:
            log.exception("cannot process %d requests of segment %s", len(requests), name)
            if len(requests) > 1:
                middle = len(requests) // 2
                first = self._process_all(f"{name}a", requests[:middle], entries, attempt)
                return first + self._process_all(f"{name}b", requests[middle:], (), attempt)
            lost = [self._put_aside(name, request, attempt.delivered) for request in requests]
            processed = self._process(name, (), [*entries, *lost], attempt)
        attempt.delivered.sampled_out.update(processed.sampled_out)
        if processed.chosen is not None:
            attempt.chosen[name] = processed.chosen
        attempt.states = processed.states or attempt.states
        return processed.blocks

    def _process(
        self, name: str, requests: Sequence[Request], entries: Sequence[Entry], attempt: Attempt
    ) -> Processed:
        """Process one part by what its plan has chosen; where there is no plan yet, choose."""
        earlier, sampler = attempt.earlier, self._sampler
        if earlier is not None and name in earlier.parts:
            repeated = Sampling(Policy(), 1, earlier.states, name, earlier.parts[name])
            try:
                return process_sampled(requests, entries, attempt.rules, repeated)
            except NotChosen as error:
                log.warning("part %s is sampled anew: %s", name, error)
        if sampler is None or attempt.states is None:
            return process_sampled(requests, entries, attempt.rules, None)
        return process_sampled(
            requests, entries, attempt.rules, sampler.sampling(name, attempt.states)
        )

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

    def _insert(self, token: str, block: Block, delivered: Delivered) -> None:
        """Insert a block, or put it aside when the store will never take it, and say so in the ledger.

        Raises Retryable.
        """
        try:
            insert_block(self._store, token, block)
        except Permanent as error:
            path = self._quarantine.keep(f"{token.replace('/', '-')}.native", block.data)
            log.error("%s; the rows are kept as %s", error, path)  # noqa: TRY400  # no trace is needed
            entries = block.refused() if block.refused else []
            for entry in entries:
                if entry.fate == "Rejected":
                    delivered.rejected[entry.signal] += entry.items
            for correction in ledger_block(entries):
                self._insert(f"{token}/refused", correction, delivered)

    def _mark(self, segment: Segment, blocks: int) -> None:
        """Mark blocks that were inserted, once it is sure that the engine could write them; raises Retryable."""
        if not self.engine.look():
            raise Retryable(
                f"the engine could not write all rows of {segment.file.path.name}; they are inserted again"
            )
        with _disk_may_heal(segment):
            mark_inserted(segment.file.plan_path, blocks)

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
        if self._hastened.wait(pause_s):
            self._stopping.wait(self._retry_s)
        if self._stopping.is_set():
            raise Retryable(f"stopped before it could be tried again: {error}") from error

    def _pauses(self) -> Iterator[float]:
        pause_s = self._retry_s
        while True:
            yield pause_s
            pause_s = min(2 * pause_s, self._retry_max_s)


def _of_another_version(segment: Segment) -> Permanent:
    return Permanent(
        f"{segment.file.path.name} was stored in part by another version of the collector, which divided its"
        " rows differently; to finish it, start that version with the segment and its plan in the journal"
    )


@contextmanager
def _disk_may_heal(segment: Segment) -> Iterator[None]:
    """Raise Retryable where the plan cannot be written: a full disk is emptied sooner or later."""
    try:
        yield
    except OSError as error:
        path = segment.file.plan_path.name
        raise Retryable(f"{path} cannot be written: {error.strerror or error}") from error
