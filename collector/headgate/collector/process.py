"""Turn the requests of one segment into blocks: derive, sample, roll up, encode. Pure: same arguments, same blocks.

Requests of one signal are decoded together, since OTLP requests written one after the other are again a request.
Rollups, users and the ledger are of everything that arrived; only raw rows and event rows are sampled.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.cardinality import Guard, Names
from headgate.collector.counted import counted, counted_services
from headgate.collector.derive import (
    DerivedLogs,
    DerivedSpans,
    arrivals,
    derive_logs,
    derive_spans,
    heap_of,
)
from headgate.collector.dimension import Dimension, dimensions_of
from headgate.collector.event_block import event_blocks
from headgate.collector.identity import hashed
from headgate.collector.ledger import (
    Entry,
    accountable,
    ledger_block,
    ledger_entries,
    sampled_out,
)
from headgate.collector.log_block import log_blocks
from headgate.collector.metric_block import metric_blocks
from headgate.collector.metrics import decode_metrics
from headgate.collector.references import Text
from headgate.collector.rollup_blocks import rollup_blocks
from headgate.collector.rules import Rules
from headgate.collector.sample import Samples, sample
from headgate.collector.sampler import write_trace_state
from headgate.collector.sampler.log_attributes import with_sampling
from headgate.collector.signals import Signal
from headgate.collector.span_block import span_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.block import Block
    from headgate.collector.decisions import Chosen
    from headgate.collector.sample import Sample, Sampling
    from headgate.collector.states import States
    from headgate.collector.uses import Uses

_NS_PER_HOUR = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """One valid OTLP request as protobuf bytes; `items` are its spans, log records or data points."""

    signal: Signal
    body: bytes
    items: int
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class Processed:
    """The blocks to insert, in the order to insert them, and what was sampled.

    `chosen` is what a repeat needs, None where everything was kept; `states` are the sampler's after this.
    """

    blocks: list[Block]
    sampled_out: Counter[Signal] = field(default_factory=Counter)
    chosen: Chosen | None = None
    states: States | None = None


def process(
    requests: Sequence[Request],
    rejected: Sequence[Entry] = (),
    rules: Rules = Rules(),  # noqa: B008  # frozen
) -> list[Block]:
    """Return the blocks of requests of which everything is kept; see `process_sampled`."""
    return process_sampled(requests, rejected, rules, None).blocks


def process_sampled(
    requests: Sequence[Request],
    rejected: Sequence[Entry],
    rules: Rules,
    sampling: Sampling | None,
) -> Processed:
    """Return the blocks to insert for these requests, the ledger last; without `sampling` everything is kept.

    `rejected` are ledger entries of requests that were refused meanwhile. Raises NotChosen when the requests are not
    those that `sampling` has chosen from.
    """
    of = {signal: [r for r in requests if r.signal is signal] for signal in Signal}
    spans = derive_spans(of[Signal.TRACES], rules) if of[Signal.TRACES] else None
    logs = derive_logs(of[Signal.LOGS], rules) if of[Signal.LOGS] else None
    samples = Samples() if sampling is None else sample(spans, logs, sampling)
    guard = _guard(requests, sampling)
    blocks: list[Block] = []
    entries = list(rejected)
    out: Counter[Signal] = Counter()
    if spans is not None:
        names = _Named(spans, guard, rules)
        blocks += names.accountable(of[Signal.TRACES], _traces(spans, rules, samples, names))
        entries += _entries(Signal.TRACES, of[Signal.TRACES], names, samples.spans, out)
    if of[Signal.METRICS]:
        heap = heap_of(of[Signal.METRICS])
        metrics = decode_metrics(heap.buffer)
        made, services, items, corrected = metric_blocks(
            heap, metrics, partial(arrivals, of[Signal.METRICS]), rules
        )
        services, refused = counted_services(heap, services, items, guard, rules.limits)
        blocks += accountable(
            made, heap, Signal.METRICS, of[Signal.METRICS], metrics.batches, services
        )
        notes = {"Other": np.where(refused, items, 0), "Corrected": corrected}
        entries += ledger_entries(
            heap, Signal.METRICS, of[Signal.METRICS], metrics.batches, services, items, notes=notes
        )
    if logs is not None:
        names = _Named(logs, guard, rules)
        blocks += names.accountable(of[Signal.LOGS], _logs(logs, rules, samples, names))
        entries += _entries(Signal.LOGS, of[Signal.LOGS], names, samples.logs, out)
    if samples.chosen is not None and samples.chosen.history is not None:
        blocks.append(samples.chosen.history)
    blocks += ledger_block(entries)
    chosen = samples.chosen and replace(samples.chosen, refused=guard.refused)
    states = samples.states and replace(samples.states, names=guard.names)
    return Processed(blocks, out, chosen, states)


def _guard(requests: Sequence[Request], sampling: Sampling | None) -> Guard:
    """Return what limits names: it begins where the last segment ended, or repeats what the plan has chosen."""
    hour = requests[0].arrival_ns // _NS_PER_HOUR if requests else 0
    if sampling is None:
        return Guard(Names.none(), hour)
    return Guard(
        sampling.states.names, hour, None if sampling.chosen is None else sampling.chosen.refused
    )


class _Named:
    """A signal's rows with the services as they are counted; `other` are the items of each resource that are not."""

    def __init__(self, derived: DerivedSpans | DerivedLogs, guard: Guard, rules: Rules) -> None:
        self.rows = rows = derived.rows
        self._guard, self._rules = guard, rules
        self.items = np.bincount(rows.resource_row, minlength=len(rows.batches.resource_batch))
        self.services, refused = counted_services(
            rows.heap, rows.services, self.items, guard, rules.limits
        )
        self.other = np.where(refused, self.items, 0)
        self._refused = refused

    def accountable(self, requests: Sequence[Request], blocks: list[Block]) -> list[Block]:
        """Return blocks that tell the ledger when they are refused."""
        rows = self.rows
        signal = requests[0].signal
        return accountable(blocks, rows.heap, signal, requests, rows.batches, self.services)

    def count(self, uses: Uses, dimensions: list[Dimension]) -> list[Block]:
        """Return the rollups of uses, with their names as they are counted."""
        resource_row = self.rows.resource_row[uses.source]
        found = counted(
            self.rows.heap,
            uses,
            dimensions,
            self.services.take(resource_row),
            self._guard,
            self._rules.limits,
        )
        if found.other.any():
            other = np.bincount(resource_row[found.other], minlength=self.items.size)
            self.other = np.where(self._refused, self.items, other)
        return rollup_blocks(self.rows.heap, found.uses, found.dimensions)


