"""Periods of a calendar: the hours, days, weeks, months, quarters and years of a time zone that cover a window.

Days are days of the zone, also those of 23 and 25 hours; weeks begin on the day asked for, and are named by their
first day, so that no week of one year is taken for a week of another (PIT-R1-01). Statements put rows into periods
with `roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)})`, reducers with `Periods.index`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from headgate.queries.errors import ReportError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from numpy.typing import NDArray

    from headgate.queries.window import Window

STEPS = ("hour", "day", "week", "month", "quarter", "year")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_PERIODS = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MONTH = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Periods:
    """Consecutive periods: number i lasts from edges[i] to edges[i + 1] (UTC); they cover the window.

    The first and the last may reach beyond the window: `whole` says which lie within it.
    """

    step: str
    zone: ZoneInfo
    edges: tuple[datetime, ...]
    window: Window

    def __len__(self) -> int:
        return len(self.edges) - 1

    @cached_property
    def edges_s(self) -> NDArray[np.int64]:
        """The edges as seconds since 1970, int64 [len + 1]."""
        return np.array([int((edge - _EPOCH).total_seconds()) for edge in self.edges], np.int64)

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """Which periods lie within the window, bool [len]."""
        return np.array(
            [
                self.window.since <= self.edges[i] and self.edges[i + 1] <= self.window.until
                for i in range(len(self))
            ]
        )

    def index(self, time_s: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of each time's period; times outside all of them are an error."""
        found = np.searchsorted(self.edges_s, time_s, side="right") - 1
        if found.size and (found.min() < 0 or found.max() >= len(self)):
            raise ValueError("a time lies outside the periods")
        return found

    def label(self, number: int) -> str:
        """Return a period's name: the date it begins on, with the time and offset where it is an hour."""
        start = self.edges[number].astimezone(self.zone)
        if self.step == "hour":
            return start.isoformat(timespec="minutes")
        return start.date().isoformat()

    @property
    def resolution(self) -> timedelta:
        """The coarsest step, counted from 1970 in UTC, of which all periods are made."""
        for step in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=15)):
            if not (self.edges_s % int(step.total_seconds())).any():
                return step
        return timedelta(minutes=1)


def periods(window: Window, step: str, zone: ZoneInfo, week_start: str = "monday") -> Periods:
    """Return the periods that cover a window; `step` is one of STEPS or `auto` (see `natural_step`).

    Raises ReportError where there would be more than MOST_PERIODS.
    """
    if step == "auto":
        step = natural_step(window)
    edges = [_floor(window.since, step, zone, week_start)]
    while edges[-1] < window.until:
        edges.append(_next(edges[-1], step, zone))
        if len(edges) > MOST_PERIODS + 1:
            raise ReportError(
                f"the window has more than {MOST_PERIODS} periods of one {step};"
                " ask for a longer step or a shorter window"
            )
    return Periods(step, zone, tuple(edges), window)


def natural_step(window: Window) -> str:
    """Return the step that suits a window: hours up to 2 days, days up to 92, weeks up to 2 years, else months."""
    for most, step in ((2, "hour"), (92, "day"), (731, "week")):
        if window.days <= most:
            return step
    return "month"


def _floor(moment: datetime, step: str, zone: ZoneInfo, week_start: str) -> datetime:
    """Return the start of the period that holds a moment."""
    local = moment.astimezone(zone)
    if step == "hour":
        # In UTC: in the hour that a clock is set back, one local hour begins twice.
        offset = local.utcoffset() or timedelta()
        past = (moment - _EPOCH + offset) % timedelta(hours=1)
        return moment.astimezone(UTC) - past
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if step == "week":
        day -= timedelta(days=(day.weekday() - WEEKDAYS.index(week_start)) % 7)
    elif step != "day":
        months = _FIRST_MONTH[step]
        day = day.replace(day=1, month=(day.month - 1) // months * months + 1)
    return day.astimezone(UTC)


def _next(start: datetime, step: str, zone: ZoneInfo) -> datetime:
    if step == "hour":
        return start + timedelta(hours=1)
    local = start.astimezone(zone).replace(tzinfo=None)
    if local.hour:  # midnight did not exist on that day: a clock was set forward over it
        local = local.replace(hour=0, minute=0)
    if step in {"day", "week"}:
        local += timedelta(days=7 if step == "week" else 1)
    else:
        month = local.month - 1 + _FIRST_MONTH[step]
        local = local.replace(year=local.year + month // 12, month=month % 12 + 1)
    return local.replace(tzinfo=zone).astimezone(UTC)
