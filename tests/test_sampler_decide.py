"""The decision about one segment after the other: whole, repeatable, nested, within the law, blind to the draw."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampler_traffic import (
    SECOND,
    START_NS,
    WHOLE,
    chosen,
    fresh_ids,
    low56,
    renamed,
    run,
    segment,
    upstream_sampled,
)

from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.sampler import (
    DROP,
    Law,
    State,
    decide,
    read_ids,
    read_trace_state,
    repeat,
    strata_of,
    write_trace_state,
)
from headgate.collector.sampler.shares import FLOOR
from headgate.collector.sampler.thresholds import threshold_of, weight_of

LAW = Law(low=100, high=1000, rate=0.1, rows=5000)


recipes = st.tuples(
    st.integers(0, 2**32),
    st.lists(
        st.fixed_dictionaries(
            {
                "gap": st.integers(0, 40),
                "size": st.integers(1, 300),
                "traces": st.integers(1, 60),
                "entry": st.sampled_from([0.0, 0.3, 1.0]),
                "strata": st.integers(0, 12),
                "keep": st.sampled_from([0.0, 0.02]),
                "drop": st.sampled_from([0.0, 0.05]),
                "upstream": st.sampled_from(["none", "consistent", "false"]),
                "explicit": st.booleans(),
            }
        ),
        min_size=1,
        max_size=4,
    ),
)


def traffic(recipe):
    """Make segments of any shape: traces over several segments, upstream samplers, rules, rows without ids."""
    seed, parts = recipe
    rng = np.random.default_rng(seed)
    ids = fresh_ids(rng, 60)
    ids[0][0] = ids[1][0] = 0
    segments, start = [], START_NS
    for part in parts:
        size = part["size"]
        start += part["gap"] * SECOND
        rows = segment(
            rng,
            rng.integers(0, part["traces"], size),
            entry=rng.random(size) < part["entry"],
            stratum=rng.integers(-1, part["strata"], size),
            strata=12,
            start_ns=start,
            ids=ids,
            keep=rng.random(size) < part["keep"],
            drop=rng.random(size) < part["drop"],
        )
        some = rng.choice([-1, 0, WHOLE >> 1, WHOLE - (WHOLE >> 6)], size)
        if part["upstream"] == "consistent":
            rows = upstream_sampled(rows, some)
        elif part["upstream"] == "false":
            rows = replace(rows, upstream=some)
        if part["explicit"]:
            rows = replace(rows, randomness=rng.choice([-1, -1, 0, 1 << 55, WHOLE - 1], len(rows)))
        if len(rows):
            segments.append(rows)
    return segments


laws = st.sampled_from([LAW, Law(5, 50, 0.02, 300), Law(20, 20, 0.5), Law(1e9, 1e9, 0.1, 40)])


@settings(max_examples=50, deadline=None)
@given(recipes, laws)
def test_every_trace_is_whole_and_weighed_by_its_threshold(recipe, law):
    """In a segment a trace's rows share one threshold and, unless upstream thinned some, one fate: R >= T."""
    segments = traffic(recipe)
    for rows, decision in zip(segments, run(segments, law), strict=True):
        kept = decision.rows_kept
        ids = np.stack((rows.trace_hi, rows.trace_lo), axis=1)
        for number in range(decision.threshold.size):
            mine = np.flatnonzero(decision.trace == number)
            assert len(set(map(tuple, ids[mine].tolist()))) == 1
            assert len(set(kept.kept[mine].tolist())) == 1
            given_r = rows.randomness[mine]
            randomness = next((r for r in given_r if r >= 0), low56(rows)[mine[0]])
            if ids[mine[0]].any():
                assert kept.kept[mine[0]] == (randomness >= decision.threshold[number])
                consistent = (rows.upstream[mine] >= 0) & (rows.upstream[mine] <= randomness)
                assert (
                    kept.upstream[mine].tolist()
                    == np.where(consistent, rows.upstream[mine], -1).tolist()
                )
            else:
                assert mine.size == 1
        own = decision.threshold[decision.trace]
        assert np.array_equal(kept.threshold, np.maximum(own, kept.upstream))
        assert np.array_equal(kept.weight, weight_of(kept.threshold))
        assert (kept.threshold[kept.kept] < DROP).all()


