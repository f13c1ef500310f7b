"""What sampling would keep of traffic, by stratum, and how sure the counts of what is kept would be.

The sampler is the collector's own. Of each stratum N requests arrive; its count is estimated by the weighted rows that
are kept, whose standard error is sqrt(sum of (1/p - 1) y^2) over traces, y being a trace's requests of the stratum and
p the probability of keeping it (Horvitz and Thompson, traces drawn independently). This is the error to be expected,
not that of one draw.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.derive import derive_logs, derive_spans
from headgate.collector.sample import Sampling, sample
from headgate.collector.sampler import Arrivals, Decision, decide
from headgate.collector.sampler.thresholds import DROP
from headgate.collector.signals import Signal
from headgate.collector.states import States

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from headgate.collector.policy import Policy
    from headgate.collector.process import Request
    from headgate.collector.rules import Rules
    from headgate.collector.sample import Sample
    from headgate.collector.sampler import Law, State

SECOND = 10**9
SEGMENT_NS = 5 * SECOND
MOST_ITEMS = 100_000
Z95 = 1.959964


@dataclass(slots=True)
class Stratum:
    """Sums over segments; `variance` is that of the estimated number of requests."""

    name: str
    requests: int = 0
    expected: float = 0.0
    kept: int = 0
    variance: float = 0.0

    @property
    def error(self) -> float:
        """Half of the 95 % interval of the count, as a share of it."""
        return float(Z95 * np.sqrt(self.variance) / self.requests) if self.requests else 0.0


@dataclass(slots=True)
class Outcome:
    """What became of one signal's traffic: strata by lasting key, and sums over all."""

    strata: dict[int, Stratum] = field(default_factory=dict)
    total: Stratum = field(default_factory=lambda: Stratum(""))
    rows: int = 0
    rows_kept: int = 0
    dropped: int = 0
    busiest: float = 0.0
    least: float = 1.0

    def add(self, arrivals: Arrivals, decision: Decision, name: Callable[[int], str]) -> None:
        """Add a segment; `name` names the stratum of one of its rows."""
        counted = decision.counted
        trace, stratum = decision.trace[counted], arrivals.stratum[counted]
        p, kept = decision.passing, decision.rows_kept.kept
        size = int(arrivals.strata.size)
        pair = trace * size + stratum
        _, first, number = np.unique(pair, return_index=True, return_counts=True)
        odds = 1.0 / p - 1.0
        spread = odds[trace[first]] * number.astype(np.float64) ** 2
        of = stratum[first]
        sums = (
            np.bincount(stratum, minlength=size),
            np.bincount(stratum, weights=p[trace], minlength=size),
            np.bincount(stratum, weights=kept[counted], minlength=size),
            np.bincount(of, weights=spread, minlength=size),
        )
        a_row = np.zeros(size, np.int64)
        a_row[stratum[::-1]] = counted[::-1]
        for code in np.flatnonzero(sums[0]).tolist():
            key = int(arrivals.strata[code])
            if key not in self.strata:
                self.strata[key] = Stratum(name(int(a_row[code])))
            requests, expected, drawn, variance = (float(column[code]) for column in sums)
            _grow(self.strata[key], requests, expected, drawn, variance)
        in_trace = np.bincount(trace, minlength=p.size).astype(np.float64)
        requests, expected, drawn = (float(column.sum()) for column in sums[:3])
        variance = float((odds * in_trace**2)[in_trace > 0].sum())
        _grow(self.total, requests, expected, drawn, variance)
        self.rows += len(arrivals)
        self.rows_kept += int(kept.sum())
        self.dropped += int((decision.threshold[decision.trace] == DROP).sum())
        self.busiest = max(self.busiest, decision.requests)
        self.least = min(self.least, decision.probability)


def _grow(stratum: Stratum, requests: float, expected: float, kept: float, variance: float) -> None:
    stratum.requests += int(requests)
    stratum.expected += expected
    stratum.kept += int(kept)
    stratum.variance += variance


