"""Estimators: exact without sampling, equal to NumPy's definitions, and honest about their error when sampled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries import estimate

if TYPE_CHECKING:
    from headgate.queries.estimate import Estimate

finite = st.floats(0.001, 1e9)


@given(st.lists(finite, min_size=1, max_size=60), st.floats(0, 1))
def test_quantile_of_counts_is_numpys(values: list[float], share: float) -> None:
    """With counts as weights the quantile is NumPy's linear interpolation over the repeated values."""
    distinct, counts = np.unique(values, return_counts=True)
    found = estimate.quantile(distinct, counts.astype(float), np.zeros(distinct.size), share)
    assert found.exact
    assert found.value == pytest.approx(np.quantile(values, share), rel=1e-9)


@given(st.lists(finite, min_size=1, max_size=60))
def test_moments_without_sampling_are_numpys(values: list[float]) -> None:
    """Mean and sample standard deviation are NumPy's, exactly known, and 0 for a single value."""
    y = np.array(values)
    mean = estimate.mean(y.size, y.sum(), 0.0, 0.0, 0.0)
    deviation = estimate.standard_deviation(y.size, y.sum(), (y * y).sum(), y, np.zeros(y.size))
    assert mean.exact
    assert mean.value == pytest.approx(y.mean())
    assert deviation.exact
    expected = y.std(ddof=1) if y.size > 1 else 0.0
    # Sums of squares lose what is below 1e-13 of the mean square.
    assert deviation.value == pytest.approx(expected, rel=1e-3, abs=1e-6 * y.max())


def test_equal_values_do_not_deviate() -> None:
    """Rounding of large sums of squares never shows as a deviation."""
    y = np.full(1000, 123_456_789.0)
    found = estimate.standard_deviation(1000, y.sum(), (y * y).sum(), y, np.zeros(1000))
    assert found.value == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rate_interval_is_open_where_nothing_varied(share: float) -> None:
    """When every kept row is a hit, or none, the interval still admits the other kind."""
    hits = share * 100
    found = estimate.rate(hits, 100.0, hits * 9, (100 - hits) * 9)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.05


def test_a_count_is_never_below_what_was_seen() -> None:
    """The interval of a count begins at the number of rows that were seen, if not above."""
    found = estimate.count(100.0, 9000.0, 10.0)
    assert found.low == 10.0


def _sampled(random: np.random.Generator, y: np.ndarray, p: np.ndarray) -> dict[str, Estimate]:
    kept = random.random(y.size) < p
    value, w = y[kept], 1 / p[kept]
    s = [float((w * (w - 1) * value**k).sum()) for k in range(3)]
    n, t = float(w.sum()), float((w * value).sum())
    order = np.argsort(value)
    slow = value > 2.0
    return {
        "count": estimate.count(n, s[0], kept.sum()),
        "total": estimate.total(t, s[2]),
        "mean": estimate.mean(n, t, *s),
        "rate": estimate.rate(
            float(w[slow].sum()),
            n,
            float((w * (w - 1))[slow].sum()),
            float((w * (w - 1))[~slow].sum()),
        ),
        "p50": estimate.quantile(value[order], w[order], (w * (w - 1))[order], 0.5),
        "p95": estimate.quantile(value[order], w[order], (w * (w - 1))[order], 0.95),
        "std": estimate.standard_deviation(n, t, float((w * value**2).sum()), value, w * (w - 1)),
    }


def test_estimates_are_unbiased_and_their_intervals_cover() -> None:
    """Over 400 unequal samples, means meet the truth and 95 % intervals hold it in 90 to 99 % of them."""
    random = np.random.default_rng(7)
    y = random.lognormal(0, 0.7, 4000)
    p = np.where(y > 1.5, 0.5, 0.15)  # what is sampled depends on the value, as rare slow calls do
    truth = {
        "count": y.size,
        "total": y.sum(),
        "mean": y.mean(),
        "rate": (y > 2.0).mean(),
        "p50": np.quantile(y, 0.5),
        "p95": np.quantile(y, 0.95),
        "std": y.std(ddof=1),
    }
    runs = [_sampled(random, y, p) for _ in range(400)]
    for name, true in truth.items():
        found = [run[name] for run in runs]
        values = np.array([e.value for e in found])
        spread = values.std() / math.sqrt(len(values))
        assert abs(values.mean() - true) < 4 * spread + 0.002 * true, name
        covered = np.mean([e.low <= true <= e.high for e in found])
        assert 0.90 <= covered <= 0.99, (name, covered)
        errors = np.mean([e.standard_error for e in found])
        assert errors == pytest.approx(values.std(), rel=0.25), name