@settings(max_examples=50, deadline=None)
@given(recipes, laws)
def test_the_same_input_keeps_the_same_rows(recipe, law):
    """Deciding twice, from a state that was written and read, or from the thresholds of a plan: the same rows."""
    segments = traffic(recipe)
    first = run(segments, law)
    second = run(segments, law)
    state = State.new(1)
    for rows, one, two in zip(segments, first, second, strict=True):
        again = decide(rows, law, State.from_bytes(state.to_bytes()))
        planned = repeat(rows, one.threshold, state.key)
        for other in (two.rows_kept, again.rows_kept, planned):
            assert np.array_equal(other.kept, one.rows_kept.kept)
            assert np.array_equal(other.threshold, one.rows_kept.threshold)
            assert np.array_equal(other.weight, one.rows_kept.weight)
        assert again.state.to_bytes() == one.state.to_bytes() == two.state.to_bytes()
        state = one.state


@settings(max_examples=50, deadline=None)
@given(recipes, laws, st.integers(0, 2**32))
def test_nothing_but_the_last_step_depends_on_the_draw(recipe, law, seed):
    """The same traffic under other trace ids, and another key: the same thresholds for the same traces."""
    segments = [
        replace(
            rows,
            upstream=np.full(len(rows), -1, np.int64),
            randomness=np.full(len(rows), -1, np.int64),
            trace_hi=rows.trace_hi | np.uint64(1),
        )
        for rows in traffic(recipe)
    ]
    if not segments:
        return
    rng = np.random.default_rng(seed)
    # One naming for all segments, so that traces of several segments stay traces of several segments.
    sizes = np.cumsum([0] + [len(rows) for rows in segments])
    joined = renamed(
        replace(
            segments[0],
            trace_hi=np.concatenate([rows.trace_hi for rows in segments]),
            trace_lo=np.concatenate([rows.trace_lo for rows in segments]),
        ),
        rng,
    )
    other = [
        replace(rows, trace_hi=joined.trace_hi[a:b], trace_lo=joined.trace_lo[a:b])
        for rows, a, b in zip(segments, sizes[:-1], sizes[1:], strict=True)
    ]
    for one, two in zip(
        run(segments, law), run(other, law, State.new(int(rng.integers(2**63)))), strict=True
    ):
        assert np.array_equal(one.threshold, two.threshold)
        assert one.expected_requests == two.expected_requests


class Notebook:
    """What is remembered of traces, the obvious way: every threshold and when it ends."""

    def __init__(self) -> None:
        self.lines: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def holds(self, name, now):
        """Return the thresholds that still hold."""
        return [threshold for end, threshold in self.lines.get(name, []) if end > now]

    def note(self, name, now, threshold):
        """Note a threshold that is lower than what holds, and a first DROP."""
        held = self.holds(name, now)
        if (threshold not in held) if threshold == DROP else threshold < min(held, default=DROP):
            self.lines.setdefault(name, []).append((now + 30 * SECOND, threshold))


def rows_by_trace(decision):
    """Return the rows of each trace, by its number."""
    traces: dict[int, list[int]] = {}
    for row, number in enumerate(decision.trace.tolist()):
        traces.setdefault(number, []).append(row)
    return traces


@settings(max_examples=50, deadline=None)
@given(recipes, laws)
def test_memory_rules_and_floor_bind_every_threshold(recipe, law):
    """Rules decide first; then no T above what is remembered, none below the floor, their sum within the law."""
    state, notebook = State.new(1), Notebook()
    for rows in traffic(recipe):
        decision = decide(rows, law, state)
        now = int(rows.arrival_ns.max())
        lifted, requests, yielded = False, 0.0, 0.0
        for number, mine in rows_by_trace(decision).items():
            name = (int(rows.trace_hi[mine[0]]), int(rows.trace_lo[mine[0]]))
            held = notebook.holds(name, now)
            threshold = int(decision.threshold[number])
            dropping = not rows.keep[mine].any() and (rows.drop[mine].any() or DROP in held)
            assert (threshold == DROP) == dropping
            assert threshold == 0 or not rows.keep[mine].any()
            if name != (0, 0):
                notebook.note(name, now, threshold)
            if dropping:
                continue
            assert threshold == 0 or decision.probability < 1
            assert threshold <= min(held, default=DROP)
            upstream = max(0, int(decision.rows_kept.upstream[mine].max()))
            passing = (WHOLE - max(threshold, upstream)) / (WHOLE - upstream)
            assert passing >= FLOOR * decision.probability * (1 - 2e-4)
            count = max(1, int(rows.entry[mine].sum()))
            requests += count
            yielded += count * passing
            lifted |= bool(rows.keep[mine].any() or held)
        allowed = law.probability(decision.requests) * requests
        assert decision.expected_requests == pytest.approx(yielded)
        assert lifted or yielded <= allowed * (1 + 2e-4)
        if not lifted and decision.probability == law.probability(decision.requests):
            paid_back = state.window.requests_surplus > 0 or state.window.rows_surplus > 0
            bound_by_rows = law.rows_probability(decision.rows) < 1
            assert paid_back or bound_by_rows or yielded == pytest.approx(allowed, rel=2e-4)
        state = decision.state


