"""Anomalies: what was planted is found with its begin, chance raises no more alarms than asked, gaps are not zeros."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usage_series import NOW, activity, answered, week_shape

from headgate.queries import run
from headgate.queries.columns import Columns
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.store import Store

DAY = Window(NOW - timedelta(days=1), NOW)
LEARNT = NOW - timedelta(days=29)
HOURS = 29 * 24


def traffic(kind: str, random: np.random.Generator, operations: int = 6) -> Columns:
    """Return 29 days of traffic in which nothing is out of the ordinary of its kind."""
    base = np.geomspace(2, 800, operations)[:, None] * week_shape(HOURS)
    if kind == "day by day":
        base = base * np.repeat(random.lognormal(0, 0.15, 29), 24)
    elif kind == "hour by hour":
        noise, level = random.normal(0, 0.1, HOURS), np.zeros(HOURS)
        for hour in range(1, HOURS):
            level[hour] = 0.8 * level[hour - 1] + noise[hour]
        base = base * np.exp(level)
    elif kind == "growing":
        base = base * np.linspace(0.7, 1.4, HOURS)
    calls = random.poisson(base)
    if kind == "bursts":
        calls = random.negative_binomial(10, 10 / (10 + base))
    failures = random.binomial(calls, 0.02)
    mean = random.lognormal(3, 1 / np.sqrt(np.maximum(calls, 1)))
    return activity(calls, LEARNT, failures=failures, mean_ms=mean)


@pytest.mark.parametrize("kind", ["poisson", "bursts", "day by day", "hour by hour", "growing"])
def test_chance_raises_no_more_alarms_than_asked(kind: str) -> None:
    """With false_alarms=1, 20 days of ordinary traffic raise 20 alarms at most, of whatever kind chance is."""
    random = np.random.default_rng(5)
    alarms = shifts = 0
    for _ in range(20):
        summary = answered("anomalies", traffic(kind, random), LEARNT, DAY, false_alarms=1)[
            "summary"
        ]
        alarms += len(summary["anomalies"])
        shifts += len(summary["shifts"])
    assert alarms <= 20
    assert shifts == 0


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(8)
    calls = random.poisson(np.array([[200.0], [60.0], [90.0]]) * week_shape(HOURS))
    failures = random.binomial(calls, 0.02)
    mean = random.lognormal(3, 0.5 / np.sqrt(np.maximum(calls, 1)))
    return calls, failures, mean


def test_what_was_planted_is_found_with_its_begin() -> None:
    """A burst of calls, failing and slowness are each one anomaly of its metric, that began when it did."""
    calls, failures, mean = planted()
    calls[0, -10] *= 3
    failures[1, -6:] = calls[1, -6:] // 3
    mean[2, -14:-8] *= 1.6
    rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
    answer = answered("anomalies", rows, LEARNT, DAY)
    found = {
        (a["operation"], a["metric"]): (a["began_at"], a["score"])
        for a in answer["summary"]["anomalies"]
        if a["operation"]
    }
    hour = timedelta(hours=1)
    began = {key: datetime.fromisoformat(at) for key, (at, _) in found.items()}
    assert began == {
        ("o0", "calls"): NOW - 10 * hour,
        ("o1", "error rate"): NOW - 6 * hour,
        ("o2", "mean duration (ms)"): NOW - 14 * hour,
    }
    assert all(score > 4 for _, score in found.values())
    verdicts = {row["operation"]: row["verdict"] for row in answer["rows"]}
    assert verdicts == {"o0": "was unusual", "o1": "unusual now", "o2": "was unusual"}
    assert answer["summary"]["verdict"] == "unusual now"
    marked = [p["start_at"] for p in answer["summary"]["timeline"] if p["anomaly"]]
    assert f"{NOW - 10 * hour:%Y-%m-%dT%H:%M:%SZ}" in marked


def test_a_change_of_level_has_a_begin() -> None:
    """A level that rose by half three days ago is a shift that began then, give or take a few hours."""
    calls, failures, mean = planted()
    calls[1, -72:] = np.random.default_rng(1).poisson(90 * week_shape(HOURS)[-72:])
    window = Window(NOW - timedelta(days=5), NOW)
    rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
    shifts = answered("anomalies", rows, LEARNT, window)["summary"]["shifts"]
    shifts = [shift for shift in shifts if shift["operation"]]
    assert [(s["operation"], s["metric"]) for s in shifts] == [("o1", "calls")]
    began = datetime.fromisoformat(shifts[0]["began_at"])
    assert abs(began - (NOW - timedelta(hours=72))) <= timedelta(hours=6)
    assert shifts[0]["after"] > shifts[0]["before"]


def test_a_gap_is_missing_and_not_zero() -> None:
    """Hours in which nothing at all was recorded are a gap with what should have been in it, and no anomaly."""
    calls, failures, mean = planted()
    calls[:, -9:-5] = 0
    rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
    answer = answered("anomalies", rows, LEARNT, DAY)
    summary = answer["summary"]
    assert summary["anomalies"] == []
    assert summary["missing_periods"] == 4
    (gap,) = summary["gaps"]
    assert gap["began_at"] == f"{NOW - timedelta(hours=9):%Y-%m-%dT%H:%M:%SZ}"
    usual = 350 * week_shape(HOURS)[-9:-5].sum()
    assert gap["expected_calls"] == pytest.approx(usual, rel=0.1)
    assert [p["calls"] for p in summary["timeline"][-9:-5]] == [None] * 4
    assert answer["rows"][0]["calls_series"][-9:-5] == [None] * 4


def test_one_silent_operation_among_others_is_an_anomaly() -> None:
    """Zero calls of one operation while others go on are zero, and odd."""
    calls, failures, mean = planted()
    calls[1, -12:] = 0
    rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
    found = answered("anomalies", rows, LEARNT, DAY)["summary"]["anomalies"]
    assert [(a["operation"], a["metric"], a["observed"]) for a in found if a["operation"]] == [
        ("o1", "calls", 0)
    ]


@given(seed=st.integers(0, 99))
@settings(max_examples=8)
def test_rows_come_in_any_order_and_in_parts(seed: int) -> None:
    """Shuffled rows, and rows whose calls come in two halves, give the same document."""
    random = np.random.default_rng(seed)
    rows = traffic("poisson", random, operations=3)
    order = random.permutation(rows.rows)
    whole = answered("anomalies", rows, LEARNT, DAY)
    assert answered("anomalies", rows.chosen(order), LEARNT, DAY) == whole
    twice = Columns({name: np.concatenate([rows[name], rows[name]]) for name in rows})
    for name in ("arrivals", "calls", "failures", "timed", "duration"):
        twice = twice.replaced(name, twice[name] / 2)
    halves = answered("anomalies", twice, LEARNT, DAY)
    for name in ("judged", "threshold", "anomalies", "shifts", "timeline"):
        assert halves["summary"][name] == whole["summary"][name]


def test_constant_traffic_is_usual() -> None:
    """Where every hour is the same there is no spread and no anomaly."""
    answer = answered("anomalies", activity(np.full((2, HOURS), 50), LEARNT), LEARNT, DAY)
    assert answer["summary"]["anomalies"] == answer["summary"]["shifts"] == []
    assert {row["verdict"] for row in answer["rows"]} == {"usual"}


def test_little_data_is_said_to_be_little() -> None:
    """Under three days of hours nothing is judged, and the answer says so."""
    rows = activity(np.full((1, 40), 50), NOW - timedelta(hours=40))
    answer = answered("anomalies", rows, LEARNT, DAY)
    assert answer["summary"]["verdict"] == answer["rows"][0]["verdict"] == "too little data"
    assert answer["summary"]["threshold"] is None
    assert answer["rows"][0]["expected_calls"] is None


def test_hours_are_those_of_the_time_zone() -> None:
    """Traffic that follows local hours is usual on both sides of the day on which clocks are set back."""
    until = datetime(2026, 10, 27, 23, tzinfo=UTC)  # midnight in Berlin
    since = until - timedelta(days=29)
    random = np.random.default_rng(6)
    hours = np.arange(29 * 24)
    local = (hours + (since.hour + 2)) % 24  # until 25 October 01:00 UTC
    after = since + timedelta(hours=1) * hours >= datetime(2026, 10, 25, 1, tzinfo=UTC)
    local = np.where(after, (local - 1) % 24, local)
    base = np.where((local >= 9) & (local < 17), 400.0, 30.0)
    rows = activity(random.poisson(base), since)
    window = Window(until - timedelta(days=3), until)
    berlin = answered("anomalies", rows, since, window, timezone="Europe/Berlin")
    assert berlin["summary"]["anomalies"] == []
    assert answered("anomalies", rows, since, window)["summary"]["anomalies"]


def test_days_can_be_judged_too() -> None:
    """By the day over a leap February: a day of half the traffic is odd, its weekday taken into account."""
    since, until = datetime(2028, 1, 1, tzinfo=UTC), datetime(2028, 3, 4, tzinfo=UTC)
    days = 63
    random = np.random.default_rng(7)
    calls = random.poisson(np.where(np.arange(days) % 7 >= 5, 3000, 9000))
    leap = (datetime(2028, 2, 29, tzinfo=UTC) - since).days
    calls[leap] //= 2
    rows = activity(calls, since, step_s=86400)
    window = Window(until - timedelta(days=7), until)
    found = answered("anomalies", rows, since, window, step="day")["summary"]["anomalies"]
    assert {(a["began_at"], a["metric"]) for a in found} == {("2028-02-29T00:00:00Z", "calls")}


def test_days_are_judged_where_hours_are_gone(store: Store) -> None:
    """A window that exceeds what hours are kept for is judged by days."""
    for name in ("anomalies", "correlation", "forecast", "seasonality"):
        run(name, store, now=LEARNT, since="90d")
    found = answered(
        "anomalies", activity([[1.0]], LEARNT), LEARNT - timedelta(days=80), DAY, step="day"
    )
    same = answered("anomalies", activity([[1.0]], LEARNT), LEARNT - timedelta(days=80), DAY)
    assert found["summary"] == same["summary"]


def test_what_came_later_is_judged_since_then() -> None:
    """An operation with a first record is judged as if its history began there; what was always there, as before."""
    calls, failures, mean = planted()
    calls[1, :360] = failures[1, :360] = 0
    calls[1, -3] *= 4
    rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
    firsts = {("s", "o1"): LEARNT + timedelta(hours=360), ("s", "o0"): LEARNT - timedelta(days=9)}
    found = answered("anomalies", rows, LEARNT, DAY, firsts=firsts)
    told = {row["operation"]: row for row in found["rows"]}
    alone = rows.chosen(rows["operation"] == "o1")
    (expected,) = answered("anomalies", alone, firsts["s", "o1"], DAY)["rows"]
    assert told["o1"] == expected
    assert expected["learnt_periods"] == HOURS - 360
    (odd,) = (a for a in found["summary"]["anomalies"] if a["operation"] and a["metric"] == "calls")
    assert (odd["operation"], odd["began_at"]) == (
        "o1",
        f"{NOW - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}",
    )
    unaware = {row["operation"]: row for row in answered("anomalies", rows, LEARNT, DAY)["rows"]}
    assert unaware["o1"] != told["o1"]
    assert (unaware["o0"], unaware["o2"]) == (told["o0"], told["o2"])
    assert told["o0"]["learnt_periods"] == HOURS


def test_what_arrives_is_new_and_no_anomaly() -> None:
    """A first record in the window is `new`, without a verdict on how it began; the hour it came in is cut: missing."""
    calls, failures, mean = planted()
    calls[1, :-10] = failures[1, :-10] = 0
    rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
    first = NOW - timedelta(hours=10) + timedelta(minutes=15)
    found = answered("anomalies", rows, LEARNT, DAY, firsts={("s", "o1"): first})
    told = {row["operation"]: row for row in found["rows"]}
    assert [row["operation"] for row in found["rows"]] == ["o1", "o0", "o2"]
    assert (told["o1"]["verdict"], told["o1"]["expected_calls"]) == ("new", None)
    assert not {a["operation"] for a in found["summary"]["anomalies"]} & {"o1"}
    assert told["o1"]["calls_series"] == [None] * 15 + calls[1, -9:].tolist()
    assert told["o1"]["calls"] == calls[1].sum()
    # Taken as having been there, it is one; known since before the window, but too little, it is neither.
    zeros = answered("anomalies", rows, LEARNT, DAY)["summary"]["anomalies"]
    assert "o1" in {a["operation"] for a in zeros}
    window = Window(NOW - timedelta(hours=6), NOW)
    later = answered("anomalies", rows, LEARNT, window, firsts={("s", "o1"): first})["rows"]
    assert {r["operation"]: r["verdict"] for r in later}["o1"] == "too little data"


def test_what_came_early_in_a_long_window_is_judged() -> None:
    """Of a window of weeks an operation is judged by what is in it, where that is three days or more."""
    calls, failures, mean = planted()
    calls[1, :200] = failures[1, :200] = 0
    calls[1, -5] *= 4
    window = Window(NOW - timedelta(days=25), NOW)
    rows = activity(calls, LEARNT, failures=failures, mean_ms=mean)
    firsts = {("s", "o1"): LEARNT + timedelta(hours=200)}
    found = answered("anomalies", rows, LEARNT, window, firsts=firsts)
    odd = {a["began_at"] for a in found["summary"]["anomalies"] if a["operation"] == "o1"}
    assert odd == {f"{NOW - timedelta(hours=5):%Y-%m-%dT%H:%M:%SZ}"}
    assert not [s for s in found["summary"]["shifts"] if s["operation"]]
    zeros = answered("anomalies", rows, LEARNT, window)["summary"]
    assert [s["operation"] for s in zeros["shifts"] if s["operation"]] == ["o1"]
