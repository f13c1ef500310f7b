"""Seasonality: working days have a day and a week, nights and noise have none, hours are local."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from usage_series import NOW, activity, answered, week_shape

from headgate.queries import run
from headgate.queries.columns import Columns
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.store import Store

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


def test_years_are_looked_at_by_the_day() -> None:
    """Five years of days: a shop of weekends and Decembers is weekly and yearly, noise neither, by direct counting."""
    random = np.random.default_rng(6)
    since = datetime(2022, 1, 1, tzinfo=UTC)
    until = datetime(2026, 11, 20, tzinfo=UTC)
    at = [since + timedelta(days=n) for n in range((until - since).days)]
    december = np.array([2.0 if day.month == 12 else 1.0 for day in at])
    weekend = np.array([1.5 if day.weekday() >= 5 else 1.0 for day in at])
    calls = np.vstack([random.poisson(200 * december * weekend), random.poisson(90, len(at))])
    rows = activity(calls, since, step_s=86400)
    window = Window(until - timedelta(days=300), until)
    answer = answered("seasonality", rows, since, window)
    shop, noise = answer["rows"]
    summary = answer["summary"]
    assert (summary["step"], summary["hours"], summary["profile"]) == ("day", [], [])
    assert summary["learnt_periods"] == len(at)
    assert shop["verdict"] == summary["verdict"] == "weekly and yearly"
    assert (shop["peak_month"], shop["peak_hour"], shop["daily_strength"]) == (12, None, None)
    assert shop["peak_weekday"] in {"saturday", "sunday"}
    assert min(shop["weekly_strength"], shop["yearly_strength"]) > 0.8
    assert noise["verdict"] == "none"
    assert 7 * 24 in {cycle["hours"] for cycle in summary["cycles"]}
    every = calls.sum(axis=0)
    for month in summary["months"]:
        mine = [n for n, day in zip(every, at, strict=True) if day.month == month["month"]]
        assert month["mean_calls"] == pytest.approx(np.mean(mine), abs=1e-3)
    for weekday in summary["weekdays"]:
        mine = [
            n for n, day in zip(every, at, strict=True) if f"{day:%A}".lower() == weekday["weekday"]
        ]
        assert weekday["mean_calls"] == pytest.approx(np.mean(mine), abs=0.01)
    # Under three years nothing is said of a year; under twelve months no month is the first.
    begun = datetime(2026, 3, 1, tzinfo=UTC)
    known = rows.chosen(rows["period_s"] >= begun.timestamp())
    window = Window(until - timedelta(days=100), until)
    short = answered("seasonality", known, begun, window)["summary"]
    assert (short["yearly_strength"], short["yearly_p_value"], short["peak_month"]) == (
        None,
        None,
        None,
    )


def test_a_window_beyond_hours_is_answered(store: Store) -> None:
    """Where hours are not kept for so long days answer, two years of them too, without being asked to."""
    store.client().command(
        "INSERT INTO usage_day (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted)"
        " SELECT toDateTime('2025-01-01 00:00:00', 'UTC') + 86400 * number AS t, 'shop', 'buy', 'Server', true, 'ok',"
        " if(toDayOfWeek(t) > 5, 90, 30) AS n, n FROM numbers(688)"
    )
    for since in ("100d", "650d"):
        summary = run("seasonality", store, now=NOW, since=since).summary
        assert (summary.step, summary.verdict) == ("day", "weekly"), since
        weekdays = {day.weekday: day.mean_calls for day in summary.weekdays}
        assert (weekdays["sunday"], weekdays["monday"]) == (90, 30)


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


def test_what_came_later_has_the_seasons_since() -> None:
    """Means, strengths and peaks are those of a history that begins with the first record; of a few hours, none."""
    random = np.random.default_rng(8)
    calls = np.vstack([working(random, 100), working(random, 60), working(random, 60)])
    begins = {"o1": 20 * 24, "o2": HOURS - 7}
    for number, begin in enumerate(begins.values(), 1):
        calls[number, :begin] = 0
    rows = activity(calls, LEARNT)
    firsts = {("s", name): LEARNT + timedelta(hours=begin) for name, begin in begins.items()}
    told = {
        row["operation"]: row
        for row in answered("seasonality", rows, LEARNT, DAY, firsts=firsts)["rows"]
    }
    for name in ("o0", "o1", "o2"):
        alone = rows.chosen(rows["operation"] == name)
        (expected,) = answered("seasonality", alone, firsts.get(("s", name), LEARNT), DAY)["rows"]
        for field in expected.keys() - {"verdict", "daily_p_value", "weekly_p_value"}:
            assert told[name][field] == expected[field], (name, field)
    assert told["o1"]["verdict"] == "daily and weekly"
    assert told["o1"]["learnt_periods"] == HOURS - 20 * 24
    young = told["o2"]
    assert (young["verdict"], young["daily_strength"]) == ("new", None)
    assert (young["peak_hour"], young["peak_weekday"]) == (None, None)
    assert young["day_series"] == [None] * 17 + calls[2, -7:].tolist()
    zeros = {r["operation"]: r for r in answered("seasonality", rows, LEARNT, DAY)["rows"]}
    assert zeros["o1"]["day_series"] != told["o1"]["day_series"]
