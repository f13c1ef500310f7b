"""Choose which raw rows and event rows of a segment are kept, or keep by its plan what was chosen before.

What is counted is not touched: rollups, users and the ledger's counts are of everything that arrived. Spans and unnamed
log records are kept by trace, `events` by person; named log records and metrics are always kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from headgate.collector.decisions import Chosen, Thresholds
from headgate.collector.fields import Strata, strata
from headgate.collector.history import event_accounts, history_block, rows_account
from headgate.collector.sampler import (
    Arrivals,
    Decision,
    decide,
    pack,
    person,
    thin_events,
    unpack,
)
from headgate.collector.sampler.decide import keep
from headgate.collector.sampler.thresholds import weight_of
from headgate.collector.sampler.traces import group_traces
from headgate.collector.xxh import xxh64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.derive import DerivedLogs, DerivedSpans, Rows
    from headgate.collector.policy import Policy
    from headgate.collector.sampler import Law, State
    from headgate.collector.sampler.decide import Kept
    from headgate.collector.sampler.traces import Traces
    from headgate.collector.states import States

UNKNOWN = -1


class NotChosen(ValueError):
    """The requests are not those that the plan has chosen from: some were damaged in between."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample the part of a segment called `name`: by `policy`, already divided between `collectors`.

    `chosen` is what its plan has chosen for it, with the key of `states`; None: it is to be chosen now.
    """

    policy: Policy
    collectors: int
    states: States
    name: str
    chosen: Chosen | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """What becomes of each row of a signal; `arrivals` are those of its rows that sampling is about.

    `threshold` is to be written where the row is kept (-1: it is no matter of sampling), `upstream` what it came with
    (-1: nothing, or what its R contradicts), `randomness` the R of rows that nobody else can know (-1: others).
    `decision` is there when it was taken now.
    """

    kept: NDArray[np.bool_]
    threshold: NDArray[np.int64]
    upstream: NDArray[np.int64]
    randomness: NDArray[np.int64]
    thresholds: Thresholds
    arrivals: Arrivals
    decision: Decision | None
    strata: Strata

    @property
    def index(self) -> NDArray[np.int64]:
        """The numbers of the rows that are kept."""
        return np.flatnonzero(self.kept)

    @property
    def adjusted(self) -> NDArray[np.float64]:
        """What each row stands for by what was sampled before it came to us."""
        return weight_of(np.maximum(self.upstream, 0))

    @property
    def changes(self) -> NDArray[np.bool_]:
        """Which rows are stored with another threshold than they came with."""
        given = np.full(self.kept.size, UNKNOWN, np.int64)
        given[self.threshold != UNKNOWN] = self.arrivals.upstream
        changed: NDArray[np.bool_] = (self.threshold != UNKNOWN) & (
            np.maximum(given, 0) != self.threshold
        )
        return changed


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of a part; `people` are whose its event rows are, of spans and of logs, None where all are kept."""

    spans: Sample | None = None
    logs: Sample | None = None
    people: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None
    chosen: Chosen | None = None
    states: States | None = None

    def thinning(self, derived: DerivedSpans | DerivedLogs) -> tuple[NDArray[np.uint64], int]:
        """Return whose the event rows of a signal are, and the threshold that they must pass."""
        if self.people is None or self.chosen is None:
            return np.zeros(int(derived.uses.entry.sum()), np.uint64), 0
        is_spans = hasattr(derived, "spans")
        return self.people[0 if is_spans else 1], self.chosen.events


def sample(spans: DerivedSpans | None, logs: DerivedLogs | None, sampling: Sampling) -> Samples:
    """Choose what to keep of a part of a segment, or keep what its plan has chosen; raises NotChosen."""
    of_spans = None if spans is None or not len(spans.rows) else _sample_spans(spans, sampling)
    of_logs = None if logs is None else _sample_logs(logs, sampling)
    nobody = np.empty(0, np.uint64)
    whose = (
        nobody if spans is None else people(spans),
        nobody if logs is None else people(logs),
    )
    if sampling.chosen is not None:
        return Samples(of_spans, of_logs, whose, sampling.chosen, None)
    policy, states = sampling.policy, sampling.states
    accounts = []
    if of_spans is not None:
        accounts.append(rows_account("traces", of_spans, policy.traces, policy.trace_strata))
    if of_logs is not None:
        accounts.append(rows_account("logs", of_logs, policy.logs, policy.log_strata))
    threshold, window = 0, states.events
    used = [d for d in (spans, logs) if d is not None and d.uses.entry.any()]
    if used:
        rows = [np.flatnonzero(d.uses.entry) for d in used]
        pairs = list(zip(used, rows, strict=True))
        time_ns = np.concatenate([d.uses.time_ns[r] for d, r in pairs])
        arrival_ns = np.concatenate([d.rows.arrival_ns[d.uses.source[r]] for d, r in pairs])
        thinned = thin_events(np.concatenate(whose), arrival_ns, policy.event_rows, window)
        threshold, window = thinned.threshold, thinned.window
        accounts += event_accounts(time_ns, arrival_ns, thinned, policy.event_rows)
    chosen = Chosen(
        None if of_spans is None else of_spans.thresholds,
        None if of_logs is None else of_logs.thresholds,
        threshold,
        history_block(accounts, states.collector, sampling.collectors) if accounts else None,
        np.empty(0, np.uint64),
    )
    after = states.after(
        _following(of_spans, states.traces), _following(of_logs, states.logs), window
    )
    return Samples(of_spans, of_logs, whose, chosen, after)


