"""Correlation: what follows what is found with its lag; what only resembles itself, or the clock, is no pair."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from usage_series import NOW, activity, answered, week_shape

from headgate.queries.columns import Columns
from headgate.queries.reports.correlation.lagged import lagged, standard_ranks
from headgate.queries.window import Window

DAY = Window(NOW - timedelta(days=1), NOW)
LEARNT = NOW - timedelta(days=29)
HOURS = 29 * 24


@given(seed=st.integers(0, 999), lag=st.integers(0, 4))
def test_the_correlation_is_spearmans(seed: int, lag: int) -> None:
    """Over whole series it is SciPy's; of shifted ones the lag with the largest is found, and who leads."""
    random = np.random.default_rng(seed)
    base = random.normal(0, 1, 104)
    first = base[4:]
    second = base[4 - lag : 104 - lag] + random.normal(0, 0.2, 100)
    found = lagged(np.vstack([first, second]), 4)
    assert found.lag[0] == lag
    if lag:
        assert (found.first[0], found.second[0]) == (0, 1)
    else:
        expected = stats.spearmanr(first, second).statistic
        assert found.correlation[0] == pytest.approx(expected, abs=1e-9)
    assert found.p_value[0] < 1e-6


@given(values=st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_ranks_are_those_of_scipy(values: list[int]) -> None:
    """Ranks with ties, standardised; a constant has none."""
    found = standard_ranks(np.array([values], float))[0]
    if len(set(values)) == 1:
        assert not found.any()
    else:
        assert found == pytest.approx(stats.zscore(stats.rankdata(values)))


def test_missing_periods_are_left_out() -> None:
    """A period that is missing in one of the two says nothing about them."""
    random = np.random.default_rng(1)
    values = random.normal(0, 1, (2, 200))
    values[0, ::3] = np.nan
    values[1, :50] = np.nan
    found = lagged(values, 0)
    known = ~np.isnan(values).any(axis=0)
    assert found.size[0] == known.sum()
    assert np.isnan(lagged(values[:, 45:75], 0).p_value[0])


def test_what_follows_is_found_with_its_lag() -> None:
    """Errors of one operation that come two hours after those of another, and calls that drive durations, are pairs."""
    random = np.random.default_rng(2)
    calls = random.poisson(np.array([[300.0], [300.0], [120.0]]) * week_shape(HOURS))
    trouble = random.random(HOURS) < 0.08
    rate = np.full((3, HOURS), 0.02)
    rate[0, trouble] = 0.3
    rate[1, np.r_[False, False, trouble[:-2]]] = 0.3
    load = random.lognormal(0, 0.4, HOURS)
    calls[2] = random.poisson(120 * week_shape(HOURS) * load)
    failures = random.binomial(calls, rate)
    mean = np.full((3, HOURS), 20.0) * random.lognormal(0, 0.02, (3, HOURS))
    mean[2] *= load
    rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
    answer = answered("correlation", rows, LEARNT, DAY)
    pairs = {(p["first"], p["second"]): p for p in answer["summary"]["pairs"]}
    errors = pairs["errors of o0", "errors of o1"]
    assert errors["lag_periods"] == 2
    assert errors["correlation"] > 0.2
    assert pairs["calls of o2", "mean duration of o2"]["correlation"] > 0.5
    assert len(pairs) == 2
    words = {row["operation"]: row["reason"] for row in answer["rows"]}
    assert words["o1"] == "errors of o0, then errors of o1 2 hours later"


@pytest.mark.parametrize("memory", [0.0, 0.85])
def test_what_only_resembles_itself_is_no_pair(memory: float) -> None:
    """20 answers over independent operations with one week's shape, of white or red noise: at 5 %, four have a pair."""
    random = np.random.default_rng(3)
    false = 0
    for _ in range(20):
        level = random.normal(0, 0.15, (5, HOURS))
        for hour in range(1, HOURS):
            level[:, hour] += memory * level[:, hour - 1]
        base = np.geomspace(3, 500, 5)[:, None] * week_shape(HOURS)
        calls = random.poisson(base * np.exp(level * (memory > 0)))
        failures = random.binomial(calls, 0.03)
        mean = random.lognormal(3, 1 / np.sqrt(np.maximum(calls, 1)))
        rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
        found = answered("correlation", rows, LEARNT, DAY, least=0, significance=0.05)
        false += bool(found["summary"]["pairs"])
    assert false <= 4


def test_the_clock_is_no_correlation_unless_asked() -> None:
    """Operations that share nothing but working hours are no pair; their values themselves are one."""
    random = np.random.default_rng(4)
    rows = activity(random.poisson(np.array([[90.0], [40.0]]) * week_shape(HOURS)), LEARNT)
    assert answered("correlation", rows, LEARNT, DAY)["summary"]["pairs"] == []
    plain = answered("correlation", rows, LEARNT, DAY, deviations=False, significance=1)
    (pair,) = [
        p for p in plain["summary"]["pairs"] if "calls" in p["first"] and "calls" in p["second"]
    ]
    assert pair["correlation"] > 0.8
    assert pair["effective_periods"] < 30  # 29 days that are all alike are not 696 hours


@pytest.mark.parametrize("params", [{}, {"deviations": False}])
def test_rows_come_in_any_order_and_in_parts(params: dict[str, Any]) -> None:
    """Shuffled rows, and rows whose calls come in two halves, go together alike."""
    random = np.random.default_rng(5)
    rows = activity(random.poisson(np.array([[60.0], [25.0]]) * week_shape(HOURS)), LEARNT)
    whole = answered("correlation", rows, LEARNT, DAY, **params)
    assert (
        answered("correlation", rows.chosen(random.permutation(rows.rows)), LEARNT, DAY, **params)
        == whole
    )
    twice = Columns({name: np.concatenate([rows[name], rows[name]]) for name in rows})
    for name in ("arrivals", "calls", "failures", "timed", "duration"):
        twice = twice.replaced(name, twice[name] / 2)
    assert (
        answered("correlation", twice, LEARNT, DAY, **params)["summary"]["pairs"]
        == whole["summary"]["pairs"]
    )


def test_constants_and_little_data_are_no_pairs() -> None:
    """Series that never vary, or are known for under 30 periods, are not compared."""
    same = answered("correlation", activity(np.full((2, HOURS), 9), LEARNT), LEARNT, DAY)
    assert same["summary"]["pairs"] == []
    few = activity(np.random.default_rng(6).poisson(50, (2, 25)), NOW - timedelta(hours=25))
    assert answered("correlation", few, LEARNT, DAY)["summary"]["compared"] == 0


def test_what_came_together_does_not_go_together() -> None:
    """Two operations that came at once are no pair for that; correlations are SciPy's over the hours of both."""
    random = np.random.default_rng(7)
    calls = random.poisson(np.full((3, HOURS), 80.0))
    calls[:2, :-250] = 0
    calls[2, -250:] += 40
    rows = activity(calls, LEARNT)
    asked = {"deviations": False, "significance": 1, "least": 0, "most_lag": 0}
    firsts = {("s", name): NOW - timedelta(hours=250) for name in ("o0", "o1")}
    known = answered("correlation", rows, LEARNT, DAY, firsts=firsts, **asked)["summary"]
    zeros = answered("correlation", rows, LEARNT, DAY, **asked)["summary"]

    def of_calls(summary: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
        pairs = {tuple(sorted((p["first"], p["second"]))): p for p in summary["pairs"]}
        return {k: p for k, p in pairs.items() if all(name.startswith("calls") for name in k)}

    pair = of_calls(known)["calls of o0", "calls of o1"]
    expected = stats.spearmanr(calls[0, -250:], calls[1, -250:]).statistic
    assert pair["correlation"] == pytest.approx(expected, abs=1e-4)
    assert pair["periods"] == 250
    assert max(abs(p["correlation"]) for p in of_calls(known).values()) < 0.2
    assert min(p["correlation"] for p in of_calls(zeros).values()) > 0.5
    few = {("s", "o0"): NOW - timedelta(hours=20), ("s", "o1"): NOW - timedelta(hours=20)}
    calls[:2, :-20] = 0
    least = answered("correlation", activity(calls, LEARNT), LEARNT, DAY, firsts=few, **asked)
    assert not of_calls(least["summary"])