@settings(max_examples=50, deadline=None)
@given(recipes, laws)
def test_a_trace_has_the_fair_share_of_its_rarest_stratum(recipe, law):
    """In a first segment p = min(1, cap / N) with N of the rarest stratum by a count in Python, or the floor."""
    rows = traffic(recipe)[:1]
    if not rows or rows[0].keep.any() or rows[0].drop.any() or rows[0].upstream.max() >= 0:
        return
    decision = run(rows, law)[0]
    traces = rows_by_trace(decision)
    strata = {
        number: [int(rows[0].stratum[row]) for row in mine if rows[0].entry[row]]
        or [int(rows[0].stratum[mine[0]])]
        for number, mine in traces.items()
    }
    sizes = Counter(code for codes in strata.values() for code in codes)
    shares = [
        max(
            FLOOR * decision.probability,
            min(1.0, decision.cap / min(sizes[code] for code in strata[number])),
        )
        for number in range(len(traces))
    ]
    assert np.array_equal(decision.threshold, threshold_of(np.array(shares)))


@pytest.mark.parametrize("a_minute", [1, 50, 99, 100])
def test_everything_is_kept_at_or_below_low(a_minute):
    """REQ-CAP-20: at or below `low` requests a minute nothing is dropped, whatever the strata."""
    rng = np.random.default_rng(a_minute)
    segments = [
        segment(rng, np.arange(a_minute), stratum=rng.integers(0, 9, a_minute), start_ns=start)
        for start in range(START_NS, START_NS + 1000 * SECOND, 61 * SECOND)
    ]
    for decision in run(segments, LAW):
        assert decision.rows_kept.kept.all()
        assert (decision.rows_kept.weight == 1).all()


def test_a_tenth_is_kept_far_above_high():
    """REQ-CAP-20: far above `high` a tenth is expected to be kept, and is kept within five standard errors."""
    rng = np.random.default_rng(5)
    law = Law()
    segments = [
        segment(rng, np.arange(20_000), stratum=rng.zipf(1.5, 20_000) % 500, start_ns=start)
        for start in range(START_NS, START_NS + 70 * SECOND, 2 * SECOND)
    ]
    for rows, decision in list(zip(segments, run(segments, law), strict=True))[10:]:
        assert decision.probability == 0.1
        assert decision.expected_requests == pytest.approx(2_000, rel=1e-3)
        p = 1 / weight_of(decision.threshold)
        error = np.sqrt((p * (1 - p)).sum())
        assert abs(decision.rows_kept.kept.sum() - 2_000) < 5 * error
        assert len(rows) == 20_000


def test_nothing_new_escapes_once_the_count_has_crossed():
    """The segment in which the minute's count crosses `low` already has the new probability, rules changed or not."""
    rng = np.random.default_rng(6)
    quiet = segment(rng, np.arange(90))
    burst = segment(rng, np.arange(910), start_ns=START_NS + 30 * SECOND)
    first, second = run([quiet, burst], LAW)
    assert first.probability == 1
    assert (second.requests, second.probability) == (1000, pytest.approx(0.1))
    assert (second.threshold > 0).all()
    # A change of settings holds from the next segment on.
    other = run([quiet, burst], lambda number: (LAW, Law(10_000))[number])
    assert other[1].rows_kept.kept.all()


def test_a_trace_keeps_its_probability_for_half_a_minute():
    """Late spans are treated as the trace's first ones, but an id used for ever does not escape for ever."""
    rng = np.random.default_rng(7)
    ids = fresh_ids(rng, 1000)
    quiet = segment(rng, np.arange(50), ids=ids)
    late = [
        segment(rng, np.arange(1000), entry=False, ids=ids, start_ns=START_NS + at * SECOND)
        for at in (10, 20, 29, 32)
    ]
    decisions = run([quiet, *late], LAW)
    for decision in decisions[:4]:
        assert (decision.threshold[:50] == 0).all()
        assert (decision.threshold[50:] > 0).all() or decision is decisions[0]
    assert (decisions[4].threshold[:50] > 0).all()


