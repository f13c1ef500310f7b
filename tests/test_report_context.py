"""Distribution over hours, weekdays and dimensions, against the local calendar itself, also where clocks change."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_rows import NOW, add_spans, columns, reduced

from headgate.queries import run
from headgate.queries.periods import WEEKDAYS
from headgate.queries.reports.context import listed
from headgate.queries.reports.context.clock import busiest_weekday, cell_hours
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.store import Store

ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns")
WINDOW = Window(NOW - timedelta(days=4), NOW)


@settings(max_examples=40)
@given(
    st.datetimes(datetime(2024, 2, 1), datetime(2027, 2, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(1, 24 * 60 * 9),
    st.sampled_from(ZONES),
)
def test_cells_last_as_long_as_clocks_say(since: datetime, minutes: int, zone: str) -> None:
    """The slow twin asks the calendar for every minute: leap days, days of 23 and 25 hours, offsets of 45 minutes."""
    since = since.replace(second=0, microsecond=0)
    asked = Window(since, since + timedelta(minutes=minutes))
    found = cell_hours(asked, ZoneInfo(zone))
    expected = np.zeros((7, 24))
    for minute in range(minutes):
        local = (since + timedelta(minutes=minute)).astimezone(ZoneInfo(zone))
        expected[local.weekday(), local.hour] += 1 / 60
    assert found == pytest.approx(expected, abs=1e-9)
    assert found.sum() == pytest.approx(minutes / 60)


def test_hours_and_weekdays_are_local(store: Store) -> None:
    """Over the night when Berlin's clocks go back: counts by local hour and weekday, rates by how long each lasted."""
    berlin = ZoneInfo("Europe/Berlin")
    until = datetime(2026, 10, 26, tzinfo=berlin)
    random = np.random.default_rng(8)
    times = [until - timedelta(minutes=int(m)) for m in random.integers(1, 60 * 72, 1500)]
    times = [datetime.fromtimestamp(at.timestamp(), UTC) for at in times]
    add_spans(store, ({"Timestamp": at} for at in times))
    since = datetime(2026, 10, 23, tzinfo=berlin)
    inside = [at.astimezone(berlin) for at in times if at >= since]
    window = {"since": since, "until": until, "timezone": "Europe/Berlin", "where": {"": ""}}
    found = run("context", store, now=NOW, **window).summary
    hours = Counter(at.hour for at in inside)
    assert {hour.hour: hour.calls.value for hour in found.hours} == {h: hours[h] for h in range(24)}
    # Three days, but the hour from 2 to 3 came four times.
    rates = {hour.hour: hour.calls_per_hour for hour in found.hours}
    assert rates[2] == pytest.approx(hours[2] / 4, abs=1e-4)
    assert rates[5] == pytest.approx(hours[5] / 3, abs=1e-4)
    days = Counter(at.weekday() for at in inside)
    assert {WEEKDAYS.index(day.weekday): day.calls.value for day in found.weekdays} == {
        d: days[d] for d in range(7)
    }
    sunday = found.weekdays[6]
    assert sunday.calls_per_day == pytest.approx(days[6] / (25 / 24), abs=1e-4)
    assert found.weekdays[0].calls_per_day is None
    cells = Counter((at.weekday(), at.hour) for at in inside)
    assert {(WEEKDAYS.index(c.weekday), c.hour): c.calls for c in found.cells if c.calls} == cells
    assert found.busiest_hours[0] == min(h for h in hours if hours[h] == max(hours.values()))


def test_top_values_of_dimensions(store: Store) -> None:
    """Each dimension's most frequent values, with their success; a call without the attribute has the empty value."""
    said = [
        {"SpanAttributes": {"team": f"t{n % 4}"} if n % 5 else {}, "ServiceName": f"s{n % 2}",
         "StatusCode": "Error" if n % 10 == 1 else "Unset"}
        for n in range(100)
    ]  # fmt: skip
    add_spans(store, said)
    found = run("context", store, now=NOW, where={"": ""}, dimensions="team, nothing", limit=3)
    expected = Counter(use["SpanAttributes"].get("team", "") for use in said)
    team = [
        (value.value, value.calls.value) for value in found.summary.top if value.dimension == "team"
    ]
    assert team == sorted(expected.items(), key=lambda item: (-item[1], item[0]))[:3]
    assert [(v.value, v.calls.value) for v in found.summary.top if v.dimension == "nothing"] == [
        ("", 100)
    ]
    services = {
        v.value: v.success_rate.value for v in found.summary.top if v.dimension == "service"
    }
    assert services == {"s0": 1, "s1": 0.8}
    assert listed(" a,,b ,a") == ["a", "b"]


