"""The rate law, the sliding window and the thresholds, each against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from headgate.collector.law import Law
from headgate.collector.sampler.thresholds import (
    DROP,
    MOST_DIGITS,
    WHOLE,
    pack,
    probability_of,
    threshold_of,
    threshold_text,
    unpack,
    weight_of,
)
from headgate.collector.sampler.window import BUCKET_NS, BUCKETS, Window

LAWS = st.builds(
    lambda low, ratio, rate: Law(low, low * ratio, rate),
    st.floats(0.5, 1e6),
    st.floats(1, 1000),
    st.floats(1e-4, 1),
)


def test_default_law_keeps_all_up_to_low_and_a_tenth_from_high():
    """REQ-CAP-20: 100 % at or below 10 000 requests a minute, 10 % above 100 000, 10 000 / N between."""
    law = Law()
    assert [law.probability(n) for n in (0, 1, 9_999, 10_000)] == [1.0] * 4
    assert [law.probability(n) for n in (100_000, 100_001, 1e12)] == [0.1] * 3
    for n in (10_001, 12_345, 50_000, 99_999):
        assert law.probability(n) == pytest.approx(10_000 / n, rel=1e-12)


def observe(window, arrival_ns, each=1):
    """Observe rows, one in `each` of which is a request."""
    size = arrival_ns.size
    return window.observe(arrival_ns, np.arange(size) % each == 0, np.ones(size, bool))


@settings(deadline=None)
@given(LAWS, st.lists(st.floats(0, 1e9), min_size=2))
def test_law_is_monotone_and_within_its_thresholds(law, counts):
    """More requests never raise the probability, which stays between rate and 1 and is exact at both ends."""
    found = [law.probability(n) for n in sorted(counts)]
    assert found == sorted(found, reverse=True)
    assert all(law.rate <= p <= 1 for p in found)
    assert law.probability(law.low) == 1
    if law.high > law.low:
        assert law.probability(law.high) == law.rate


@settings(deadline=None)
@given(LAWS, st.floats(0, 1e7))
def test_most_kept_is_the_integral_of_the_law(law, requests):
    """The bound on bursts is the integral of p, checked against numerical integration."""
    knots = [n for n in (law.low, law.high) if 0 < n < requests]
    edges = [0.0, *knots, requests]
    total = sum(quad(law.probability, a, b, full_output=1)[0] for a, b in itertools.pairwise(edges))
    assert law.most_kept(requests) == pytest.approx(total, rel=1e-5, abs=1e-9)


def test_default_bursts_keep_at_most_3_3_times_the_budget():
    """The stated bound for adversarial bursts with the defaults: (1 + ln 10) times the 10 000 a minute, at high."""
    law = Law()
    worst = max(law.most_kept(n) / (law.probability(n) * n) for n in np.geomspace(100, 1e8, 2000))
    assert law.most_kept(100_000) == pytest.approx(10_000 * (1 + math.log(10)))
    assert worst <= 1 + math.log(10) + 1e-9


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"low": 0}, "low must be"),
        ({"low": math.nan}, "low must be"),
        ({"low": 10, "high": 9}, "high must be at least low"),
        ({"rate": 0}, "rate must be"),
        ({"rate": 1.5}, "rate must be"),
        ({"rows": 0}, "rows must be"),
    ],
)
def test_law_refuses_what_is_none(wrong, says):
    """Thresholds that make no law are refused by a sentence that names the value."""
    with pytest.raises(ValueError, match=says):
        Law(**wrong)


def test_collectors_share_one_budget():
    """Four collectors with a quarter of the traffic each keep what one would: same probability, a quarter of rows."""
    law = Law()
    for n in (1e3, 2e4, 1e6):
        assert law.share(4).probability(n / 4) == pytest.approx(law.probability(n))
    assert law.share(4).rows == law.rows / 4
    with pytest.raises(ValueError, match="at least 1"):
        law.share(0)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),  # quarter seconds between segments
            st.lists(st.integers(0, 20 * BUCKET_NS), min_size=1, max_size=30),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_arrival_sees_less_than_the_minute_before_it(segments):
    """The count of a segment is at least that of the 60 s up to each of its arrivals, and at most a bucket's more."""
    window, start, seen, seen_rows = Window.empty(), 10_000 * BUCKET_NS, [], []
    for gap, offsets, rows_each in segments:
        start += gap * BUCKET_NS
        arrivals = np.array(sorted(start + offset for offset in offsets))
        observed = observe(window, np.repeat(arrivals, rows_each), each=rows_each)
        window = observed.window
        seen.extend(arrivals)
        start = max(start, int(arrivals.max()))
        times = np.array(seen)
        exact = [np.sum((times > u - 60e9) & (times <= u)) for u in arrivals]
        loose = [
            np.sum((times > u - 60.25e9) & (times // BUCKET_NS <= u // BUCKET_NS)) for u in arrivals
        ]
        assert max(exact) <= observed.requests <= max(loose)
        seen_rows.extend(np.repeat(arrivals, rows_each))
        times = np.array(seen_rows)
        assert max(np.sum((times > u - 60e9) & (times <= u)) for u in arrivals) <= observed.rows
    assert window.sums.shape == (BUCKETS, 4)


def test_a_clock_set_back_forgets_nothing():
    """After the clock jumps back an hour the last minute still counts, so that no burst escapes through the jump."""
    at = np.full(100, 7200 * 10**9)
    window = observe(Window.empty(), at).window
    later = observe(window, at - 3600 * 10**9)
    assert later.requests == 200
    slightly = observe(window, at - 5 * 10**9)
    assert (slightly.requests, slightly.window.head) == (200, window.head)


def test_surplus_leaves_with_the_window():
    """What was kept above the law is remembered for 60 s and then forgiven."""
    one = np.zeros(1, np.int64)
    window = observe(Window.empty(), one + 10**12).window.charge(5, 7)
    assert (window.requests_surplus, window.rows_surplus) == (5, 7)
    soon = observe(window, one + 10**12 + 59 * 10**9).window
    assert soon.requests_surplus == 5
    late = observe(window, one + 10**12 + 61 * 10**9).window
    assert (late.requests_surplus, late.rows_surplus) == (0, 0)


@settings(deadline=None)
@given(st.lists(st.floats(1e-12, 1), min_size=1))
def test_thresholds_are_short_near_and_monotone(probabilities):
    """T has at most seven digits, p is within 0.013 % of what was asked for (above 16^-4), and order is kept."""
    p = np.sort(np.array(probabilities))
    threshold = threshold_of(p)
    assert (np.diff(threshold) <= 0).all()
    assert ((threshold >= 0) & (threshold < WHOLE)).all()
    near = p > 16.0**-4
    assert np.allclose(probability_of(threshold)[near], p[near], rtol=1.3e-4, atol=0)
    assert (probability_of(threshold) >= 16.0**-MOST_DIGITS).all()
    assert np.array_equal(unpack(pack(threshold)), threshold)
    assert all(len(threshold_text(int(t))) <= MOST_DIGITS for t in threshold)


def test_threshold_examples():
    """The texts of the specification's examples: all, a half, a quarter, a tenth; nothing passes DROP."""
    found = threshold_of(np.array([1.0, 0.5, 0.25, 0.1, 0.0]))
    assert [threshold_text(int(t)) for t in found] == ["0", "8", "c", "e666", "fffffff"]
    assert weight_of(np.array([0, WHOLE // 2, DROP])).tolist() == [1.0, 2.0, 0.0]
    assert unpack(pack(np.array([DROP, 0]))).tolist() == [DROP, 0]
    with pytest.raises(ValueError, match="below 2"):
        threshold_text(DROP)
