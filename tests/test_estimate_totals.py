"""Estimates from sums: exact without sampling, equal to NumPy's definitions, refused where little was kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headgate.queries import estimate
from headgate.queries.estimate import Draws, Estimate, exactly
from headgate.queries.estimate.interval import t95, wilson

finite = st.floats(0.001, 1e9)


@given(st.lists(finite, min_size=1, max_size=60), st.floats(0, 1))
def test_quantile_of_counts_is_numpys(values, share):
    """With counts as weights the quantile is NumPy's linear interpolation over the repeated values."""
    distinct, counts = np.unique(values, return_counts=True)
    found = estimate.quantile(distinct, counts.astype(float), np.zeros(distinct.size), share)
    assert found.exact
    assert found.value == pytest.approx(np.quantile(values, share), rel=1e-9)


@given(st.lists(finite, min_size=1, max_size=60))
def test_moments_without_sampling_are_numpys(values):
    """Mean and sample standard deviation are NumPy's, exactly known, and 0 for a single value."""
    y = np.array(values)
    mean = estimate.mean(y.size, y.sum(), 0.0, 0.0, 0.0)
    deviation = estimate.standard_deviation(y.size, y.sum(), (y * y).sum(), np.zeros((3, 3)))
    assert mean.exact
    assert mean.value == pytest.approx(y.mean())
    assert deviation.exact
    expected = y.std(ddof=1) if y.size > 1 else 0.0
    # Sums of squares lose what is below 1e-13 of the mean square.
    assert deviation.value == pytest.approx(expected, rel=1e-3, abs=1e-6 * y.max())


def test_equal_values_do_not_deviate_and_say_nothing_of_others():
    """Rounding never shows as a deviation; equal values that were sampled leave open what was not kept."""
    y = np.full(1000, 123_456_789.0)
    squares = float((y * y).sum())
    assert estimate.standard_deviation(1000, y.sum(), squares, np.zeros((3, 3))).exact
    spread = estimate.by_value(y, np.full(1000, 6.0))
    sampled = estimate.standard_deviation(3000.0, 3 * y.sum(), 3 * squares, spread)
    assert (sampled.value, sampled.high) == (0, None)
    assert "equal" in str(sampled.reason)
    mean = estimate.mean(3000.0, 3 * float(y.sum()), *spread[[0, 0, 1], [0, 1, 1]])
    assert (mean.value, mean.low) == (y[0], None)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rate_interval_is_open_where_nothing_varied(share):
    """When every kept row is a hit, or none, the interval still admits the other kind."""
    hits = share * 100
    found = estimate.rate(hits, 100.0, hits * 9, (100 - hits) * 9)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.05


def test_a_count_is_never_below_what_was_seen_or_is_certain():
    """The interval of a count begins at the rows that were seen, or at the part that was surely kept."""
    assert estimate.count(100.0, 900.0, 80.0).low == 80.0
    part = estimate.count(1000.0, 900.0, 0.0, Draws(10, 100.0, 1000.0))
    assert part.low > 900
    assert part.standard_error == 30


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_too_few_draws_are_refused_with_a_reason(kept):
    """From fewer than five effective draws there is a value, and a sentence in the place of an interval."""
    draws = Draws(kept, 10.0 * kept, 100.0 * kept)
    n = 10.0 * kept
    found = [estimate.count(n, 90.0 * kept, kept, draws), estimate.total(n, 90.0 * kept, draws)]
    if kept:
        found.append(estimate.mean(n, n, 90.0 * kept, 90.0 * kept, 91.0 * kept, draws))
        found.append(estimate.rate(n, n, 90.0 * kept, 0.0, 0.0, draws))
        cells = np.arange(kept) + 1.0
        found.append(
            estimate.quantile(cells, np.full(kept, 10.0), np.full(kept, 90.0), 0.5, draws=draws)
        )
    else:
        assert all(part.exact for part in found)
        return
    for part in found:
        assert (part.standard_error, part.low, part.high) == (None, None, None)
        assert "under 5 traces" in part.reason
        assert not part.exact


def test_many_rows_of_few_traces_are_too_few():
    """A thousand rows of three traces are three draws, however many rows there are."""
    found = estimate.sums(np.repeat(np.arange(3), 1000), np.full(3000, 2.0))
    assert "under 5 traces" in str(
        estimate.count(found.total[0], found.covariance[0, 0], 3000, found.draws).reason
    )


def test_extreme_quantiles_are_refused():
    """The 99th percentile of a hundred draws has one draw beyond it: no interval; that of a thousand has one."""

    def p99(kept: int) -> Estimate:
        weights = np.full(kept, 10.0)
        return estimate.quantile(np.arange(kept) + 1.0, weights, weights * 9, 0.99)

    assert "too extreme" in p99(100).reason
    assert p99(300).high is None
    assert p99(300).low is not None
    assert p99(2000).low < p99(2000).value < p99(2000).high


@pytest.mark.parametrize("what", ["mean", "rate", "quantile"])
def test_nothing_has_no_mean(what):
    """Without rows there is no mean, rate or quantile; counts and totals are exactly 0."""
    none = np.zeros(0)
    asked = {
        "mean": lambda: estimate.mean(0.0, 0.0, 0.0, 0.0, 0.0),
        "rate": lambda: estimate.rate(0.0, 0.0, 0.0, 0.0),
        "quantile": lambda: estimate.quantile(none, none, none, 0.5),
    }
    with pytest.raises(ValueError, match="at least one row"):
        asked[what]()
    found = estimate.sums(none, none, none)
    assert estimate.count(found.total[0], found.covariance[0, 0], 0, found.draws) == exactly(0)
    assert estimate.total(found.total[1], found.covariance[1, 1], found.draws) == exactly(0)


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from([1.0, 2.0, 8.0]), st.integers(0, 12)),
        max_size=50,
    )
)
def test_a_histogram_counts_every_bin(drawn):
    """Bins hold the weights between their edges, the last one its upper edge too; ties fall to the right."""
    trace, weight, y = (np.array([part[i] for part in drawn], float) for i in range(3))
    edges = [0, 2, 5, 10]
    found = estimate.histogram(trace, weight, y, edges)
    expected = np.histogram(y, edges, weights=weight)[0]
    assert [part.value for part in found] == pytest.approx(expected.tolist())
    assert all(part.exact for part in found) or (weight > 1).any()


@pytest.mark.parametrize("edges", [[1.0], [1.0, 1.0], [2.0, 1.0]])
def test_edges_ascend(edges):
    """Edges that bound no bins are refused."""
    with pytest.raises(ValueError, match="ascending"):
        estimate.histogram([], [], [], edges)


@given(st.floats(3, 1e6))
def test_students_t(freedom):
    """The expansion is Student's t within 0.2 % from three degrees of freedom on."""
    assert t95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


@given(st.integers(1, 500), st.integers(0, 500))
def test_wilson_is_scipys(size, hits):
    """The interval of a share is SciPy's Wilson interval."""
    hits = min(hits, size)
    expected = stats.binomtest(hits, size).proportion_ci(0.95, "wilson")
    assert wilson(hits / size, size) == pytest.approx(tuple(expected), abs=1e-9)


def test_units_change_everything_but_the_reason():
    """Scaling and rounding apply to every part; a negative factor swaps the bounds."""
    found = Estimate(10.0, 2.0, 6.0, 15.0).scaled(-0.5)
    assert found == Estimate(-5.0, 1.0, -7.5, -3.0)
    assert Estimate(1.26, None, None, 2.04, "why").rounded(1) == Estimate(
        1.3, None, None, 2.0, "why"
    )
    assert exactly(3).scaled(1 / 3).exact
