"""Slopes and change points against SciPy, the sum of signs that defines the test, and permutations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headgate.queries.changes import (
    LEAST_CYCLES,
    LEAST_PERIODS,
    MOST_PERMUTED,
    change_point,
    ranks,
    slopes,
    without_profile,
)

values = st.lists(st.integers(-50, 50), min_size=3, max_size=40)


@given(values, st.integers(0, 10))
def test_slopes_are_those_of_linear_regression(drawn: list[int], skipped: int) -> None:
    """Slope and p-value of each series equal scipy.stats.linregress, also with periods left out."""
    x = np.arange(len(drawn), dtype=float)
    x[len(drawn) // 2 :] += skipped
    y = np.array([drawn, drawn[::-1]], float)
    slope, p = slopes(x, y)
    for row in range(2):
        if len(set(drawn)) == 1:
            assert (slope[row], p[row]) == (0, 1)
            continue
        expected = stats.linregress(x, y[row])
        assert slope[row] == pytest.approx(expected.slope, abs=1e-9)
        assert p[row] == pytest.approx(expected.pvalue, abs=1e-6)


def test_few_periods_have_no_p_value() -> None:
    """One period has no slope, two lie on a line that says nothing about chance."""
    assert slopes(np.array([0.0]), np.array([[5.0]]))[0].tolist() == [0]
    slope, p = slopes(np.array([0.0, 1.0]), np.array([[5.0, 7.0]]))
    assert slope.tolist() == [2]
    assert np.isnan(p[0])


@given(values)
def test_ranks_are_scipys(drawn: list[int]) -> None:
    """Equal values share the mean of their ranks."""
    found = ranks(np.array(drawn, float))
    assert found.tolist() == stats.rankdata(drawn).tolist()


@given(st.lists(st.integers(0, 20), min_size=LEAST_PERIODS, max_size=30))
def test_the_change_lies_where_signs_say(drawn: list[int]) -> None:
    """K is the largest sum of sign(x_j - x_i) over i before and j after a point: Pettitt's own definition."""
    x = np.array(drawn, float)
    u = [np.sign(x[k:, None] - x[None, :k]).sum() for k in range(1, x.size)]
    found = change_point(x)
    assert abs(u[found.begins - 1]) == np.abs(u).max()


def test_probabilities_are_those_of_every_permutation() -> None:
    """Of 8 values all 40 320 orders are tried: the share with so large a K is p, to the accuracy of the draws."""
    orders = np.array(list(itertools.permutations(range(8))), float)
    k = np.abs(np.cumsum(2 * orders - 7, axis=1)).max(axis=1)
    for order in orders[::4000]:
        own = np.abs(np.cumsum(2 * order - 7)).max()
        assert change_point(order).p_value == pytest.approx((k >= own).mean(), abs=0.01)


def test_long_series_have_the_published_probability() -> None:
    """Beyond MOST_PERMUTED the p-value is Pettitt's; where the one ends and the other begins they agree."""
    long = np.random.default_rng(1).normal(size=MOST_PERMUTED + 1) + np.linspace(
        0, 0.8, MOST_PERMUTED + 1
    )
    n = long.size
    k = np.abs(np.cumsum(2 * stats.rankdata(long) - (n + 1))).max()
    assert change_point(long).p_value == pytest.approx(2 * np.exp(-6 * k**2 / (n**3 + n**2)))
    assert change_point(long[:-1]).p_value == pytest.approx(change_point(long).p_value, rel=0.6)


@given(
    st.lists(st.integers(0, 20), min_size=LEAST_PERIODS, max_size=30),
    st.integers(1, 9),
    st.integers(-5, 5),
)
def test_scale_and_direction_do_not_matter(drawn: list[int], scale: int, shift: int) -> None:
    """Scaled and shifted values have the same change; turned around in time it has the same probability."""
    x = np.array(drawn, float)
    assert change_point(x * scale + shift) == change_point(x)
    assert change_point(x[::-1]).p_value == pytest.approx(change_point(x).p_value)


def test_the_probability_is_that_of_permutations() -> None:
    """Among series without a change, p <= 0.05 and 0.01 are about as rare as they say."""
    random = np.random.default_rng(2)
    p = np.array([change_point(random.poisson(30, 40).astype(float)).p_value for _ in range(4000)])
    assert 0.04 < (p <= 0.05).mean() <= 0.056
    assert 0.006 < (p <= 0.01).mean() <= 0.013


def test_a_step_is_found_where_it_is() -> None:
    """Poisson counts that double on one day: mostly that day is found, hardly ever one further off than the next."""
    random = np.random.default_rng(3)
    errors = []
    for _ in range(200):
        series = random.poisson(np.where(np.arange(40) < 25, 50, 100)).astype(float)
        found = change_point(series)
        assert found.p_value < 1e-3
        errors.append(abs(found.begins - 25))
    assert np.mean(np.array(errors) == 0) > 0.7
    assert np.mean(np.array(errors) <= 2) > 0.9


def test_a_profile_is_no_change() -> None:
    """Days of hours that follow one curve have no change once it is taken out; a single day is left alone."""
    hours = np.arange(144) % 24
    curve = 100.0 + 80 * np.sin(hours / 24 * 2 * np.pi)
    assert change_point(curve).p_value < 1
    assert not without_profile(curve, hours).any()
    assert (without_profile(curve[:24], hours[:24]) == curve[:24]).all()
    stepped = without_profile(curve + 50 * (np.arange(144) >= 100), hours)
    assert change_point(stepped).begins == 100


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-9, 9)), max_size=60))
def test_a_profile_is_the_median_of_each_slot(drawn: list[tuple[int, int]]) -> None:
    """Slots in any order, some of them empty: each value less the median of its slot's, where all recur."""
    slot = np.array([number for number, _ in drawn], np.int64)
    values = np.array([value for _, value in drawn], float)
    seen = {number: values[slot == number] for number in slot.tolist()}
    recurring = all(mine.size >= LEAST_CYCLES for mine in seen.values())
    expected = [v - np.median(seen[n]) if recurring else v for n, v in drawn]
    assert without_profile(values, slot).tolist() == expected


def test_short_series_have_no_change() -> None:
    """Below LEAST_PERIODS nothing can be told."""
    assert change_point(np.arange(LEAST_PERIODS - 1.0)) is None
