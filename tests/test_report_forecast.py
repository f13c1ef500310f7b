"""Forecasts: a season goes on, intervals of totals hold the truth, gaps are not zeros, little data is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from usage_series import NOW, activity, answered, week_shape

from headgate.queries.columns import Columns
from headgate.queries.window import Window

DAY = Window(NOW - timedelta(days=1), NOW)
LEARNT = NOW - timedelta(days=57)
HOURS = 57 * 24


def shape(hours: int) -> np.ndarray:
    return week_shape(hours)


def test_a_season_goes_on() -> None:
    """A week of Poisson traffic is forecast within 5 %, hour by hour within what chance allows, and says how sure."""
    random = np.random.default_rng(3)
    calls = random.poisson(np.array([[400.0], [50.0]]) * shape(HOURS + 168))
    answer = answered("forecast", activity(calls[:, :HOURS], LEARNT), LEARNT, DAY)
    summary, truth = answer["summary"], calls[:, HOURS:]
    assert summary["forecast"] == pytest.approx(truth.sum(), rel=0.05)
    assert summary["forecast_low"] <= truth.sum() <= summary["forecast_high"]
    future = [p for p in summary["timeline"] if p["forecast"] is not None]
    assert len(future) == 168
    assert future[0]["start_at"] == "2026-11-20T00:00:00Z"
    held = [
        p["forecast_low"] <= actual <= p["forecast_high"]
        for p, actual in zip(future, truth.sum(axis=0), strict=True)
    ]
    assert np.mean(held) > 0.88
    assert 0.88 <= summary["backtest_coverage_rate"] <= 0.99
    assert summary["backtest_error_rate"] < 0.1
    assert [row["operation"] for row in answer["rows"]] == ["o0", "o1"]


def test_intervals_of_totals_hold_the_truth() -> None:
    """Over 60 series with weeks that differ by chance, the 95 % interval of next week holds its total in 53 or more."""
    random = np.random.default_rng(4)
    weekly = np.repeat(random.lognormal(0, 0.1, (60, 9)), 168, axis=1)[:, : HOURS + 168]
    base = np.pad(weekly, ((0, 0), (HOURS + 168 - weekly.shape[1], 0)), mode="edge")
    calls = random.poisson(30 * shape(HOURS + 168) * base)
    rows = activity(calls[:, :HOURS], LEARNT)
    answer = answered("forecast", rows, LEARNT, DAY, limit=60)
    held = 0
    for row in answer["rows"]:
        true = calls[int(row["operation"][1:]), HOURS:].sum()
        held += row["forecast_low"] <= true <= row["forecast_high"]
    assert held >= 53


def test_gaps_are_not_zeros() -> None:
    """A day without records does not make the forecast smaller."""
    random = np.random.default_rng(5)
    calls = random.poisson(300 * shape(HOURS))[None]
    whole = answered("forecast", activity(calls, LEARNT), LEARNT, DAY)["summary"]
    calls[:, -100:-76] = 0
    gap = answered("forecast", activity(calls, LEARNT), LEARNT, DAY)["summary"]
    assert gap["learnt_periods"] == whole["learnt_periods"] - 24
    assert gap["forecast"] == pytest.approx(whole["forecast"], rel=0.02)


def test_rows_come_in_any_order_and_in_parts() -> None:
    """Shuffled rows, and rows whose calls come in two halves, are forecast alike."""
    random = np.random.default_rng(6)
    rows = activity(random.poisson(np.array([[90.0], [20.0]]) * shape(HOURS)), LEARNT)
    whole = answered("forecast", rows, LEARNT, DAY)
    assert answered("forecast", rows.chosen(random.permutation(rows.rows)), LEARNT, DAY) == whole
    twice = Columns({name: np.concatenate([rows[name], rows[name]]) for name in rows})
    for name in ("arrivals", "calls", "timed", "duration"):
        twice = twice.replaced(name, twice[name] / 2)
    assert answered("forecast", twice, LEARNT, DAY)["rows"] == whole["rows"]


def test_scaling_scales() -> None:
    """Ten times the traffic has ten times the forecast, to within what chance of smaller numbers makes."""
    random = np.random.default_rng(7)
    calls = random.poisson(100 * shape(HOURS))[None]
    one, ten = (
        answered("forecast", activity(calls * k, LEARNT), LEARNT, DAY)["summary"]["forecast"]
        for k in (1, 10)
    )
    assert ten == pytest.approx(10 * one, rel=0.02)


def test_little_data_is_refused() -> None:
    """Three days are too few for a week ahead, and the answer says so instead of guessing; a day ahead needs fewer."""
    rows = activity(np.random.default_rng(8).poisson(50, (1, 120)), NOW - timedelta(hours=120))
    answer = answered("forecast", rows, LEARNT, DAY)
    assert answer["summary"]["verdict"] == answer["rows"][0]["verdict"] == "too little data"
    assert answer["summary"]["forecast"] is answer["rows"][0]["forecast_low"] is None
    assert (
        answered("forecast", rows, LEARNT, DAY, horizon_days=1)["summary"]["verdict"] == "forecast"
    )


def test_a_forecast_that_may_be_anything_says_so() -> None:
    """Traffic whose days differ tenfold by chance is `unsure`; the steady operation beside it is not."""
    random = np.random.default_rng(12)
    daily = np.repeat(random.lognormal(0, 1.6, HOURS // 24), 24)
    calls = random.poisson(np.vstack([6 * daily, np.full(HOURS, 40.0)]))
    answer = answered("forecast", activity(calls, LEARNT), LEARNT, DAY, horizon_days=1)
    verdicts = {row["operation"]: row["verdict"] for row in answer["rows"]}
    assert verdicts == {"o0": "unsure", "o1": "forecast"}


def test_constant_usage_stays_constant() -> None:
    """Without any noise the forecast is the constant, and its interval has no width to speak of."""
    summary = answered("forecast", activity(np.full((1, HOURS), 40), LEARNT), LEARNT, DAY)[
        "summary"
    ]
    assert summary["forecast"] == pytest.approx(40 * 168, rel=1e-6)
    assert summary["forecast_high"] - summary["forecast_low"] < 1


def test_local_hours_are_forecast_over_a_change_of_clocks() -> None:
    """An office that opens at 9 in Berlin is forecast to open at 9 in winter too."""
    until = datetime(2026, 10, 23, 22, tzinfo=UTC)  # two days before the clocks go back
    since = until - timedelta(days=57)
    hours = np.arange(HOURS)
    local = (hours + since.hour + 2) % 24
    calls = np.where((local >= 9) & (local < 17), 500, 20)[None]
    window = Window(until - timedelta(days=1), until)
    answer = answered("forecast", activity(calls, since), since, window, timezone="Europe/Berlin")
    busy = [
        datetime.fromisoformat(p["start_at"])
        for p in answer["summary"]["timeline"]
        if p["forecast"] and p["forecast"] > 250
    ]
    after = [at for at in busy if at >= datetime(2026, 10, 26, tzinfo=UTC)]
    assert min(at.hour for at in after) == 8
    assert min(at.hour for at in busy) == 7


def test_days_can_be_forecast_too() -> None:
    """Two weeks of days, over a leap February."""
    since, until = datetime(2027, 12, 6, tzinfo=UTC), datetime(2028, 2, 28, tzinfo=UTC)
    calls = np.where(np.arange(84) % 7 >= 5, 200, 1000)[None]
    window = Window(until - timedelta(days=7), until)
    rows = activity(calls, since, step_s=86400)
    answer = answered("forecast", rows, since, window, step="day", horizon_days=14)
    assert answer["rows"][0]["forecast_series"] == pytest.approx(
        [1000] * 5 + [200] * 2 + [1000] * 5 + [200] * 2, rel=0.01
    )


def test_what_came_later_is_forecast_by_what_is_since() -> None:
    """Each operation's forecast is that of a history that begins with its first record; too short a one has none."""
    random = np.random.default_rng(9)
    calls = random.poisson(np.array([[400.0], [300.0], [200.0], [90.0]]) * shape(HOURS))
    begins = {"o1": 15 * 24 + 7, "o2": 57 * 24 - 500, "o3": HOURS - 11}
    for number, begin in enumerate(begins.values(), 1):
        calls[number, :begin] = 0
    rows = activity(calls, LEARNT)
    firsts = {("s", name): LEARNT + timedelta(hours=begin) for name, begin in begins.items()}
    answer = answered("forecast", rows, LEARNT, DAY, firsts=firsts)
    told = {row["operation"]: row for row in answer["rows"]}
    for name in ("o0", "o1", "o2", "o3"):
        alone = rows.chosen(rows["operation"] == name)
        (expected,) = answered("forecast", alone, firsts.get(("s", name), LEARNT), DAY)["rows"]
        assert told[name] | {"verdict": ""} == expected | {"verdict": ""}, name
    verdicts = [told[name]["verdict"] for name in ("o0", "o1", "o2", "o3")]
    assert verdicts == ["forecast"] * 3 + ["new"]
    truth = 300 * shape(HOURS + 168)[HOURS:].sum()
    assert told["o1"]["forecast"] == pytest.approx(truth, rel=0.05)
    assert told["o3"]["forecast"] is told["o3"]["change_rate"] is None
    zeros = {r["operation"]: r for r in answered("forecast", rows, LEARNT, DAY)["rows"]}
    assert zeros["o0"] == told["o0"]
    assert zeros["o2"] != told["o2"]
