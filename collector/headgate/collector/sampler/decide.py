"""Choose each trace's probability and keep what its randomness lets pass: R >= T, the same in every collector.

Rules that hold here, and make the weight 2^56 / (2^56 - T) unbiased:
- Nothing that sets a probability, remembers it or forgets it depends on R. Counts are of arrivals; feedback is by what
  was expected to be kept, never by what was.
- A trace has one probability in a segment: the largest of its strata's, of what is remembered of it, and 1 by an
  always-keep rule. What an always-drop rule drops is counted nowhere here and has no weight: it is dropped by
  decree, and its counts are the rollups'.
- What upstream sampled is never sampled more leniently: a row's final threshold is the greater of both.

Pure: the same arrivals, law and state give the same decision and the same following state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.sampler.shares import FLOOR, Expected, given_arrival, rarest_strata
from headgate.collector.sampler.state import State
from headgate.collector.sampler.thresholds import (
    DROP,
    probability_of,
    threshold_of,
    weight_of,
)
from headgate.collector.sampler.traces import DROP_RULE, KEEP, Arrivals, Traces, group_traces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.law import Law
    from headgate.collector.sampler.window import Observed

# A lasting surplus d ends as d / (1 + FEEDBACK); corrections die out if segments are shorter than 60 s / FEEDBACK.
FEEDBACK = 6.0
MOST_CORRECTION = 0.5


@dataclass(frozen=True, slots=True)
class Kept:
    """What becomes of each row: whether it is kept, its final threshold and weight.

    `threshold` (DROP where a rule drops the row) is to be written where the row is kept, `weight` is 0 for DROP.
    `upstream` is what the row brought, -1 where it brought nothing or something that its R contradicts.
    """

    kept: NDArray[np.bool_]
    threshold: NDArray[np.int64]
    weight: NDArray[np.float64]
    upstream: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Decision:
    """The thresholds of a segment's traces and what they come from.

    `traces` are the segment's, `threshold` each trace's T (DROP: dropped by rule): all that a repetition needs.
    `counted` are the rows that count as requests, `passing` is each trace's probability of being kept, given that it
    arrived. `requests` and `rows` are the window's counts and `probability` what the law makes of them; `cap` is the
    fair share of a stratum in requests a minute (infinite: everything is kept); `expected_requests` and
    `expected_rows` are what the segment is expected to keep; `state` is for the next segment.
    """

    traces: Traces
    threshold: NDArray[np.int64]
    rows_kept: Kept
    counted: NDArray[np.int64]
    passing: NDArray[np.float64]
    requests: float
    rows: float
    probability: float
    cap: float
    expected_requests: float
    expected_rows: float
    state: State

    @property
    def trace(self) -> NDArray[np.int64]:
        """Return the number of each row's trace."""
        return self.traces.trace


def keep(traces: Traces, threshold: NDArray[np.int64]) -> Kept:
    """Apply the thresholds of traces to their rows; a segment is processed again with those of its first time."""
    final = np.maximum(threshold, traces.upstream)
    passes = traces.randomness >= threshold
    if not traces.upstream.any():
        row = traces.trace
        return Kept(passes[row], threshold[row], weight_of(final)[row], traces.row_upstream)
    rows = np.maximum(threshold[traces.trace], traces.row_upstream)
    return Kept(passes[traces.trace], rows, weight_of(rows), traces.row_upstream)


def repeat(arrivals: Arrivals, threshold: NDArray[np.int64], key: int) -> Kept:
    """Keep what was kept the first time, from the thresholds in the segment's plan.

    Raises ValueError when these are not the thresholds of this segment's traces.
    """
    traces = group_traces(arrivals, key)
    if len(traces) != threshold.size:
        raise ValueError(
            f"The plan has thresholds of {threshold.size} traces, the segment has {len(traces)}."
        )
    return keep(traces, threshold)


def decide(arrivals: Arrivals, law: Law, state: State) -> Decision:
    """Decide about one segment, in one step for all of its rows; traces and logs each have a law and a state."""
    if not len(arrivals):
        raise ValueError("There is nothing to decide about in a segment without rows.")
    traces = group_traces(arrivals, state.key)
    now_ns = int(arrivals.arrival_ns.max())
    memory = state.memory.at(now_ns)
    recalled, was_dropped = memory.recall(traces)
    keeping = traces.rule == KEEP
    dropping = ~keeping & ((traces.rule == DROP_RULE) | was_dropped)
    most = np.where(keeping, 0, recalled)  # the threshold may be less than this, never more

    is_request = arrivals.entry.copy()
    is_request[traces.first[traces.entries == 0]] = True
    counted = np.ones(len(arrivals), bool)
    if dropping.any():
        counted = ~dropping[traces.trace]
        is_request &= counted
    request = np.flatnonzero(is_request)
    observed = state.window.observe(arrivals.arrival_ns, is_request, counted)
    counts, size = rarest_strata(state.counts, arrivals, traces, request, now_ns)

    requests_law = law.probability(observed.requests)
    rows_law = law.rows_probability(observed.rows)
    probability = min(requests_law, rows_law)
    weight = weight_of(traces.upstream)
    expected = Expected(
        size,
        weight,
        np.minimum(1.0, np.maximum(FLOOR * probability, weight * probability_of(most))),
        np.where(dropping, 0, np.maximum(traces.entries, 1)).astype(np.float64),
        np.where(dropping, 0, traces.rows).astype(np.float64),
    )
    allowed = (requests_law * expected.requests.sum(), rows_law * expected.rows.sum())
    cap = np.inf
    if probability < 1:
        correction = _corrections(observed, requests_law, rows_law)
        cap = expected.cap(allowed[0] * correction[0], allowed[1] * correction[1])
    threshold = np.minimum(threshold_of(expected.probability(cap)), most)
    passing = given_arrival(threshold, traces.upstream)
    threshold[dropping] = DROP
    likely = expected.kept(passing)
    remembered = (threshold < recalled) | (dropping & ~was_dropped)
    remembered &= traces.identity != 0
    return Decision(
        traces=traces,
        threshold=threshold,
        rows_kept=keep(traces, threshold),
        counted=request,
        passing=passing,
        requests=observed.requests,
        rows=observed.rows,
        probability=probability,
        cap=float(cap),
        expected_requests=likely[0],
        expected_rows=likely[1],
        state=State(
            state.key,
            observed.window.charge(likely[0] - allowed[0], likely[1] - allowed[1]),
            counts,
            memory.add(now_ns, traces.identity[remembered], threshold[remembered]),
        ),
    )


def _corrections(observed: Observed, requests_law: float, rows_law: float) -> tuple[float, float]:
    """Return by what to multiply the allowed requests and rows, so that a surplus of the window is paid back."""
    window = observed.window
    pairs = (
        (window.requests_surplus, observed.requests * requests_law),
        (window.rows_surplus, observed.rows * rows_law),
    )
    return (
        1 - min(MOST_CORRECTION, FEEDBACK * max(0.0, pairs[0][0]) / max(pairs[0][1], 1.0)),
        1 - min(MOST_CORRECTION, FEEDBACK * max(0.0, pairs[1][0]) / max(pairs[1][1], 1.0)),
    )