def _following(of: Sample | None, state: State) -> State:
    return state if of is None or of.decision is None else of.decision.state


def _sample_spans(derived: DerivedSpans, sampling: Sampling) -> Sample:
    """Keep spans, whole traces at a time."""
    policy, chosen = sampling.policy, sampling.chosen
    rules = (policy.traces, policy.trace_strata, sampling.states.traces)
    every = np.arange(len(derived.rows))
    given = None if chosen is None else chosen.traces
    return _sample(derived.rows, every, derived.uses.entry, sampling, *rules, given)


def _sample_logs(derived: DerivedLogs, sampling: Sampling) -> Sample | None:
    """Keep log records; those that have a name are events and stay. None where all have one."""
    policy, chosen = sampling.policy, sampling.chosen
    rules = (policy.logs, policy.log_strata, sampling.states.logs)
    unnamed = np.flatnonzero(derived.names.length == 0)
    if not unnamed.size:
        return None
    given = None if chosen is None else chosen.logs
    return _sample(derived.rows, unnamed, np.ones(unnamed.size, bool), sampling, *rules, given)


def _sample(
    rows: Rows,
    index: NDArray[np.int64],
    entry: NDArray[np.bool_],
    sampling: Sampling,
    law: Law,
    dimensions: Sequence[str],
    state: State,
    chosen: Thresholds | None,
) -> Sample:
    named = strata(rows.fields, dimensions)
    number = xxhash.xxh3_128_intdigest(sampling.name.encode())
    arrivals = Arrivals(
        trace_hi=rows.trace_hi[index],
        trace_lo=rows.trace_lo[index],
        arrival_ns=rows.arrival_ns[index],
        entry=entry,
        stratum=named.code[index],
        strata=named.key,
        upstream=rows.upstream[index],
        randomness=rows.randomness[index],
        keep=rows.fields.match(sampling.policy.keep)[index],
        drop=rows.fields.match(sampling.policy.drop)[index],
        segment=(number >> 64, number & (1 << 64) - 1),
    )
    decision = None
    if sampling.chosen is None or chosen is None:
        if sampling.chosen is not None:
            raise NotChosen("the plan has chosen nothing for this signal")
        decision = decide(arrivals, law, state)
        traces, of_rows = decision.traces, decision.rows_kept
        chosen = Thresholds(pack(decision.threshold), _mark(traces))
    else:
        traces = group_traces(arrivals, state.key)
        if chosen.mark != _mark(traces):
            raise NotChosen("the segment has other traces than those that its plan was made for")
        of_rows = keep(traces, unpack(chosen.packed))
    return _spread(len(rows), index, arrivals, traces, of_rows, chosen, decision, named)


def _spread(
    size: int,
    index: NDArray[np.int64],
    arrivals: Arrivals,
    traces: Traces,
    of_rows: Kept,
    chosen: Thresholds,
    decision: Decision | None,
    named: Strata,
) -> Sample:
    """Say of all rows of the signal what was found of those at `index`."""
    kept = np.ones(size, bool)
    threshold, upstream, randomness = (np.full(size, UNKNOWN, np.int64) for _ in range(3))
    kept[index] = of_rows.kept
    threshold[index] = of_rows.threshold
    upstream[index] = of_rows.upstream
    alone = (traces.identity == 0)[traces.trace] & (arrivals.randomness < 0)
    randomness[index[alone]] = traces.randomness[traces.trace[alone]]
    return Sample(kept, threshold, upstream, randomness, chosen, arrivals, decision, named)


def people(derived: DerivedSpans | DerivedLogs) -> NDArray[np.uint64]:
    """Return whose each row of `events` is; these are the entries of `uses`, in their order."""
    uses = derived.uses
    rows = np.flatnonzero(uses.entry)
    return person(
        uses.user_hash[rows],
        xxh64(derived.rows.heap.buffer, uses.session.take(rows)),
        uses.trace_id.length[rows] == 16,
        derived.rows.trace_lo[uses.source[rows]],
        uses.time_ns[rows],
    )


def _mark(traces: Traces) -> int:
    """Return what tells these traces from those of other requests: where each begins, and how many rows there are."""
    first = traces.first.astype("<i8").tobytes()
    return xxhash.xxh3_64_intdigest(first, seed=traces.trace.size)
