"""What the sampler keeps of traffic over minutes: within the budget, fair, unbiased, in bounded memory.

Kept volume is the *expected* volume, which the law is about and which has no noise but the traffic's; that the
realised one follows it is tested by its variance, known from theory. Seeds are fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampler_traffic import (
    SECOND,
    START_NS,
    WHOLE,
    fresh_ids,
    run,
    segment,
    upstream_sampled,
)

from headgate.collector.sampler import Law, State, decide
from headgate.collector.sampler.memory import CAPACITY as TRACES
from headgate.collector.sampler.shares import CAPACITY as STRATA
from headgate.collector.sampler.thresholds import probability_of, weight_of
from headgate.collector.sampler.window import BUCKET_NS

LAW = Law(low=1000, high=10_000, rate=0.1)
STEP_S = 2


@dataclass(frozen=True, slots=True)
class Line:
    """What became of a segment: requests that arrived, were expected to be kept, and were kept, and that one's spread.

    `count` is the window's requests, `probability` the law's; a decision itself would hold its whole state.
    """

    second: int
    arrived: int
    expected: float
    kept: int
    spread: float
    count: float
    probability: float


def simulate(rate_a_second, seconds, make, law=LAW, seed=1, step_s=STEP_S):
    """Run segments at rates given by time; return a line of each."""
    rng = np.random.default_rng(seed)
    state, found = State.new(1), []
    for second in range(0, seconds, step_s):
        count = rng.poisson(rate_a_second(second) * step_s)
        if count:
            rows, requests = make(rng, count, START_NS + second * SECOND)
            decision = decide(rows, law, state)
            state = decision.state
            p = probability_of(decision.threshold)
            found.append(
                Line(
                    second,
                    requests,
                    decision.expected_requests,
                    int(decision.rows_kept.kept.sum()),
                    math.sqrt((p * (1 - p)).sum()),
                    decision.requests,
                    decision.probability,
                )
            )
    return found


def worst_excess(found, law, since, until, step_s=STEP_S):
    """Return the largest |kept / budget - 1| of all 60 seconds within `since`..`until`."""
    second = np.array([line.second for line in found])
    arrived = np.array([line.arrived for line in found], float)
    kept = np.array([line.expected for line in found])
    worst = 0.0
    for start in range(since, until - 60 + 1, step_s):
        inside = (second >= start) & (second < start + 60)
        total = arrived[inside].sum()
        worst = max(worst, abs(kept[inside].sum() / (law.probability(total) * total) - 1))
    return worst


def one_span_traces(rng, count, start):
    """Make single requests of forty operations, some far more frequent than others."""
    rows = segment(
        rng,
        np.arange(count),
        stratum=np.minimum(rng.zipf(1.6, count), 40) - 1,
        start_ns=start,
        length_ns=STEP_S * SECOND,
    )
    return rows, count


def no_entry_spans(rng, count, start):
    """Make what a collector of inner services sees: three spans a trace, none of them an entry."""
    trace = np.repeat(np.arange(count), 3)
    rows = segment(rng, trace, entry=False, start_ns=start, length_ns=STEP_S * SECOND)
    return rows, count


def head_sampled(rng, count, start):
    """Make traffic half of whose operations come thinned to a tenth, with T in the trace state."""
    size = 3 * count
    stratum = rng.integers(0, 20, size)
    rows = segment(rng, np.arange(size), stratum=stratum, start_ns=start, length_ns=STEP_S * SECOND)
    rows = upstream_sampled(rows, np.where(stratum < 10, round(0.9 * WHOLE), -1))
    return rows, len(rows)


def bursts_of_debugging(rng, count, start):
    """Make traffic half of which an always-keep rule matches in every tenth segment: feedback has to pay it back."""
    debugging = start // SECOND // STEP_S % 10 == 0
    keep = debugging & (rng.random(count) < 0.5)
    rows = segment(rng, np.arange(count), keep=keep, start_ns=start, length_ns=STEP_S * SECOND)
    return rows, count


class Microservices:
    """1 000 operations, ten entry spans and twenty others a trace, 2 % errors, a third of the rows a segment late."""

    def __init__(self) -> None:
        self.late = None

    def __call__(self, rng, count, start):
        count = max(1, count // 10)
        ids = fresh_ids(rng, count)
        trace = np.repeat(np.arange(count), 30)
        entry = np.tile(np.arange(30) % 3 == 0, count)
        stratum = rng.integers(0, 1000, trace.size) * 2 + (rng.random(trace.size) < 0.02)
        late = rng.random(trace.size) < 1 / 3
        now = (ids[0][trace], ids[1][trace], entry, stratum)
        parts = [tuple(column[~late] for column in now)]
        if self.late is not None:
            parts.append(self.late)
        self.late = tuple(column[late] for column in now)
        high, low, entry, stratum = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )
        rows = segment(
            rng,
            np.arange(high.size),
            ids=(high, low),
            entry=entry,
            stratum=stratum,
            strata=2000,
            start_ns=start,
            length_ns=STEP_S * SECOND,
        )
        names = np.stack((high, low), axis=1)
        without = np.unique(names, axis=0).shape[0] - np.unique(names[entry], axis=0).shape[0]
        return rows, int(entry.sum()) + without


def step(before, after, at):
    """Return a rate that changes once."""
    return lambda second: before if second < at else after


TRAFFIC = {
    # name: (rate by second, duration, last change of rate, what arrives)
    "step up": (step(10, 120, 60), 300, 60, one_span_traces),
    "step far up": (step(10, 600, 60), 260, 60, one_span_traces),
    "step down": (step(200, 40, 90), 300, 90, one_span_traces),
    "ramp": (lambda s: 10 + min(s, 180), 360, 180, one_span_traces),
    "spike": (lambda s: 400 if 100 <= s < 110 else 50, 300, 110, one_span_traces),
    "no entry spans": (step(10, 100, 60), 240, 60, no_entry_spans),
    "head-sampled": (step(10, 60, 60), 240, 60, head_sampled),
    "bursts kept by a rule": (step(10, 200, 60), 300, 60, bursts_of_debugging),
    "microservices": (step(40, 160, 60), 300, 60, Microservices()),
    "microservices far up": (step(40, 400, 60), 240, 60, Microservices()),
}


@pytest.mark.parametrize("name", TRAFFIC)
def test_kept_volume_is_within_a_tenth_of_the_budget(name):
    """Any 60 s that begin 60 s after the last change of rate are expected to keep the budget, within 10 %."""
    rate, seconds, changed, make = TRAFFIC[name]
    found = simulate(rate, seconds, make)
    assert worst_excess(found, LAW, changed + 60, seconds) < 0.10


@pytest.mark.slow
def test_a_day_of_traffic_stays_within_a_tenth_of_the_budget():
    """A day's curve (here in six hours) never leaves the budget by 10 % in any 60 s, from first to last."""
    law = Law(low=3000, high=18_000, rate=0.1)
    found = simulate(
        lambda s: 200 * (1 - 0.9 * math.cos(2 * math.pi * s / 21_600)),
        21_600,
        one_span_traces,
        law,
        step_s=5,
    )
    assert found[0].probability == 1
    assert max(line.count for line in found) > law.high
    assert worst_excess(found, law, 60, 21_600, step_s=5) < 0.10


