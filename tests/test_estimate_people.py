"""Samples of people: counts of them are unbiased, exact where everybody was kept, and their intervals hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headgate.queries import estimate
from headgate.queries.estimate import conversion, distinct, funnel, people_mean, people_total

shares = st.sampled_from([0.05, 0.25, 0.5, 0.9])


@given(st.integers(0, 10**6))
def test_everybody_is_exact(seen):
    """With p = 1 a count is the number seen, a conversion the quotient, with no error."""
    assert distinct(seen, 1.0) == estimate.exactly(seen)
    assert people_total(seen, seen, seen, 1.0).exact
    assert conversion(seen, seen + 1, 1.0) == estimate.exactly(seen / (seen + 1))


@given(st.integers(0, 10**6), shares)
def test_distinct_is_the_formula(seen, p):
    """D = d/p with sqrt(d (1 - p)) / p; the interval holds it and begins no lower than what was seen."""
    found = distinct(seen, p)
    assert found.value == seen / p
    assert found.standard_error == pytest.approx(math.sqrt(seen * (1 - p)) / p)
    assert seen <= found.low <= found.value < found.high


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), shares)
def test_totals_over_people_are_those_of_clusters(per_person, p):
    """A person is a draw: the sums over people are the clustered sums of their rows."""
    rows = np.repeat(np.arange(len(per_person)), per_person)
    total, squares = sum(per_person), sum(x * x for x in per_person)
    found = people_total(total, squares, sum(x > 0 for x in per_person), p)
    clustered = estimate.sums(rows, np.full(rows.size, 1 / p))
    again = estimate.count(clustered.total[0], clustered.covariance[0, 0], total, clustered.draws)
    assert found.value == pytest.approx(again.value)
    assert found.standard_error == pytest.approx(again.standard_error)
    assert found.low == pytest.approx(again.low)
    assert found.high == pytest.approx(again.high)


def test_a_mean_over_people_has_the_error_of_a_ratio():
    """Calls a person: t/d, and for everybody it is exact."""
    x = np.random.default_rng(3).poisson(4, 400)
    found = people_mean(x.sum(), (x * x).sum(), x.size, 0.2)
    assert found.value == pytest.approx(x.mean())
    expected = math.sqrt(0.8 * ((x - x.mean()) ** 2).sum()) / x.size
    assert found.standard_error == pytest.approx(expected, rel=0.01)
    assert people_mean(x.sum(), (x * x).sum(), x.size, 1.0).exact


def test_funnel_steps_are_counts_and_conversions():
    """Each step has its people and the share of those before; steps that grow are refused; nobody has no share."""
    steps = funnel([200, 50, 0, 0], 0.5)
    assert [people.value for people, _ in steps] == [400, 100, 0, 0]
    assert steps[0][1] is None
    assert [share.value for _, share in steps[1:3]] == [0.25, 0]
    assert steps[3][1] is None
    with pytest.raises(ValueError, match="nested"):
        funnel([10, 11], 0.5)
    assert funnel([], 0.5) == ()


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1])
def test_a_probability_is_above_0_and_at_most_1(p):
    """Other numbers are no probability of keeping somebody."""
    with pytest.raises(ValueError, match="probability"):
        distinct(1, p)


def test_thresholds_are_probabilities():
    """T = 0 keeps everybody, half of 2^56 every other; 2^56 would keep nobody and is refused."""
    assert estimate.probability(0) == 1
    assert estimate.probability(1 << 55) == 0.5
    with pytest.raises(ValueError, match="threshold"):
        estimate.probability(1 << 56)


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("people", [40, 400, 4000])
def test_intervals_of_counts_of_people_hold(people, p):
    """The chance that the interval holds the truth, summed over every number that may be seen, is 93 to 98 %."""
    seen = np.arange(people + 1)
    chance = stats.binom.pmf(seen, people, p)
    likely = chance > 1e-7
    held = [
        found.low <= people <= found.high for found in (distinct(int(d), p) for d in seen[likely])
    ]
    assert 0.93 <= (chance[likely] * held).sum() <= 0.98


@pytest.mark.parametrize(("entered", "truth"), [(400, 0.3), (2000, 0.05)])
def test_intervals_of_conversions_hold(entered, truth):
    """The interval of a conversion holds the true share of all who entered in 93 to 97 % of samples."""
    random = np.random.default_rng(11)
    reached, p, runs = round(truth * entered), 0.2, 4000
    k = random.binomial(reached, p, runs)
    n = k + random.binomial(entered - reached, p, runs)
    found = [conversion(int(a), int(b), p) for a, b in zip(k, n, strict=True)]
    covered = np.mean([part.low <= reached / entered <= part.high for part in found])
    assert 0.93 <= covered <= 0.97
