"""Seasonality: working days have a day and a week, nights and noise have none, hours are local."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from usage_series import NOW, activity, answered, week_shape

from headgate.queries.columns import Columns
from headgate.queries.window import Window

DAY = Window(NOW - timedelta(days=1), NOW)
LEARNT = NOW - timedelta(days=57)  # a Thursday
HOURS = 57 * 24


def working(random: np.random.Generator, level: float) -> np.ndarray:
    return np.asarray(random.poisson(level * week_shape(HOURS, first=72)))


def test_a_working_week_and_noise_are_told_apart() -> None:
    """Traffic of working hours is daily and weekly with its peaks; a clock that ticks all the same has no season."""
    random = np.random.default_rng(1)
    rows = activity(np.vstack([working(random, 100), random.poisson(60, HOURS)]), LEARNT)
    answer = answered("seasonality", rows, LEARNT, DAY)
    work, clock = answer["rows"]
    assert (work["operation"], clock["operation"]) == ("o0", "o1")
    assert work["verdict"] == answer["summary"]["verdict"] == "daily and weekly"
    assert work["daily_strength"] > 0.8
    assert work["peak_hour"] in {13, 14, 15}
    assert work["peak_weekday"] in {"monday", "tuesday", "wednesday", "thursday", "friday"}
    assert clock["verdict"] == "none"
    assert clock["daily_strength"] < 0.1
    assert answer["summary"]["cycles"][0]["hours"] == 24
    weekdays = {day["weekday"]: day["mean_calls"] for day in answer["summary"]["weekdays"]}
    assert weekdays["saturday"] < weekdays["friday"]


def test_means_are_the_brute_force_answer() -> None:
    """Every hour of the week, hour of the day and weekday has the mean of its hours, by direct counting."""
    calls = working(np.random.default_rng(2), 40)[None]
    summary = answered("seasonality", activity(calls, LEARNT), LEARNT, DAY, week_start="sunday")[
        "summary"
    ]
    at = [LEARNT + timedelta(hours=hour) for hour in range(HOURS)]
    assert summary["profile"][0]["weekday"] == summary["weekdays"][0]["weekday"] == "sunday"
    for cell in summary["profile"][::17]:
        mine = [
            n
            for n, moment in zip(calls[0], at, strict=True)
            if f"{moment:%A}".lower() == cell["weekday"] and moment.hour == cell["hour"]
        ]
        assert cell["mean_calls"] == pytest.approx(np.mean(mine), abs=1e-3)
    for hour in summary["hours"]:
        mine = [n for n, moment in zip(calls[0], at, strict=True) if moment.hour == hour["hour"]]
        assert hour["mean_calls"] == pytest.approx(np.mean(mine), abs=1e-3)


def test_hours_are_local_over_a_change_of_clocks() -> None:
    """An office that opens at 9 in Berlin peaks at one local hour, before and after the clocks go back."""
    until = datetime(2026, 11, 8, 23, tzinfo=UTC)
    since = until - timedelta(days=28)
    moments = [since + timedelta(hours=h) for h in range(28 * 24)]
    summer = np.array([moment < datetime(2026, 10, 25, 1, tzinfo=UTC) for moment in moments])
    local = (np.array([moment.hour for moment in moments]) + np.where(summer, 2, 1)) % 24
    rows = activity(np.where(local == 9, 500, 30)[None], since)
    window = Window(until - timedelta(days=1), until)
    found = answered("seasonality", rows, since, window, timezone="Europe/Berlin")["summary"]
    assert found["peak_hour"] == 9
    assert found["hours"][9]["mean_calls"] == 500
    assert (
        found["daily_strength"]
        > answered("seasonality", rows, since, window)["summary"]["daily_strength"]
    )


def test_little_data_and_constants() -> None:
    """Under four days the verdict is that it is too little; what never varies has no season."""
    few = answered(
        "seasonality", activity(np.full((1, 60), 9), NOW - timedelta(hours=60)), LEARNT, DAY
    )
    assert few["rows"][0]["verdict"] == few["summary"]["verdict"] == "too little data"
    same = answered("seasonality", activity(np.full((1, HOURS), 9), LEARNT), LEARNT, DAY)
    assert same["rows"][0]["daily_strength"] is None
    assert same["summary"]["cycles"] == []


def test_rows_come_in_any_order_and_in_parts() -> None:
    """Shuffled rows, and rows whose calls come in two halves, have the same seasons."""
    random = np.random.default_rng(3)
    rows = activity(np.vstack([working(random, 30), working(random, 9)]), LEARNT)
    whole = answered("seasonality", rows, LEARNT, DAY)
    assert answered("seasonality", rows.chosen(random.permutation(rows.rows)), LEARNT, DAY) == whole
    twice = Columns({name: np.concatenate([rows[name], rows[name]]) for name in rows})
    for name in ("arrivals", "calls", "timed", "duration"):
        twice = twice.replaced(name, twice[name] / 2)
    assert answered("seasonality", twice, LEARNT, DAY)["rows"] == whole["rows"]