def test_realised_volume_follows_the_expected_one():
    """What is really kept differs from what was expected by no more than five standard errors of the draw."""
    for line in simulate(step(10, 120, 60), 200, one_span_traces):
        assert abs(line.kept - line.expected) <= 5 * line.spread + 1e-6


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3000)), min_size=1, max_size=12),
    st.sampled_from([Law(100, 1000, 0.1), Law(100, 1000, 0.01), Law(50, 50, 0.2)]),
)
def test_bursts_keep_no_more_than_their_bound(seed, bursts, law):
    """However new traces are bunched, any 60 s are expected to keep at most the law's integral up to their count."""
    rng = np.random.default_rng(seed)
    state, at, times, found = State.new(1), START_NS, [], []
    for gap, count in bursts:
        at += gap * SECOND
        rows = segment(
            rng, np.arange(count), stratum=rng.integers(0, 9, count), start_ns=at, length_ns=SECOND
        )
        at += SECOND
        decision = decide(rows, law, state)
        state = decision.state
        times.append(at)
        found.append((count, decision.expected_requests))
    for i in range(len(found)):
        inside = [
            line for t, line in zip(times, found, strict=True) if times[i] - 59e9 <= t <= times[i]
        ]
        arrived, kept = (sum(column) for column in zip(*inside, strict=True))
        assert kept <= law.most_kept(arrived) * (1 + 2e-4)