def test_groups_of_another_source_say_so(store: Store) -> None:
    """An attribute that is known for seven days has a note beside thirty days of calls; one that nothing has, too."""
    add_spans(store, [{"ResourceAttributes": {"team": "a"}}])
    at = NOW - timedelta(days=30)
    row = [at, "shop", "buy", "Server", True, "ok", 3, 3.0]
    names = [
        "Time",
        "ServiceName",
        "Operation",
        "Kind",
        "Entry",
        "Outcome",
        "Calls",
        "CallsAdjusted",
    ]
    for table in ("usage_quarter", "usage_day"):
        store.client().insert(table, [row], column_names=names)
    found = run("context", store, now=NOW, since="30d", dimensions="team,nothing")
    assert found.summary.calls.value == 3
    notes = found.source.notes
    assert "team: raw spans are kept for 7 days: older ones are missing" in notes
    assert any(note.startswith("nothing: no use between") for note in notes)
    assert run("context", store, now=NOW, since="30d").source.notes == ()


def test_usual_dimensions_are_listed_where_they_are_counted(store: Store) -> None:
    """Project, file type and agent come without being asked for (DIST-01), from their rollups, if there are any."""
    at = NOW - timedelta(hours=1)
    rows = [
        [at, name, value, "shop", "Server", "ok", n, float(n)]
        for name, value, n in (("project", "blue", 5), ("agent", "bot", 2), ("source", "web", 9))
    ]
    names = [
        "Time",
        "Dimension",
        "Value",
        "ServiceName",
        "Kind",
        "Outcome",
        "Calls",
        "CallsAdjusted",
    ]
    store.client().insert("dimension_quarter", rows, column_names=names)
    found = run("context", store, now=NOW, since="3h").summary
    assert [(v.dimension, v.value, v.calls.value) for v in found.top] == [
        ("project", "blue", 5),
        ("agent", "bot", 2),
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 6), st.integers(0, 23), st.booleans()),
        max_size=40,
    ),
    st.randoms(),
)
def test_shares_add_up(drawn: list[Any], random: Any) -> None:
    """In any order of rows: shares add to 1, the cumulative share ends at 1, cells add up to hours and weekdays."""
    random.shuffle(drawn)
    rows = columns(
        {"service": "s", "operation": o, "outcome": "ok" if well else "error", "weekday": d,
         "hour": h, "arrivals": 1, "calls": 1.0, "variance": 0.0}
        for o, d, h, well in drawn
    )  # fmt: skip
    found = reduced("context", {"outcomes": rows, "times": rows}, WINDOW)
    summary = found["summary"]
    assert summary["calls"] == len(drawn)
    for part in (found["rows"], summary["hours"], summary["weekdays"], summary["cells"]):
        assert sum(record["calls"] for record in part) == len(drawn)
    if drawn:
        assert found["rows"][-1]["cumulative_share"] == 1
        assert sum(row["share"] for row in found["rows"]) == pytest.approx(1, abs=1e-3)
        counts = sorted(Counter(o for o, *_ in drawn).values(), reverse=True)
        needed = next(n for n in range(1, 7) if sum(counts[:n]) >= 0.8 * len(drawn) - 1e-9)
        assert summary["operations_for_80_percent"] == needed
        assert summary["busiest_hours"]


def test_days_know_no_hours() -> None:
    """Where only days of UTC are kept there are no hours, instead of everything at midnight."""
    rows = columns(
        [{"service": "s", "operation": "o", "outcome": "ok", "weekday": 1, "hour": 0,
          "arrivals": 1, "calls": 1.0, "variance": 0.0}]
    )  # fmt: skip
    given_ = {"outcomes": rows, "times": rows}
    found = reduced("context", given_, WINDOW, step=timedelta(days=1))["summary"]
    assert found["hours"] == found["cells"] == found["busiest_hours"] == []
    assert found["busiest_weekday"] == "tuesday"


def test_the_busiest_weekday_is_by_the_day() -> None:
    """Of eight days, the weekday that came twice is not busier for it; a few minutes of one are no day of it."""
    monday = datetime(2026, 11, 16, tzinfo=UTC)
    eight = cell_hours(Window(monday, monday + timedelta(days=8)), ZoneInfo("UTC"))
    calls = np.array([150.0, 90, 100, 90, 90, 90, 90])
    assert busiest_weekday(calls, eight) == 2
    late = cell_hours(
        Window(monday + timedelta(hours=23), monday + timedelta(days=3)), ZoneInfo("UTC")
    )
    assert busiest_weekday(np.array([40.0, 90, 100, 0, 0, 0, 0]), late) == 2
    hour = np.zeros((7, 24))
    hour[3, 5] = 1  # an hour of a Thursday, and no more
    thursday = np.array([0.0, 0, 0, 5, 0, 0, 0])
    assert busiest_weekday(thursday, hour) == 3
    hour[2] = 1  # and the Wednesday before it, on which nobody called
    assert busiest_weekday(thursday, hour) == 3