def recorded(requests: Iterable[Request], policy: Policy, rules: Rules) -> dict[Signal, Outcome]:
    """Sample requests of traces and logs, in the order of their arrival, as segments of at most five seconds."""
    outcomes = {Signal.TRACES: Outcome(), Signal.LOGS: Outcome()}
    states = States.new(lambda: f"{1:032x}")
    for number, segment in enumerate(_segments(requests)):
        of = {signal: [r for r in segment if r.signal is signal] for signal in outcomes}
        spans = derive_spans(of[Signal.TRACES], rules) if of[Signal.TRACES] else None
        logs = derive_logs(of[Signal.LOGS], rules) if of[Signal.LOGS] else None
        samples = sample(spans, logs, Sampling(policy, 1, states, f"segment {number}"))
        states = samples.states or states
        for signal, found in ((Signal.TRACES, samples.spans), (Signal.LOGS, samples.logs)):
            if found is not None and found.decision is not None:
                outcomes[signal].add(found.arrivals, found.decision, _named(found))
    return {signal: outcome for signal, outcome in outcomes.items() if outcome.rows}


def _named(found: Sample) -> Callable[[int], str]:
    rows = np.flatnonzero(found.threshold >= 0)
    return lambda row: json.dumps(found.strata.name(int(rows[row])), ensure_ascii=False)


def _segments(requests: Iterable[Request]) -> Iterator[list[Request]]:
    segment: list[Request] = []
    items = 0
    for request in requests:
        late = segment and request.arrival_ns - segment[0].arrival_ns >= SEGMENT_NS
        if late or items >= MOST_ITEMS:
            yield segment
            segment, items = [], 0
        segment.append(request)
        items += request.items
    if segment:
        yield segment


@dataclass(frozen=True, slots=True)
class Traffic:
    """Synthetic traffic: traces of one entry span and `inner` others, of operations that Zipf's law ranks.

    `requests` a minute, for `duration_s`; a share `errors` of them fails.
    """

    requests: float
    duration_s: float
    operations: int = 40
    errors: float = 0.02
    inner: int = 4
    seed: int = 1


def synthetic(traffic: Traffic, law: Law, state: State) -> Outcome:
    """Sample synthetic traffic by a law, second by second."""
    rng = np.random.default_rng(traffic.seed)
    share = 1 / np.arange(1, traffic.operations + 1)
    share /= share.sum()
    names = [
        json.dumps([f"operation {i // 2 + 1}", ("ok", "error")[i % 2]])
        for i in range(2 * traffic.operations)
    ]
    outcome = Outcome()
    for second in range(max(1, round(traffic.duration_s))):
        count = int(rng.poisson(traffic.requests / 60))
        if not count:
            continue
        operation = rng.choice(traffic.operations, count, p=share)
        stratum = 2 * operation + (rng.random(count) < traffic.errors)
        arrivals = _second(rng, stratum, traffic, second * SECOND + SECOND)
        decision = decide(arrivals, law, state)
        state = decision.state
        outcome.add(arrivals, decision, _name_of(names, arrivals))
    return outcome


def _name_of(names: Sequence[str], arrivals: Arrivals) -> Callable[[int], str]:
    return lambda row: names[int(arrivals.stratum[row])]


def _second(rng: np.random.Generator, stratum: Any, traffic: Traffic, start_ns: int) -> Arrivals:
    each = 1 + traffic.inner
    high, low = rng.integers(1, 2**64, (2, stratum.size), np.uint64)
    size = stratum.size * each
    nothing, never = np.full(size, -1, np.int64), np.zeros(size, bool)
    return Arrivals(
        trace_hi=np.repeat(high, each),
        trace_lo=np.repeat(low, each),
        arrival_ns=start_ns + np.arange(size) * SECOND // size,
        entry=np.arange(size) % each == 0,
        stratum=np.repeat(stratum, each),
        strata=np.arange(1, 2 * traffic.operations + 1, dtype=np.uint64),
        upstream=nothing,
        randomness=nothing,
        keep=never,
        drop=never,
        segment=(start_ns, 1),
    )
