"""How long each hour of each weekday lasted in a window: what calls are divided by where clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from headgate.queries.window import Window

_QUARTER_S, _DAY_S = 900, 86400
_MONDAY = 3  # 1970 began on a Thursday


def cell_hours(window: Window, zone: ZoneInfo) -> NDArray[np.float64]:
    """Return how many hours of the window have each local weekday (0 is Monday) and hour, float64 [7, 24].

    Counted in quarters of an hour, which every time zone's offset is made of; those at the ends in part.
    """
    since, until = window.since.timestamp(), window.until.timestamp()
    starts = np.arange(since // _QUARTER_S * _QUARTER_S, until, _QUARTER_S)
    lasts = np.minimum(starts + _QUARTER_S, until) - np.maximum(starts, since)
    local = starts + _offsets_s(starts, zone)
    weekday = (local // _DAY_S + _MONDAY).astype(np.int64) % 7
    hour = (local % _DAY_S // 3600).astype(np.int64)
    return (np.bincount(weekday * 24 + hour, lasts, 7 * 24) / 3600).reshape(7, 24)


def busiest_weekday(calls: NDArray[np.float64], lasted: NDArray[np.float64]) -> int:
    """Return the weekday (0 is Monday) with the most calls a day, given its calls [7] and `cell_hours`.

    Weekdays of which the window has less than half a day do not count where others have calls. Days are counted in
    tenths, so that those of 23 and 25 hours are days as well.
    """
    days = np.round(lasted.sum(axis=1) / 24, 1)
    enough = (days >= 0.5) & (calls > 0)
    rate = np.divide(calls, np.maximum(days, 0.1))
    return int(np.where(enough | (not enough.any()), rate, -1.0).argmax())


def _offsets_s(starts: NDArray[np.float64], zone: ZoneInfo) -> NDArray[np.float64]:
    """Return each time's offset; looked up by the day, and one by one on days on which it changes."""
    days = np.unique(starts // _DAY_S)
    known = {day: _offset_s(day * _DAY_S, zone) for day in [*days.tolist(), float(days[-1] + 1)]}
    first = np.array([known[day] for day in days.tolist()])
    changes = np.array(
        [known[day] != known[day + 1] if day + 1 in known else False for day in days]
    )
    number = np.searchsorted(days, starts // _DAY_S)
    found = first[number]
    for place in np.flatnonzero(changes[number]).tolist():
        found[place] = _offset_s(float(starts[place]), zone)
    return found


def _offset_s(time_s: float, zone: ZoneInfo) -> float:
    offset = datetime.fromtimestamp(time_s, UTC).astimezone(zone).utcoffset()
    return (offset or timedelta()).total_seconds()
