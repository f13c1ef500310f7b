"""Variances of totals: equal to the definition over pairs, and on average to the truth, whatever the thresholds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries.estimate import Draws, Sums, by_value, sums, sums_by

PROBABILITIES = (1.0, 0.75, 0.5, 0.25, 0.1)
row = st.tuples(
    st.integers(0, 5), st.sampled_from(PROBABILITIES), st.floats(-100, 100, allow_subnormal=False)
)
rows = st.lists(row, max_size=30)


def of(drawn: list[tuple[int, float, float]]) -> Sums:
    trace, p, y = (
        np.array(column) for column in (zip(*drawn, strict=True) if drawn else ((), (), ()))
    )
    return sums(trace.astype(int), 1 / p.astype(float), y.astype(float))


def by_pairs(drawn: list[tuple[int, float, float]], one: int, other: int) -> float:
    """Return the estimate of a covariance as Horvitz and Thompson define it: a sum over all pairs of rows."""
    found = 0.0
    for (trace, p, y), (trace2, p2, y2) in itertools.product(drawn, repeat=2):
        if trace == trace2:
            features, features2 = (1.0, y), (1.0, y2)
            joint = min(p, p2)
            found += (joint - p * p2) / joint * features[one] / p * features2[other] / p2
    return found


def same(a: Sums, b: Sums) -> None:
    assert np.allclose(a.total, b.total, rtol=1e-9, atol=1e-6)
    assert np.allclose(a.covariance, b.covariance, rtol=1e-9, atol=1e-4)
    assert (a.draws.number, a.draws.total, a.draws.squares) == pytest.approx(
        (b.draws.number, b.draws.total, b.draws.squares)
    )


@given(rows)
def test_covariances_are_the_sum_over_pairs(drawn):
    """The running sums over a trace are the pairs' formula with joint probability min(p, p')."""
    found = of(drawn)
    for i, j in itertools.product(range(2), repeat=2):
        assert found.covariance[i, j] == pytest.approx(by_pairs(drawn, i, j), rel=1e-9, abs=1e-5)
    assert found.total[0] == pytest.approx(sum(1 / p for _, p, _ in drawn))
    assert found.total[1] == pytest.approx(sum(y / p for _, p, y in drawn), abs=1e-9)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(PROBABILITIES), st.integers(-3, 3)), max_size=3),
        min_size=1,
        max_size=3,
    )
)
def test_total_and_variance_are_unbiased(population):
    """Over every outcome of the draws, weighted by its chance, T is the truth and V is the variance of T."""
    outcomes = []
    for number, trace in enumerate(population):
        steps = [0.0, *sorted({p for p, _ in trace if p < 1}), 1.0]
        outcomes.append(
            [
                (high - low, [(number, p, float(y)) for p, y in trace if p >= high])
                for low, high in itertools.pairwise(steps)
            ]
        )
    mean = np.zeros(2)
    square = np.zeros((2, 2))
    said = np.zeros((2, 2))
    for outcome in itertools.product(*outcomes):
        chance = float(np.prod([part[0] for part in outcome]))
        found = of([kept for part in outcome for kept in part[1]])
        mean += chance * found.total
        square += chance * np.outer(found.total, found.total)
        said += chance * found.covariance
    truth = np.array(
        [sum(map(len, population)), sum(y for trace in population for _, y in trace)], float
    )
    assert mean == pytest.approx(truth, abs=1e-9)
    assert said == pytest.approx(square - np.outer(truth, truth), rel=1e-7, abs=1e-6)


@given(rows, st.randoms())
def test_order_is_irrelevant_and_traces_add_up(drawn, random):
    """Rows come in any order; the sums of different traces add up to those of all."""
    shuffled = random.sample(drawn, len(drawn))
    same(of(shuffled), of(drawn))
    left = [part for part in drawn if part[0] < 3]
    right = [part for part in drawn if part[0] >= 3]
    same(of(left) + of(right), of(drawn))


@given(rows, st.floats(0.01, 100))
def test_scaling_values_scales_the_error(drawn, factor):
    """In another unit T is times the factor, its variance times the square, and the count is as it was."""
    before, after = of(drawn), of([(trace, p, y * factor) for trace, p, y in drawn])
    assert after.total[1] == pytest.approx(before.total[1] * factor, rel=1e-6, abs=1e-6)
    scale = np.array([[1, factor], [factor, factor**2]])
    assert np.allclose(after.covariance, before.covariance * scale, rtol=1e-6, atol=1e-3)


@given(rows)
def test_rows_that_were_surely_kept_have_no_error(drawn):
    """With every weight 1 all covariances are exactly 0 and no draw could have gone otherwise."""
    found = of([(trace, 1.0, y) for trace, _, y in drawn])
    assert not found.covariance.any()
    assert found.draws == Draws(0.0, 0.0, 0.0)
    assert found.total[0] == len(drawn)


@given(st.lists(st.tuples(st.integers(0, 3), row), max_size=30))
def test_groups_are_counted_as_each_would_be_alone(drawn):
    """Counts by group are those of `sums` on the group's rows."""
    place = np.array([group for group, _ in drawn], int)
    trace = np.array([part[0] for _, part in drawn], int)
    weight = np.array([1 / part[1] for _, part in drawn], float)
    for group, found in enumerate(sums_by(place, 4, trace, weight)):
        alone = sums(trace[place == group], weight[place == group])
        same(found, alone)


def test_a_trace_of_many_rows_is_one_draw():
    """A hundred rows of ten traces tell as much as ten rows: the error is ten times that of independent rows."""
    trace = np.repeat(np.arange(10), 10)
    clustered = sums(trace, np.full(100, 4.0))
    independent = sums(np.arange(100), np.full(100, 4.0))
    assert clustered.covariance[0, 0] == pytest.approx(10 * independent.covariance[0, 0])
    assert clustered.draws.effective == pytest.approx(10)


@given(st.lists(st.tuples(st.sampled_from(PROBABILITIES), st.floats(0, 50)), max_size=20))
def test_cells_are_rows_that_were_drawn_by_themselves(drawn):
    """The covariance from a histogram's cells is that of rows without a common trace."""
    p = np.array([a for a, _ in drawn], float)
    y = np.array([b for _, b in drawn], float)
    expected = sums(np.arange(p.size), 1 / p, np.column_stack((y, y * y))).covariance
    assert np.allclose(by_value(y, 1 / p * (1 / p - 1)), expected, rtol=1e-9, atol=1e-6)