def test_rules_keep_and_drop_whole_traces():
    """A debug header keeps its trace at weight 1; a health check is dropped with its late spans, and counts nowhere."""
    rng = np.random.default_rng(8)
    ids = fresh_ids(rng, 2000)
    trace = np.repeat(np.arange(2000), 2)
    keep, drop = trace == 3, (trace % 2 == 0) & (np.arange(4000) % 2 == 1)
    rows = segment(rng, trace, entry=np.arange(4000) % 2 == 0, ids=ids, keep=keep, drop=drop)
    late = segment(
        rng, np.arange(2000), entry=False, ids=ids, start_ns=START_NS + SECOND, length_ns=SECOND
    )
    first, second = run([rows, late], LAW)
    assert first.requests == 1000
    assert first.expected_requests == pytest.approx(100, rel=1e-3)
    for decision in (first, second):
        assert (decision.threshold[0::2] == DROP).all()
        assert decision.threshold[3] == 0
        own = decision.trace
        assert not decision.rows_kept.kept[own % 2 == 0].any()
        assert (decision.rows_kept.weight[own % 2 == 0] == 0).all()
        assert (decision.rows_kept.weight[own == 3] == 1).all()
    both = segment(rng, np.array([5, 5]), ids=ids, keep=np.array([0, 1]) > 0, drop=np.ones(2, bool))
    assert run([both], LAW)[0].threshold.tolist() == [0]


def test_collectors_with_different_rates_decide_alike():
    """Two collectors keep nested sets, and one behind the other keeps what the stricter one would have kept."""
    rng = np.random.default_rng(9)
    rows = segment(rng, np.arange(5000), stratum=rng.integers(0, 5, 5000))
    loose, strict = run([rows], Law(1000, 5000, 0.3))[0], run([rows], Law(100, 1000, 0.05))[0]
    kept_loose, kept_strict = loose.rows_kept.kept, strict.rows_kept.kept
    assert kept_strict.sum() < kept_loose.sum()
    assert not (kept_strict & ~kept_loose).any()

    # The first writes trace states, the second reads them.
    heap = Heap(as_buffer(b"-"))
    passed = np.flatnonzero(kept_loose)
    states = heap.add_texts([b"vendor=1"] * passed.size)
    written = write_trace_state(
        heap, states, np.full(passed.size, -1), loose.rows_kept.threshold[passed]
    )
    upstream, randomness = read_trace_state(heap.buffer, written)
    behind = replace(chosen(rows, passed), upstream=upstream, randomness=randomness)
    second = run([behind], Law(100, 1000, 0.05))[0]
    assert np.array_equal(second.rows_kept.upstream, loose.rows_kept.threshold[passed])
    final = second.rows_kept.threshold
    assert np.array_equal(final, np.maximum(upstream, second.threshold))
    assert np.array_equal(second.rows_kept.kept, low56(behind) >= final)
    # It has to keep no more than if nothing had been sampled before.
    assert second.expected_requests == pytest.approx(0.05 * passed.size, rel=1e-3)


def test_rows_have_a_budget_of_their_own():
    """Few requests with many rows are thinned until the expected rows fit the budget."""
    rng = np.random.default_rng(10)
    law = Law(low=1e6, high=1e7, rows=1000)
    rows = segment(rng, np.repeat(np.arange(100), 100), entry=np.arange(10_000) % 100 == 0)
    decision = run([rows], law)[0]
    assert decision.probability == pytest.approx(0.1)
    assert decision.expected_rows == pytest.approx(1000, rel=1e-3)


def test_explicit_randomness_decides_for_its_trace():
    """With `rv` a trace's fate follows it, not the id; the first one in the segment holds for all of its rows."""
    rng = np.random.default_rng(11)
    trace = np.repeat(np.arange(4000), 2)
    r = rng.integers(0, WHOLE, 4000)
    given_r = np.where(np.arange(8000) % 2 == 1, r[trace], -1)
    decision = run([segment(rng, trace, randomness=given_r)], LAW)[0]
    assert np.array_equal(decision.rows_kept.kept, r[trace] >= decision.threshold[decision.trace])


