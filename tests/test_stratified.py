"""Comparisons within strata agree with statsmodels and SciPy, and see nothing where only strata differ."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from headgate.queries.stratified import common_odds_ratio, over_represented, rank_biserial

Table = tuple[int, int, int, int]


def flat(tables: list[Table]) -> dict[str, Any]:
    """Return 2x2 tables (hits, other failures, hits of the rest, others of the rest) as cells of one group."""
    a, c, b, d = np.array(tables, float).T
    group = np.zeros(len(tables), int)
    return {"group": group, "hits": a, "size": a + c, "others": b, "rest": b + d, "groups": 1}


def tables_up_to(most: int) -> st.SearchStrategy[list[Table]]:
    counts = st.integers(0, most)
    return st.lists(st.tuples(counts, counts, counts, counts), min_size=1, max_size=5)


@given(tables=tables_up_to(400))
def test_large_strata_are_tested_as_statsmodels_does(tables: list[Table]) -> None:
    """Beyond a variance of 100 the probability is half of the two-sided one of Cochran, Mantel and Haenszel."""
    kept = [t for t in tables if sum(t) > 1]
    assume(kept)
    laid = np.array(kept, float).reshape(-1, 2, 2)
    rows, columns, every = laid.sum(axis=2), laid.sum(axis=1), laid.sum(axis=(1, 2))
    variance = np.sum(np.prod(rows, axis=1) * np.prod(columns, axis=1) / (every**2 * (every - 1)))
    assume(variance > 100)
    expected = StratifiedTable([np.array(t).reshape(2, 2) for t in kept]).test_null_odds(
        correction=True
    )
    over = laid[:, 0, 0].sum() - np.sum(rows[:, 0] * columns[:, 0] / every)
    found = over_represented(**flat(kept))[0]
    if over > 0.5:
        assert found == pytest.approx(expected.pvalue / 2, rel=1e-6, abs=1e-12)
    else:
        assert found >= 0.5


@given(tables=tables_up_to(6))
def test_small_strata_are_tested_exactly(tables: list[Table]) -> None:
    """The probability is that of all tables with the same margins which have as many hits: counted one by one."""
    chances = {0: 1.0}
    varies = False
    for a, c, b, d in tables:
        n, m, both = a + c, b + d, a + b
        ways = {
            k: math.comb(n, k) * math.comb(m, both - k)
            for k in range(max(0, both - m), min(n, both) + 1)
        }
        varies |= len(ways) > 1
        added: dict[int, float] = defaultdict(float)
        for (seen, p), (k, w) in itertools.product(chances.items(), ways.items()):
            added[seen + k] += p * w / sum(ways.values())
        chances = added
    found = over_represented(**flat(tables))[0]
    if varies:
        hits = sum(t[0] for t in tables)
        assert found == pytest.approx(sum(p for k, p in chances.items() if k >= hits), abs=1e-9)
    else:
        assert np.isnan(found)


@given(table=st.tuples(*[st.integers(0, 60)] * 4))
def test_one_stratum_is_fishers_exact_test(table: Table) -> None:
    """One stratum alone has SciPy's one-sided probability; nothing that varies has none."""
    found = over_represented(**flat([table]))[0]
    a, c, b, d = table
    if min(a + c, b + d, a + b, c + d):
        exact = stats.fisher_exact([[a, c], [b, d]], alternative="greater").pvalue
        assert found == pytest.approx(exact, abs=1e-9)
    else:
        assert np.isnan(found)


@given(tables=tables_up_to(50))
def test_the_common_odds_ratio_is_that_of_statsmodels(tables: list[Table]) -> None:
    """Ratio and interval are Mantel and Haenszel's, with Robins', Breslow's and Greenland's variance."""
    kept = [t for t in tables if t[0] + t[1] and t[2] + t[3] and t[0] + t[2] and t[1] + t[3]]
    assume(any(t[0] * t[3] for t in kept) and any(t[1] * t[2] for t in kept))
    expected = StratifiedTable([np.array(t, float).reshape(2, 2) for t in kept])
    ratio, low, high = (x[0] for x in common_odds_ratio(**flat(tables)))
    assert ratio == pytest.approx(expected.oddsratio_pooled)
    assert (low, high) == pytest.approx(expected.oddsratio_pooled_confint())


def test_a_ratio_without_bound_is_held_finite() -> None:
    """Where no failure lacks the value, or nothing varies, the ratio is Haldane's, or none at all."""
    ratio, low, high = common_odds_ratio([0, 1], [8, 3], [8, 3], [2, 3], [20, 3], 2)
    assert ratio[0] == pytest.approx(8.5 * 18.5 / (2.5 * 0.5))
    assert 1 < low[0] < ratio[0] < high[0] < np.inf
    assert np.isnan([ratio[1], low[1], high[1]]).all()


def test_groups_do_not_touch_each_other() -> None:
    """Each of several groups has what it has alone, in whatever order its cells come."""
    drawn = np.random.default_rng(3).integers(1, 40, (12, 4))
    group = np.arange(12) % 3
    a, c, b, d = drawn.T.astype(float)
    for test in (over_represented, common_odds_ratio):
        together = np.atleast_2d(test(group, a, a + c, b, b + d, 3))
        for g in range(3):
            alone = np.atleast_2d(test(**flat(drawn[group == g].tolist())))
            assert together[:, g] == pytest.approx(alone[:, 0])


members = st.lists(st.integers(0, 12), min_size=1, max_size=40)


def counted(numbers: list[int]) -> np.ndarray:
    return np.bincount(numbers, minlength=13).astype(float)


@given(hits=members, rest=members)
def test_one_stratum_is_mann_and_whitneys_test(hits: list[int], rest: list[int]) -> None:
    """Effect and probability from counted ties equal SciPy's U test on the members themselves."""
    effect, p = rank_biserial([(np.arange(13.0), counted(hits), counted(rest))])
    expected = stats.mannwhitneyu(hits, rest, method="asymptotic")
    assert effect == pytest.approx(2 * expected.statistic / (len(hits) * len(rest)) - 1)
    if len({*hits, *rest}) > 1:
        assert p == pytest.approx(expected.pvalue, abs=1e-9)
    else:
        assert np.isnan(p)


def test_ranks_are_compared_within_strata_only() -> None:
    """Failures of a short operation are not short: only what differs within a stratum has an effect, at its level."""
    random = np.random.default_rng(8)
    values = np.arange(200.0)

    def stratum(centre: float, failures: int, successes: int, shift: float = 0.0) -> Any:
        drawn = [
            np.clip(random.normal(at, 9, n), 0, 199).astype(int)
            for at, n in ((centre + shift, failures), (centre, successes))
        ]
        return values, *(np.bincount(x, minlength=200).astype(float) for x in drawn)

    small = 0
    for _ in range(200):
        effect, p = rank_biserial([stratum(40, 60, 40), stratum(150, 10, 200)])
        assert abs(effect) < 0.6
        small += p < 0.05
    assert 2 <= small <= 20
    effect, p = rank_biserial([stratum(40, 60, 40, 12), stratum(150, 10, 200, 12)])
    assert effect > 0.4
    assert p < 1e-6
    assert np.isnan(rank_biserial([stratum(40, 5, 0), stratum(150, 0, 5)])).all()