def _traces(derived: DerivedSpans, rules: Rules, samples: Samples, names: _Named) -> list[Block]:
    heap, uses, kept = derived.rows.heap, derived.uses, samples.spans
    trace_state = derived.spans.span.text("trace_state")
    keep = None
    if kept is not None:
        keep = kept.index
        given, final = derived.rows.upstream[keep], kept.threshold[keep]
        written = write_trace_state(heap, trace_state.take(keep), given, final)
        trace_state = _replaced(trace_state, keep, written)
        uses = replace(uses, adjusted=kept.adjusted)
    return [
        *span_blocks(
            heap,
            derived.spans,
            uses,
            derived.resource,
            derived.attributes,
            derived.event,
            derived.link,
            trace_state,
            keep,
        ),
        *_uses(replace(derived, uses=uses), rules, samples, names),
    ]


def _logs(derived: DerivedLogs, rules: Rules, samples: Samples, names: _Named) -> list[Block]:
    heap, attributes, kept = derived.rows.heap, derived.attributes, samples.logs
    keep = None
    if kept is not None:
        keep = kept.index
        if kept.changes.any():
            threshold = np.where(kept.changes, kept.threshold, -1)
            given = derived.logs.attributes
            written = with_sampling(heap, given, kept.kept, threshold, kept.randomness)
            (attributes,) = hashed(heap, rules.identity, [written])
    return [
        *log_blocks(
            heap,
            derived.logs,
            derived.rows.services,
            derived.resource,
            derived.scope,
            attributes,
            derived.names,
            derived.time_ns,
            keep,
        ),
        *_uses(derived, rules, samples, names),
    ]


def _uses(
    derived: DerivedSpans | DerivedLogs, rules: Rules, samples: Samples, names: _Named
) -> list[Block]:
    """Encode what is kept of uses, by person, and what is counted."""
    rows, uses = derived.rows, derived.uses
    if not len(uses):
        return []
    source = uses.source[uses.entry]
    dimensions = dimensions_of(
        rows.heap,
        rules.dimensions,
        derived.attributes,
        source,
        derived.resource,
        rows.resource_row[source],
    )
    person, threshold = samples.thinning(derived)
    return [
        *event_blocks(rows.heap, uses, derived.attributes, person, threshold),
        *names.count(uses, dimensions),
    ]


def _replaced(text: Text, rows: NDArray[np.int64], by: Text) -> Text:
    offset, length = text.offset.copy(), text.length.copy()
    offset[rows], length[rows] = by.offset, by.length
    return Text(offset, length)


def _entries(
    signal: Signal,
    requests: Sequence[Request],
    names: _Named,
    kept: Sample | None,
    out: Counter[Signal],
) -> list[Entry]:
    """Return the ledger's entries of a signal that may be sampled; what is sampled out is added to `out`."""
    rows, items = names.rows, names.items
    gone = None
    if kept is not None and not kept.kept.all():
        dropped = np.flatnonzero(~kept.kept)
        out[signal] += dropped.size
        gone = sampled_out(rows.resource_row[dropped], rows.size[dropped], items.size)
    corrected = np.bincount(rows.resource_row[rows.corrected], minlength=items.size)
    notes = {"Other": names.other, "Corrected": corrected}
    services = names.services
    return ledger_entries(rows.heap, signal, requests, rows.batches, services, items, gone, notes)