def test_logs_without_a_trace_draw_from_the_segment():
    """Records outside any trace are kept one by one, evenly, the same way each time, another way in another segment."""
    rng = np.random.default_rng(12)
    none = (np.zeros(1, np.uint64), np.zeros(1, np.uint64))
    rows = segment(rng, np.zeros(20_000, np.int64), ids=none, segment=(2**63 + 5, 9))
    law = Law(1000, 10_000, 0.1)
    one = run([rows], law)[0]
    assert one.threshold.size == 20_000
    assert one.state.memory.identity.size == 0
    kept = one.rows_kept.kept
    assert abs(kept.sum() - 2000) < 5 * np.sqrt(2000 * 0.9)
    halves = kept[::2].sum() - kept[1::2].sum()
    assert abs(int(halves)) < 5 * np.sqrt(2000)
    other = run([replace(rows, segment=(2**63 + 6, 9))], law)[0].rows_kept.kept
    both = (kept & other).sum()
    assert abs(both - 200) < 5 * np.sqrt(200)


def test_trace_ids_are_read_as_numbers():
    """Sixteen bytes are two big-endian numbers; anything else is no trace."""
    heap = Heap(as_buffer(b"-"))
    text = heap.add_texts([bytes(range(16)), b"", b"\xff" * 15, b"\xff" * 16])
    high, low = read_ids(heap.buffer, text)
    assert high.tolist() == [0x0001020304050607, 0, 0, 2**64 - 1]
    assert low.tolist() == [0x08090A0B0C0D0E0F, 0, 0, 2**64 - 1]


def test_false_upstream_thresholds_do_no_harm_to_others():
    """One row that claims to stand for 2^56 changes nobody else's share."""
    rng = np.random.default_rng(13)
    rows = segment(rng, np.arange(1000), stratum=np.arange(1000) % 4)
    upstream = np.full(1000, -1)
    upstream[0] = WHOLE - 1
    poisoned = replace(
        rows, upstream=upstream, randomness=np.where(np.arange(1000) == 0, WHOLE - 1, -1)
    )
    honest, found = run([rows], LAW)[0], run([poisoned], LAW)[0]
    ratio = weight_of(found.threshold[1:]) / weight_of(honest.threshold[1:])
    assert np.abs(ratio - 1).max() < 0.02


def test_a_plan_of_another_segment_is_refused():
    """Thresholds that are not those of the segment's traces are never applied."""
    rng = np.random.default_rng(14)
    rows = segment(rng, np.arange(5))
    with pytest.raises(ValueError, match="4 traces, the segment has 5"):
        repeat(rows, np.zeros(4, np.int64), 1)
    with pytest.raises(ValueError, match="without rows"):
        decide(chosen(rows, np.empty(0, np.int64)), LAW, State.new(1))


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 255))
def test_damaged_states_are_refused_or_read(noise, position, byte):
    """Bytes that are no state raise ValueError and nothing else; a state survives its bytes."""
    rng = np.random.default_rng(15)
    state = run([segment(rng, np.arange(20), stratum=np.arange(20))], LAW)[0].state
    data = state.to_bytes()
    assert State.from_bytes(data).to_bytes() == data
    damaged = bytearray(data)
    damaged[position % len(data)] = byte
    for bad in (noise, data + noise[:5], data[: -1 - len(noise)], bytes(damaged)):
        try:
            State.from_bytes(bad)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - what damage makes is either refused in words or a state
        else:
            assert len(bad) == len(data)


def test_thresholds_of_a_plan_fit_32_bits():
    """What a plan has to hold for a trace is its packed threshold."""
    assert threshold_of(np.array([1e-12]))[0] % (1 << 24) == 0


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2)), min_size=1),
    st.integers(0, 2**32),
)
def test_strata_are_the_same_in_every_segment(rows, seed):
    """Rows share a stratum iff they share all columns, under a key that no numbering of a segment changes."""
    names = [np.arange(100, 105, dtype=np.uint64) * np.uint64(i) for i in (1, 10, 100)]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    stratum, strata = strata_of(*zip(columns, names, strict=True))
    shuffles = [np.random.default_rng(seed + i).permutation(5) for i in range(3)]
    renumbered = [
        (np.argsort(p)[c], n[p]) for p, c, n in zip(shuffles, columns, names, strict=True)
    ]
    other, other_strata = strata_of(*renumbered)
    assert np.array_equal(strata[stratum], other_strata[other])
    assert len({(row, int(key)) for row, key in zip(rows, strata[stratum], strict=True)}) == len(
        set(rows)
    )
    assert len(set(strata.tolist())) == strata.size == len(set(rows))
