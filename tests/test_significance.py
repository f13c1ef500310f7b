"""Tests, effect sizes and corrections agree with SciPy and statsmodels, and keep their promises under chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from headgate.queries import significance

chances = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(p=chances)
def test_corrections_are_those_of_statsmodels(p: list[float]) -> None:
    """Holm and Benjamini-Hochberg give statsmodels' corrected probabilities, in the order given."""
    for ours, theirs in ((significance.holm, "holm"), (significance.benjamini_hochberg, "fdr_bh")):
        expected = multipletests(p, method=theirs)[1]
        assert ours(p) == pytest.approx(expected, abs=1e-12)


def test_what_was_not_tested_is_not_corrected() -> None:
    """NaN stays NaN and does not make the others' correction stronger."""
    for correct in (significance.holm, significance.benjamini_hochberg):
        found = correct([np.nan, 0.01, np.nan, 0.04])
        assert np.isnan(found[[0, 2]]).all()
        assert found[[1, 3]] == pytest.approx(correct([0.01, 0.04]))
        assert correct([]).size == 0


@given(
    cells=st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
)
def test_over_representation_is_fishers_exact_test(cells: tuple[int, int, int, int]) -> None:
    """Small tables have SciPy's exact one-sided probability; a group without members has none."""
    a, b, c, d = cells
    found = significance.over_represented([a], [a + b], [c], [c + d])[0]
    if a + b and c + d:
        assert found == pytest.approx(
            stats.fisher_exact([[a, b], [c, d]], alternative="greater").pvalue, abs=1e-9
        )
    else:
        assert np.isnan(found)


def test_large_tables_are_close_to_the_exact_test() -> None:
    """Where the normal approximation takes over, it is within 15 % of the exact tail, three deviations out."""
    found = significance.over_represented([1100], [10_000], [10_000], [100_000])[0]
    exact = stats.hypergeom.sf(1099, 110_000, 11_100, 10_000)
    assert found == pytest.approx(exact, rel=0.15)


@given(k=st.integers(0, 50), more=st.integers(0, 50))
def test_wilsons_bound_is_that_of_statsmodels(k: int, more: int) -> None:
    """The lower end is statsmodels'; nothing at all has 0."""
    n = k + more
    expected = proportion_confint(k, n, method="wilson")[0] if n else 0.0
    assert significance.wilson_low(k, n) == pytest.approx(max(expected, 0), abs=1e-12)


@given(cells=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=4))
def test_cramers_v_has_chi_squares_probability(cells: list[tuple[int, int]]) -> None:
    """The probability is SciPy's; the effect lies in 0..1 and is Bergsma's correction of SciPy's V."""
    table = np.array(cells, float)
    effect, p = significance.cramers_v(table)
    kept = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(kept.shape) < 2:
        assert np.isnan(effect)
        return
    assert p == pytest.approx(stats.chi2_contingency(kept, correction=False).pvalue, abs=1e-12)
    assert 0 <= effect <= 1


def test_cramers_v_tells_chance_from_certainty() -> None:
    """Independence has no effect, a perfect table the whole one."""
    assert significance.cramers_v(np.array([[50.0, 50], [50, 50]]))[0] == 0
    assert significance.cramers_v(np.array([[500.0, 0], [0, 500]]))[0] == pytest.approx(1)


def test_weights_that_are_equal_lose_nothing() -> None:
    """Rows of one weight count in full, however large it is; unequal weights count for less."""
    weights = np.array([4.0, 4, 4])
    assert significance.effective(weights.sum(), (weights**2).sum()) == 3
    weights = np.array([1.0, 1, 10])
    assert significance.effective(weights.sum(), (weights**2).sum()) < 2
    assert significance.effective(0, 0) == 0
