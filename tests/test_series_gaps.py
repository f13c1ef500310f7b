"""What is learnt of one operation, service or attribute has zeros where others were used, and gaps where nobody was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from report_rows import NO_ROWS, add_spans
from usage_series import activity, answered

from headgate.queries import entry, run
from headgate.queries.columns import Columns
from headgate.queries.gaps import LEAST_TYPICAL
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.queries.declaration import Ask
    from headgate.store import Store

NOW = datetime(2026, 11, 20, tzinfo=UTC)
FIRST = datetime(2026, 10, 1, tzinfo=UTC)
DOWN = (datetime(2026, 11, 15, 22, tzinfo=UTC), datetime(2026, 11, 16, 4, tzinfo=UTC))
OPENS, CLOSES = 7, 20
EVERYTHING: dict[str, Any] = {"service": None, "operation": None, "where": {}, "by": None}
HOUR = timedelta(hours=1)
WEEK = Window(NOW - timedelta(days=7), NOW)
LEARNT = WEEK.since - timedelta(days=28)
NARROWED: tuple[dict[str, Any], ...] = ({"operation": "work"}, {"service": "office"})


def hours(since: datetime, until: datetime = NOW) -> list[datetime]:
    return [since + HOUR * n for n in range(round((until - since) / HOUR))]


def is_down(at: datetime) -> bool:
    return DOWN[0] <= at < DOWN[1]


def told(at: datetime, calls: float) -> float | None:
    """Return what is known of an hour of the office: its calls while it is open, nothing while nothing recorded."""
    return None if is_down(at) else calls if OPENS <= at.hour < CLOSES else 0.0


def count(store: Store) -> None:
    """Count an office that is closed at night and a clock that is not; nothing at all while the collector is down."""
    store.client().command(
        "INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted,"
        " DurationSum) SELECT {first:DateTime('UTC')} + 900 * number AS t, s, o, 'Server', true, 'ok', 40, 40, 4e7"
        " FROM numbers({quarters:UInt32})"
        " ARRAY JOIN ['office', 'machine', 'office'] AS s, ['work', 'tick', 'tidy'] AS o"
        " WHERE NOT (t >= {down:DateTime('UTC')} AND t < {up:DateTime('UTC')})"
        " AND (s = 'machine' OR toHour(t) >= {opens:UInt8} AND toHour(t) < {closes:UInt8})",
        parameters={
            "first": FIRST.replace(tzinfo=None),
            "quarters": 4 * len(hours(FIRST)),
            "down": DOWN[0].replace(tzinfo=None),
            "up": DOWN[1].replace(tzinfo=None),
            "opens": OPENS,
            "closes": CLOSES,
        },
    )


def test_quiet_hours_are_zero_and_a_night_without_records_is_missing(store: Store) -> None:
    """Narrowed to what is used by day: each hour is as direct counting says, and as beside everything else."""
    count(store)
    asked: dict[str, Any] = {"now": NOW, "since": "7d"}
    known = [told(at, 160.0) for at in hours(LEARNT)]
    learnt = sum(value is not None for value in known)
    assert learnt == 35 * 24 - 6
    every = {r.operation: r for r in run("anomalies", store, **asked).rows}["work"]
    for narrowed in NARROWED:
        found = run("anomalies", store, **asked, **narrowed)
        row = next(r for r in found.rows if r.operation == "work")
        assert list(row.calls_series) == known[-7 * 24 :]
        assert row.learnt_periods == found.summary.learnt_periods == learnt
        assert found.summary.missing_periods == 6
        assert [(g.began_at, g.ended_at) for g in found.summary.gaps] == [DOWN]
        assert (row.calls_series, row.learnt_periods) == (every.calls_series, every.learnt_periods)
        assert (row.expected_calls, row.verdict) == (every.expected_calls, every.verdict)


def test_what_is_learnt_of_it_is_what_is_learnt_beside_everything(store: Store) -> None:
    """Forecast, cycle and correlation of one operation or service are those of it in the whole."""
    count(store)
    asked: dict[str, Any] = {"now": NOW, "since": "7d"}
    nights = 24 - (CLOSES - OPENS)
    forecasts, seasons = (
        {row.operation: row for row in run(name, store, **asked).rows}["work"]
        for name in ("forecast", "seasonality")
    )
    for narrowed in NARROWED:
        answer = run("forecast", store, **asked, **narrowed)
        assert next(r for r in answer.rows if r.operation == "work") == forecasts
        past = [p.calls for p in answer.summary.timeline if p.start_at < NOW]
        assert [calls is None for calls in past] == [is_down(at) for at in hours(WEEK.since)]
        assert past.count(0.0) == 7 * nights - 6
        answer = run("seasonality", store, **asked, **narrowed)
        row = next(r for r in answer.rows if r.operation == "work")
        assert row.day_series == tuple(told(at, 160.0) for at in hours(NOW - 24 * HOUR))
        assert (row.day_series, row.daily_strength) == (seasons.day_series, seasons.daily_strength)
        assert row.learnt_periods == seasons.learnt_periods == 35 * 24 - 6
    asked |= {"deviations": False, "most_lag": 0}
    (pair,) = run("correlation", store, service="office", **asked).summary.pairs
    assert (pair.correlation, pair.periods) == (1, 35 * 24 - 6)
    assert pair.first.startswith("calls of")


def test_what_has_an_attribute_has_the_gaps_of_everything(store: Store) -> None:
    """Too rare to tell a gap by itself, from the first use on: an hour unused is zero, unless nobody was recorded."""
    count(store)
    begins = NOW - timedelta(days=5, hours=13)  # a Saturday, at 11
    add_spans(
        store,
        (
            {"Timestamp": at, "SpanAttributes": {"region": "eu"}}
            for at in hours(begins)
            if told(at, 1.0)
        ),
    )
    found = run("anomalies", store, now=NOW, since="1d", where={"region": "eu"}).summary
    assert (found.learnt_periods, found.missing_periods) == (len(hours(begins)) - 6, 0)
    week = run("anomalies", store, now=NOW, since="7d", where={"region": "eu"}).summary
    assert [p.calls for p in week.timeline] == [
        None if at < begins else told(at, 1.0) for at in hours(WEEK.since)
    ]
    assert week.missing_periods == 6


def arrivals(calls: np.ndarray, step_s: int = 3600) -> Columns:
    period = np.flatnonzero(calls)
    return Columns(
        {
            "period_s": int(LEARNT.timestamp()) + step_s * period,
            "hour_s": int(LEARNT.timestamp()) + step_s * period,
            "calls": calls[period].astype(float),
        }
    )


@pytest.mark.parametrize("narrowed", [{"operation": "o0"}, {"where": {"a": "b"}}, {"by": "a"}])
def test_gaps_are_those_of_everybody_by_brute_force(narrowed: dict[str, Any]) -> None:
    """Whatever narrows it: an hour is a gap if nobody called in it, in traffic that is never so quiet."""
    random = np.random.default_rng(3)
    all_hours = hours(LEARNT)
    own = random.poisson(3.0, len(all_hours)) * (random.random(len(all_hours)) < 0.3)
    everybody = own + random.poisson(60, len(all_hours))
    lost = random.choice(len(all_hours), 40, replace=False)
    own[lost] = everybody[lost] = 0
    own[0] = everybody[0] = 50
    assert np.percentile(everybody[everybody > 0], 25) >= LEAST_TYPICAL
    expected = [
        None if n == 0 else float(mine) for mine, n in zip(own, everybody.tolist(), strict=True)
    ]
    rows, window = activity(own[None], LEARNT), Window(LEARNT, NOW)
    anyone = arrivals(everybody)
    found = answered("anomalies", rows, LEARNT, window, anyone=anyone, **narrowed)
    assert [p["calls"] for p in found["summary"]["timeline"]] == expected


def test_where_others_are_counted_in_longer_steps_nothing_is_a_gap() -> None:
    """Everybody by the day cannot tell hours: those of the question are known, from its first use on."""
    all_hours = hours(LEARNT)
    own = np.array([told(at, 100.0) or 0.0 for at in all_hours])
    by_days = np.where(np.arange(own.size) % 24 == 0, 5000, 0)
    for anyone in (arrivals(by_days), NO_ROWS):
        found = answered(
            "anomalies", activity(own[None], LEARNT), LEARNT, WEEK, anyone=anyone, operation="o0"
        )["summary"]
        assert [p["calls"] for p in found["timeline"]] == own[-7 * 24 :].tolist()
        assert (found["missing_periods"], found["learnt_periods"]) == (0, own.size - OPENS)


@pytest.mark.parametrize("name", ["anomalies", "correlation", "forecast", "seasonality"])
def test_only_what_is_narrowed_asks_what_anybody_did(name: str) -> None:
    """Of everything its own calls tell the gaps: nothing more is read, and the periods asked about are the learnt."""
    report = entry(name).report

    def asked(**params: Any) -> dict[str, Ask]:
        assert report.asks is not None
        return dict(report.asks(report.params(**params), WEEK))

    assert asked().keys() == {"learnt"}
    for narrowed in (*NARROWED, {"where": {"a": "b"}}, {"by": "a"}):
        found = asked(**narrowed)
        assert found["learnt_anyone"].window == found["learnt"].window
        assert found["learnt_anyone"].params == replace(found["learnt"].params, **EVERYTHING)


@pytest.mark.parametrize("asked", [{}, {"service": "shop"}])
def test_predictions_of_usage_know_gaps_and_change_nothing_else(
    store: Store, asked: dict[str, Any]
) -> None:
    """Ten days without any record are not learnt as zeros; trends are the same whether predictions are asked for."""
    store.client().command(
        "INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted)"
        " SELECT {first:DateTime('UTC')} + 3600 * number AS t, 'shop', 'buy', 'Server', true, 'ok', 100, 100"
        " FROM numbers(24 * 79) WHERE intDiv(number, 24) NOT BETWEEN 20 AND 29"
        " AND NOT (number >= 24 * 78 + 6 AND number < 24 * 78 + 12)",
        parameters={"first": (NOW - timedelta(days=79)).replace(tzinfo=None)},
    )
    predicted = run("usage", store, now=NOW, since="7d", include_predictions=True, **asked)
    for found in predicted.summary.predictions:
        assert (found.verdict, found.forecast) == ("forecast", pytest.approx(16_800, rel=0.02))
    day = {"now": NOW, "since": "24h", "include_trends": True, **asked}
    without = run("usage", store, **day).to_dict()["summary"]
    beside = run("usage", store, include_predictions=True, **day).to_dict()["summary"]
    assert beside.pop("predictions")
    assert beside == {name: part for name, part in without.items() if name != "predictions"}