def test_rare_strata_stay_whole_and_frequent_ones_alive():
    """Beside an operation with 99 % of the traffic, rare ones and errors are kept whole; it keeps the rest."""
    rng = np.random.default_rng(3)
    size = 20_000
    stratum = np.where(rng.random(size) < 0.99, 0, rng.integers(1, 30, size))
    rows = segment(rng, np.arange(size), stratum=stratum)
    decision = run([rows], LAW)[0]
    p = probability_of(decision.threshold)
    assert (p[stratum > 0] == 1).all()
    assert p[stratum == 0].sum() == pytest.approx(2000 - (stratum > 0).sum(), rel=1e-3)


def test_no_stratum_starves_among_too_many():
    """With more strata than the budget has requests, each keeps its share or a tenth of plain sampling's."""
    rng = np.random.default_rng(4)
    size = 40_000
    stratum = np.where(rng.random(size) < 0.5, 0, rng.integers(1, 20_000, size))
    rows = segment(rng, np.arange(size), stratum=stratum)
    decision = run([rows], LAW)[0]
    p = probability_of(decision.threshold)
    assert decision.cap < 1
    assert decision.expected_requests == pytest.approx(4000, rel=1e-3)
    least = 0.1 * 0.1
    assert p.min() >= least * (1 - 2e-4)
    frequent = stratum == 0
    assert p[frequent].sum() >= least * frequent.sum() * (1 - 2e-4)
    assert weight_of(decision.threshold).max() <= 1 / (least) * (1 + 2e-4)


def test_totals_of_every_stratum_are_unbiased():
    """Over 1 000 draws the mean of each weighted total is the true total, within 4.5 of its own standard errors.

    Traces of ten requests each lie in two of three segments, some with upstream thresholds; the variance is the
    cluster variance, which the thresholds, the same in every draw, determine: joint inclusion is min(p_i, p_j).
    """
    replications = 1000
    rng = np.random.default_rng(5)
    law = Law(low=300, high=3000, rate=0.1)
    strata, count = 12, 400
    segments = []
    ids = fresh_ids(rng, 3 * count)
    for number in range(3):
        trace = np.repeat(np.arange(2 * count), 5) + number * count
        rows = segment(
            rng,
            trace % (3 * count),
            entry=rng.random(trace.size) < 0.6,
            stratum=np.minimum(rng.zipf(1.5, trace.size), strata) - 1,
            start_ns=START_NS + number * 5 * SECOND,
            ids=ids,
        )
        segments.append(rows)
    joined = np.concatenate([rows.trace_lo for rows in segments])
    _, trace = np.unique(joined, return_inverse=True)
    stratum = np.concatenate([rows.stratum for rows in segments])
    sizes = np.cumsum([0] + [len(rows) for rows in segments])
    first = run(segments, law)
    threshold = np.concatenate([d.threshold[d.trace] for d in first])
    truth = np.bincount(stratum, minlength=strata)

    totals = np.zeros((replications, strata))
    for replication in range(replications):
        high, low = fresh_ids(rng, 3 * count)
        parts = [
            replace(rows, trace_hi=high[trace[a:b]], trace_lo=low[trace[a:b]])
            for rows, a, b in zip(segments, sizes[:-1], sizes[1:], strict=True)
        ]
        decisions = run(parts, law)
        kept = np.concatenate([d.rows_kept.kept for d in decisions])
        weight = np.concatenate([d.rows_kept.weight for d in decisions])
        if replication < 20:
            again = np.concatenate([d.threshold[d.trace] for d in decisions])
            assert np.array_equal(again, threshold)
        totals[replication] = np.bincount(stratum[kept], weights=weight[kept], minlength=strata)

    p = probability_of(threshold)
    for number in range(strata):
        rows = np.flatnonzero(stratum == number)
        variance = 0.0
        for mine in np.split(
            rows[np.argsort(trace[rows], kind="stable")], np.cumsum(np.bincount(trace[rows]))[:-1]
        ):
            if mine.size:
                joint = np.minimum.outer(p[mine], p[mine]) / np.multiply.outer(p[mine], p[mine])
                variance += (joint - 1).sum()
        error = math.sqrt(variance / replications)
        assert error > 0
        assert abs(totals[:, number].mean() - truth[number]) <= 4.5 * error
        # The variance is the one that theory says, within five standard errors of a variance.
        assert totals[:, number].var() == pytest.approx(
            variance, rel=5 * math.sqrt(2.5 / replications)
        )


