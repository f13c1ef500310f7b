"""Periods of a calendar: hours, days, weeks and months of a time zone, also where clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries.errors import ReportError
from headgate.queries.periods import STEPS, periods
from headgate.queries.window import Window, window

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Havana",
    "Pacific/Auckland",
)
windows = st.builds(
    lambda since, hours: Window(since, since + timedelta(hours=hours)),
    st.datetimes(datetime(2019, 12, 1), datetime(2027, 2, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(1, 24 * 400),
)


@given(
    windows,
    st.sampled_from(STEPS[1:]),
    st.sampled_from(ZONES),
    st.sampled_from(["monday", "sunday"]),
)
def test_every_instant_is_in_the_period_that_its_local_date_says(
    asked: Window, step: str, zone: str, week_start: str
) -> None:
    """Against the local calendar itself: equal period number if and only if equal day, week, month, quarter or year."""
    grid = periods(asked, step, ZoneInfo(zone), week_start)
    assert grid.edges[0] <= asked.since < grid.edges[1]
    assert grid.edges[-2] < asked.until <= grid.edges[-1]
    first = int(asked.since.timestamp())
    times = np.linspace(first, int(asked.until.timestamp()) - 1, 50).astype(np.int64)
    numbers = grid.index(times)
    keys = [calendar(int(t), step, zone, week_start) for t in times]
    for i in range(1, len(keys)):
        assert (keys[i] == keys[i - 1]) == (numbers[i] == numbers[i - 1])


def calendar(time_s: int, step: str, zone: str, week_start: str) -> tuple[int, ...]:
    local = datetime.fromtimestamp(time_s, ZoneInfo(zone))
    if step == "week":
        back = local.weekday() if week_start == "monday" else (local.weekday() + 1) % 7
        return ((local.date() - timedelta(days=back)).toordinal(),)
    month = {"day": 1, "month": 1, "quarter": 3, "year": 12}[step]
    parts = (local.year, (local.month - 1) // month)
    return (*parts, local.day) if step == "day" else parts


@given(windows, st.sampled_from(ZONES))
def test_hours_are_hours_and_all_lie_in_a_row(asked: Window, zone: str) -> None:
    """3600 s each; where offsets are whole hours, quarters or halves, every edge is a whole local hour at the start."""
    short = Window(asked.since, min(asked.until, asked.since + timedelta(days=5)))
    grid = periods(short, "hour", ZoneInfo(zone))
    assert set(np.diff(grid.edges_s).tolist()) == {3600}
    assert grid.edges[0].astimezone(ZoneInfo(zone)).minute == 0


def test_days_of_changed_clocks() -> None:
    """Berlin's days of 23 and 25 hours in 2026, and the resolution of rollups that is needed for them."""
    zone = ZoneInfo("Europe/Berlin")
    spring = periods(
        window("2026-03-28", "2026-03-31", datetime(2026, 4, 1, tzinfo=UTC), zone), "day", zone
    )
    autumn = periods(
        window("2026-10-24", "2026-10-27", datetime(2026, 11, 1, tzinfo=UTC), zone), "day", zone
    )
    assert (np.diff(spring.edges_s) // 3600).tolist() == [24, 23, 24]
    assert (np.diff(autumn.edges_s) // 3600).tolist() == [24, 25, 24]
    assert spring.resolution == timedelta(hours=1)
    assert [spring.label(i) for i in range(3)] == ["2026-03-28", "2026-03-29", "2026-03-30"]
    assert spring.whole.all()


def test_the_turn_of_the_year_is_one_week() -> None:
    """The week of 2020-12-28 holds 2021-01-03, and is no other year's (PIT-R1-01); Sundays begin others."""
    asked = window("2020-12-29", "2021-01-05", datetime(2021, 2, 1, tzinfo=UTC))
    assert [periods(asked, "week", ZoneInfo("UTC")).label(i) for i in range(2)] == [
        "2020-12-28",
        "2021-01-04",
    ]
    sundays = periods(asked, "week", ZoneInfo("UTC"), "sunday")
    assert [sundays.label(i) for i in range(len(sundays))] == ["2020-12-27", "2021-01-03"]
    assert sundays.whole.tolist() == [False, False]


def test_too_many_periods_are_refused() -> None:
    """Hours of ten years are no answer that anybody reads."""
    asked = window("2016-01-01", "2026-01-01", datetime(2026, 2, 1, tzinfo=UTC))
    with pytest.raises(ReportError, match="more than 10000 periods of one hour"):
        periods(asked, "hour", ZoneInfo("UTC"))
