"""Windows of reports: the same question about the same window is the same count; what is not recorded is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from headgate.queries import ReportError, names, run
from headgate.queries.recorded import cut
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 37, 41, 123_456, tzinfo=UTC)
FIRST = datetime(2026, 11, 9, 5, 45, tzinfo=UTC)
EVERY_MINUTES = 7


def count(store: Store, first: datetime = FIRST, service: str = "shop") -> None:
    """Count one use every seven minutes from `first` to NOW, as the collector does."""
    store.client().command(
        "INSERT INTO usage_minute"
        " (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted, DurationSum)"
        " SELECT {first:DateTime('UTC')} + 60 * {every:UInt32} * number, {service:String}, 'buy', 'Server', true,"
        " 'ok', 1, 1, 1000000 FROM numbers({uses:UInt32})",
        parameters={
            "first": first.replace(tzinfo=None),
            "every": EVERY_MINUTES,
            "service": service,
            "uses": int((NOW - first) / timedelta(minutes=EVERY_MINUTES)) + 1,
        },
    )


def expected(since: datetime, until: datetime, first: datetime = FIRST) -> int:
    every = timedelta(minutes=EVERY_MINUTES)
    uses = range(int((NOW - first) / every) + 1)
    # A rollup's row lies at the begin of its step: quarters that begin before `until` count.
    return sum(since <= first + number * every < until for number in uses)


@pytest.mark.parametrize(
    ("asked", "since"),
    [
        ({"since": "45m"}, datetime(2026, 11, 20, 11, 52, tzinfo=UTC)),
        ({"since": "24h"}, datetime(2026, 11, 19, 12, 30, tzinfo=UTC)),
        ({"since": "7d"}, datetime(2026, 11, 13, 12, 30, tzinfo=UTC)),
        ({"since": "40d"}, FIRST),
    ],
)
def test_every_report_counts_the_same_calls(
    store: Store, asked: dict[str, str], since: datetime
) -> None:
    """Off the hour, whatever tables a report needs: one window that ends now, and one count."""
    count(store)
    told = {}
    for name in names():
        document = run(name, store, now=NOW, **asked).to_dict()
        window, calls = document["window"], document["summary"]["calls"]
        told[name] = window["since"], window["until"], calls
    begins = since.isoformat().replace("+00:00", "Z")
    right = (begins, "2026-11-20T12:37:41.123456Z", expected(since, NOW))
    assert told == dict.fromkeys(names(), right)


def test_a_window_is_cut_by_its_length_and_what_is_kept() -> None:
    """Minutes, from a day on quarters, behind 90 days days; never past now; an earlier window ends no later."""
    tables = ("usage_minute", "usage_quarter", "usage_day", "dimension_quarter")

    def steps(since: timedelta, until: datetime = NOW, **more: bool) -> tuple[str, str]:
        made = cut(Window(NOW - since, until), tables, NOW, **more)
        return f"{made.since:%m-%dT%H:%M:%S}", f"{made.until:%m-%dT%H:%M:%S}"

    now = "11-20T12:37:41"
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert steps(2 * hour) == ("11-20T10:37:00", now)
    assert steps(2 * hour, by_dimension=True) == ("11-20T10:30:00", now)
    assert steps(2 * day) == ("11-18T12:30:00", now)
    assert steps(100 * day) == ("08-12T00:00:00", now)
    assert steps(2 * day, NOW - day / 2) == ("11-18T12:30:00", "11-20T00:45:00")
    assert steps(2 * hour, NOW - hour, earlier=True) == ("11-20T10:37:00", "11-20T11:37:00")
    assert steps(5 * day, NOW - 3 * day, earlier=True) == ("11-15T12:30:00", "11-17T12:30:00")


def test_calls_a_day_are_by_the_time_that_was_recorded(store: Store) -> None:
    """A store of eleven days: one use in seven minutes, over any window that is longer."""
    count(store)
    for since in ("8d", "40d", "100d"):
        summary = run("usage", store, now=NOW, since=since).summary
        assert summary.calls_per_day.value == pytest.approx(1440 / 7, rel=0.02), since
        assert summary.calls_per_week.value == pytest.approx(10080 / 7, rel=0.02), since


def test_before_the_first_record_everything_is_missing(store: Store) -> None:
    """Nothing grew because recording began: no change, no zeros in timelines, and the answer says since when."""
    count(store)
    for name in ("usage", "trend", "summary"):
        answer = run(name, store, now=NOW, since="60d")
        assert answer.summary.timeline[0].period == "2026-11-09"
        assert len(answer.summary.timeline) == 12
        assert any(
            "there are records from 2026-11-09 05:45 UTC on" in n for n in answer.source.notes
        )
        assert {row.change_rate for row in answer.rows} == {None}
    trend = run("trend", store, now=NOW, since="60d").summary
    assert trend.trend == "stable"
    assert trend.growth_rate == pytest.approx(0, abs=0.02)
    assert not trend.changes
    # Seven days before the last seven there are records of only four: calls of both are told, but no change.
    for name in ("usage", "trend"):
        answer = run(name, store, now=NOW, since="7d")
        assert answer.summary.change_rate is None
        assert any("how much changed is not known" in note for note in answer.source.notes)
    changed = run("usage", store, now=NOW, since="5d").summary.change_rate
    assert changed == pytest.approx(0, abs=0.01)


def test_sentences_say_times_by_the_clock_that_was_asked_for(store: Store) -> None:
    """Notes and refusals name the time zone and say what its clocks show, also in summer and without any data."""
    count(store)
    asked = {"now": NOW, "timezone": "America/New_York"}
    notes = run("usage", store, since="60d", **asked).source.notes
    assert any("records from 2026-11-09 00:45 America/New_York on" in note for note in notes)
    with pytest.raises(
        ReportError, match=r"between 2026-11-20 06:37 America/New_York and 2026-11-20 07:37"
    ):
        run("usage", store, since="1h", service="nobody", **asked)
    with pytest.raises(ReportError, match=r"since 2026-07-01 20:00:01 America/New_York is not"):
        run("usage", store, since="2026-07-02T00:00:01Z", until="2026-07-01", **asked)


def test_a_store_of_a_few_days_has_no_trend(store: Store) -> None:
    """Three whole days are no trend, however long a window is asked for."""
    count(store, first=NOW - timedelta(days=4))
    answer = run("trend", store, now=NOW, since="90d")
    assert answer.summary.trend == "not enough history"
    assert {row.trend for row in answer.rows} == {"not enough history"}
    assert answer.summary.retention_rate is None


def test_a_services_first_record_bounds_what_is_asked_of_it(store: Store) -> None:
    """A service that came later is missing before, not unused."""
    count(store)
    began = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
    count(store, first=began, service="late")
    assert run("usage", store, now=NOW, since="10d").window.since < began
    answer = run("usage", store, now=NOW, since="10d", service="late")
    assert answer.window.since == began
    assert answer.summary.change_rate is None


@pytest.mark.parametrize("days", [7, 40])
def test_the_running_day_is_not_whole(store: Store, days: int) -> None:
    """Also where users are counted by days: today is in the timeline, but not in slopes."""
    count(store, first=datetime(2026, 10, 1, tzinfo=UTC))
    summary = run("trend", store, now=NOW, since=f"{days}d").summary
    assert [period.whole for period in summary.timeline] == [False, *[True] * (days - 1), False]
    assert summary.velocity == pytest.approx(0, abs=0.2)


def test_rows_that_have_expired_are_missing(store: Store) -> None:
    """Raw spans are kept for 7 days: longer windows of them begin there, and the window before is not known."""
    count(store)
    answer = run("usage", store, now=NOW, since="10d", where={"region": "eu"})
    assert answer.source.name == "otel_traces"
    assert answer.window.since == NOW - timedelta(days=7)
    week = run("usage", store, now=NOW, since="7d", where={"region": "eu"})
    assert week.summary.change_rate is None
    assert any("how much changed is not known" in note for note in week.source.notes)


def test_a_day_without_any_record_is_missing_in_every_timeline(store: Store) -> None:
    """The collector was down for a day: no zero calls, no line across, also in what is seldom used."""
    count(store)
    gap = datetime(2026, 11, 15, tzinfo=UTC)
    for table in ("usage_quarter", "usage_day"):
        store.client().command(
            f"ALTER TABLE {table} DELETE WHERE toDate(Time) = toDate({{day:DateTime('UTC')}})"
            " SETTINGS mutations_sync = 1",
            parameters={"day": gap.replace(tzinfo=None)},
        )
    store.client().command(  # once on the first day and on the last, and never between them
        "INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted)"
        " VALUES ('2026-11-10 12:00:00', 'seldom', 'archive', 'Server', true, 'ok', 1, 1),"
        " ('2026-11-20 09:00:00', 'seldom', 'archive', 'Server', true, 'ok', 1, 1)"
    )
    for narrowed in ({}, {"service": "shop"}, {"service": "seldom"}):
        asked = {"now": NOW, "since": "8d", **narrowed}
        for name in ("usage", "summary", "trend"):
            timeline = run(name, store, **asked).summary.timeline
            assert [p.period for p in timeline if p.calls is None] == ["2026-11-15"], name
            assert not next(p.whole for p in timeline if p.period == "2026-11-15")
        answer = run("errors", store, **asked)
        dates = [d.date for d in answer.summary.days]
        assert dates == [f"2026-11-{day}" for day in (12, 13, 14, 16, 17, 18, 19, 20)]
        assert "2026-11-15" not in {
            p.period for p in run("success", store, **asked).summary.timeline
        }
    days = {d.date: d.success_rate for d in run("errors", store, **asked).summary.days}
    assert days["2026-11-16"] is None  # not used, which is known
    assert days["2026-11-20"].value == 1


def test_a_day_of_which_an_hour_was_recorded_is_no_whole_one(store: Store) -> None:
    """Hours in which the collector was down make a day of any time zone partial: told, and left out of trends."""
    store.client().command(
        "INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted)"
        " SELECT toDateTime('2026-11-01 00:00:00', 'UTC') + 60 * number AS t, 'shop', 'buy', 'Server', true, 'ok', 1, 1"
        " FROM numbers(19 * 1440)"
        # Of the 10th in New York, which is five hours behind, one hour is left.
        " WHERE NOT (t >= '2026-11-10 06:00:00' AND t < '2026-11-11 05:00:00')"
    )
    asked = {
        "now": NOW,
        "since": "2026-11-02T05:00Z",
        "until": "2026-11-20",
        "timezone": "America/New_York",
    }
    for narrowed in ({}, {"service": "shop"}):
        answer = run("trend", store, **asked, **narrowed)
        partial = [p.period for p in answer.summary.timeline if not p.whole]
        assert partial == ["2026-11-10", "2026-11-19"]
        assert next(p.calls for p in answer.summary.timeline if p.period == "2026-11-10") == 60
        assert answer.summary.periods == 16
        assert answer.summary.trend == "stable"
        assert answer.summary.velocity == 0
        for name, table in (("usage", "timeline"), ("summary", "timeline"), ("errors", "days")):
            known = getattr(run(name, store, **asked, **narrowed).summary, table)
            whole = [p.whole for p in known]
            assert [i for i, p in enumerate(whole) if not p] == [8, 17], name


def test_what_was_not_recorded_is_not_compared(store: Store) -> None:
    """Nothing is more than before when there are no records from before."""
    count(store)
    answer = run("compare", store, now=NOW, since="60d")
    assert {m.verdict for m in answer.summary.metrics} == {"not tested"}
    assert {row.verdict for row in answer.rows} == {"not tested"}


def arrive(store: Store, operation: str, first: str, days: int, a_day: int = 240) -> None:
    """Count an operation of `shop` evenly from a time on."""
    store.client().command(
        "INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted)"
        " SELECT {first:DateTime('UTC')} + intDiv(86400 * number, {a_day:UInt32}), 'shop', {operation:String},"
        " 'Server', true, 'ok', 1, 1 FROM numbers({a_day:UInt32} * {days:UInt32})",
        parameters={"first": first, "a_day": a_day, "days": days, "operation": operation},
    )


def test_what_is_new_did_not_grow_from_zero(store: Store) -> None:
    """Before its first record an operation is missing: its slope and growth are those of the days since."""
    arrive(store, "old", "2026-10-01 00:00:00", 50)
    arrive(store, "back", "2026-10-01 00:00:00", 5)
    arrive(store, "back", "2026-11-15 00:00:00", 5)
    arrive(store, "young", "2026-11-08 06:00:00", 12)
    arrive(store, "born", "2026-11-18 06:00:00", 2)
    end = datetime(2026, 11, 20, tzinfo=UTC)
    asked = {"now": end, "since": "20d"}
    answer = run("trend", store, **asked)
    rows = {row.operation: row for row in answer.rows}
    assert {name: row.trend for name, row in rows.items()} == {
        "old": "stable", "back": "growing", "young": "stable", "born": "new",
    }  # fmt: skip
    assert rows["young"].velocity == 0  # of eleven whole days since; with the days before: about 15
    assert rows["young"].growth_rate == 0
    assert rows["young"].calls_series == (*[None] * 8, 180.0, *[240.0] * 11)
    assert rows["born"].growth_rate is None
    assert rows["back"].growth_rate == 1  # it was there and not used: zero is true
    assert rows["back"].calls_series[0] == 0
    assert not {change.operation for change in answer.summary.changes} & {"young", "born", "old"}
    (note,) = (note for note in answer.source.notes if "first recorded" in note)
    assert note.startswith("first recorded in this window: shop born, shop young; what was before")
    trends = run("usage", store, include_trends=True, **asked).summary.trends
    assert {t.operation: (t.trend, t.velocity) for t in trends} == {
        name: (row.trend, row.velocity) for name, row in rows.items()
    }
    named = run("trend", store, service="shop", operation="young", **asked)
    assert named.rows[0].velocity == rows["young"].velocity


def test_what_is_new_is_compared_with_nothing(store: Store) -> None:
    """Against a period before its first record there is no number; against one that it came in, that part counts."""
    arrive(store, "old", "2026-10-01 00:00:00", 50)
    arrive(store, "young", "2026-11-08 12:00:00", 12)
    arrive(store, "born", "2026-11-18 06:00:00", 2)
    end = datetime(2026, 11, 20, tzinfo=UTC)
    rows = run("compare", store, now=end, since="7d").rows
    told = {r.operation: r for r in rows if r.metric == "calls_per_day"}
    assert (told["born"].verdict, told["born"].against, told["born"].change_rate) == (
        "new",
        None,
        None,
    )
    assert told["born"].value.value == pytest.approx(
        240
    )  # a day, of the 1.75 days that it has been there
    assert told["young"].against.value == pytest.approx(240)
    assert told["young"].verdict == told["old"].verdict == "no clear difference"
    assert {r.verdict for r in rows if r.operation == "born"} == {"new"}
    # The change of totals says nothing where only a part of the window before can have records.
    changes = {r.operation: r.change_rate for r in run("usage", store, now=end, since="7d").rows}
    assert changes == {"old": 0, "young": None, "born": None}


def test_what_is_learnt_begins_with_the_first_record(store: Store) -> None:
    """Reports that learn from before the window know an operation from the hour after its first record on."""
    arrive(store, "old", "2026-10-01 00:00:00", 50)
    arrive(store, "young", "2026-11-08 06:20:00", 12)
    arrive(store, "born", "2026-11-19 06:20:00", 1)
    asked = {"now": datetime(2026, 11, 20, tzinfo=UTC), "since": "1d"}
    since = {"old": 24 * 29, "young": 24 * 11 + 17, "born": 17}
    for name in ("anomalies", "seasonality"):
        rows = {row.operation: row for row in run(name, store, **asked).rows}
        assert {key: row.learnt_periods for key, row in rows.items()} == since, name
        assert rows["born"].verdict == "new", name
        named = run(name, store, operation="young", **asked)
        assert named.rows[0].learnt_periods == named.summary.learnt_periods == since["young"]
    assert not run("anomalies", store, **asked).summary.anomalies
    rows = {r.operation: r for r in run("forecast", store, horizon_days=1, **asked).rows}
    assert {r: row.verdict for r, row in rows.items()} == {
        "old": "forecast", "young": "forecast", "born": "new",
    }  # fmt: skip
    assert rows["young"].forecast == pytest.approx(240, rel=0.01)
    assert run("correlation", store, deviations=False, **asked).summary.pairs == ()
    predicted = run("usage", store, include_predictions=True, **asked).summary.predictions
    assert {p.operation: p.verdict for p in predicted}["born"] == "new"
