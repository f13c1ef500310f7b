"""Differences and ratios: symmetric, exact for exact numbers, unbounded where nothing bounds them, and they hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries import estimate
from headgate.queries.estimate import Estimate, at_least, difference, exactly, ratio

numbers = st.floats(0.5, 1e6)


@st.composite
def estimates(draw):
    value, down, up = draw(numbers), draw(st.floats(0.01, 0.9)), draw(st.floats(0.01, 3))
    return Estimate(value, value * (down + up) / 4, value * (1 - down), value * (1 + up))


@given(numbers, numbers)
def test_exact_numbers_compare_exactly(a, b):
    """Nothing was estimated, so nothing is uncertain."""
    assert difference(exactly(a), exactly(b)) == exactly(a - b)
    assert ratio(exactly(a), exactly(b)) == exactly(a / b)


@given(estimates(), estimates())
def test_comparisons_are_antisymmetric(a, b):
    """Turned round, b - a is the mirror image of a - b, and b/a that of a/b; each interval holds its value."""
    one, other = difference(a, b), difference(b, a)
    assert one.low <= one.value <= one.high
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    one, other = ratio(a, b), ratio(b, a)
    assert one.low <= one.value <= one.high
    assert one.low == pytest.approx(1 / other.high)


@given(estimates(), estimates())
def test_what_is_common_makes_a_difference_surer(a, b):
    """A positive covariance shortens the interval of a difference and of a ratio; none is as if independent."""
    common = 0.5 * a.standard_error * b.standard_error
    for compare in (difference, ratio):
        apart, together = compare(a, b), compare(a, b, common)
        assert together.high - together.low < apart.high - apart.low


def test_unknown_stays_unknown():
    """Without an interval on one side there is none of the comparison; without an error there is a reason."""
    bounded = Estimate(10.0, 1.0, 8.0, 12.0)
    assert difference(at_least(5), bounded).low is None
    assert "no interval" in difference(at_least(5), bounded).reason
    few = estimate.unsure(5, "from 2 effective draws")
    assert ratio(bounded, few).reason == "from 2 effective draws"
    assert ratio(bounded, Estimate(1.0, 0.9, -0.5, 2.5)).high is None
    assert math.isnan(ratio(bounded, exactly(0)).value)
    nothing = ratio(Estimate(0.0, 1.0, 0.0, 4.0), Estimate(2.0, 0.1, 1.6, 2.4))
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 2.5)


def test_comparisons_hold():
    """Over 3 000 samples of two weeks, intervals of difference and ratio hold the truth in 93 to 97 %."""
    random = np.random.default_rng(12)
    n, m, p, runs = 3000, 2400, 0.1, 3000
    held = {"difference": 0, "ratio": 0}
    for a, b in zip(random.binomial(n, p, runs), random.binomial(m, p, runs), strict=True):
        one, other = (estimate.count(k / p, k * (1 - p) / p**2, k) for k in (a, b))
        gap, part = difference(one, other), ratio(one, other)
        held["difference"] += gap.low <= n - m <= gap.high
        held["ratio"] += part.low <= n / m <= part.high
    for name, count in held.items():
        assert 0.93 <= count / runs <= 0.97, name


def test_a_part_and_its_whole_overlap():
    """This operation against all: with Var(part) as the covariance the interval of the ratio is that of the rate."""
    hits, n = 40 * 10.0, 400 * 10.0
    part, whole = (estimate.count(k, 9 * k, k / 10) for k in (hits, n))
    found = ratio(part, whole, part.standard_error**2)
    share = estimate.rate(hits, n, 9 * hits, 9 * (n - hits))
    assert found.standard_error == pytest.approx(share.standard_error)
    assert found.low == pytest.approx(share.low, rel=0.05)
    assert found.high == pytest.approx(share.high, rel=0.05)