def test_head_sampled_totals_are_unbiased_for_what_upstream_saw():
    """Weighted totals of rows that upstream and we thinned estimate the traffic before both, over 1 000 draws."""
    rng = np.random.default_rng(6)
    size, replications = 1500, 1000
    stratum = rng.integers(0, 4, size)
    rows = segment(rng, np.arange(size), stratum=stratum)
    upstream = np.choose(stratum, [-1, WHOLE >> 1, round(0.9 * WHOLE), WHOLE >> 2])
    totals = np.zeros((replications, 4))
    for replication in range(replications):
        high, low = fresh_ids(rng, size)
        arrived = upstream_sampled(replace(rows, trace_hi=high, trace_lo=low), upstream)
        found = run([arrived], Law(low=100, high=1000, rate=0.1))[0].rows_kept
        totals[replication] = np.bincount(
            arrived.stratum[found.kept], weights=found.weight[found.kept], minlength=4
        )
    error = totals.std(axis=0) / math.sqrt(replications)
    assert (np.abs(totals.mean(axis=0) - np.bincount(stratum)) <= 4.5 * error).all()


def test_a_million_strata_and_traces_fit_bounded_memory():
    """After a million traces, each of a stratum of its own, the state is below a megabyte and the budget is kept."""
    rng = np.random.default_rng(7)
    law = Law()
    state, size = State.new(1), 100_000
    for number in range(10):
        rows = segment(
            rng,
            np.arange(size),
            stratum=np.arange(size),
            start_ns=START_NS + number * SECOND,
        )
        rows = replace(rows, strata=rng.integers(0, 2**64, size, np.uint64))
        decision = decide(rows, law, state)
        state = decision.state
        expected = law.probability(decision.requests) * size
        assert decision.expected_requests == pytest.approx(expected, rel=0.01)
    assert state.counts.key.size == STRATA
    assert state.memory.identity.size == TRACES
    assert len(state.to_bytes()) < 1_000_000


def test_frequent_strata_are_remembered_among_a_million():
    """Strata that stand for most of the traffic keep their place among the counts, however many rare ones pass."""
    rng = np.random.default_rng(8)
    size, state = 20_000, State.new(1)
    frequent = np.arange(1, 11).astype(np.uint64)
    for number in range(20):
        rows = segment(
            rng,
            np.arange(size),
            stratum=np.where(
                np.arange(size) % 2 == 0, np.arange(size) % 20 // 2, 10 + np.arange(size)
            ),
            start_ns=START_NS + number * SECOND,
        )
        rows = replace(
            rows, strata=np.concatenate((frequent, rng.integers(100, 2**64, size, np.uint64)))
        )
        decision = decide(rows, LAW, state)
        state = decision.state
    # A minute's fading count of a thousand a second for twenty seconds.
    counts = np.sort(state.counts.count)[::-1]
    assert counts[9] == pytest.approx(60_000 * (1 - math.exp(-20 / 60)), rel=0.02)
    assert counts[10] < 3


def test_windows_and_segments_may_be_any_size():
    """One row, a quarter second, minutes of silence, or a segment longer than the window: the budget stays bound."""
    rng = np.random.default_rng(9)
    state, at = State.new(1), START_NS
    for length, count in ((1, 1), (BUCKET_NS, 3000), (120 * SECOND, 30_000), (SECOND, 3000)):
        at += 300 * SECOND
        rows = segment(rng, np.arange(count), start_ns=at, length_ns=length)
        decision = decide(rows, LAW, state)
        state = decision.state
        assert decision.expected_requests <= LAW.most_kept(count) * 1.001
        assert decision.requests <= count
