"""Windows of time, half open: since <= t < until, always in UTC.

A bound is written as a distance back from now (`90s`, `15m`, `24h`, `7d`, `2w`) or as an ISO 8601 time; one without
an offset is UTC. `now` is an argument everywhere: the same words at the same instant are the same window.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headgate.queries.errors import ReportError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_REMEDY = "write a distance back from now such as 24h or 7d, or a time such as 2026-01-01T00:00Z"


@dataclass(frozen=True, slots=True)
class Window:
    """since <= t < until, both aware and in UTC."""

    since: datetime
    until: datetime

    @property
    def days(self) -> float:
        """How long it is, in days."""
        return (self.until - self.since) / timedelta(days=1)

    def aligned(self, resolution: timedelta) -> Window:
        """Return the smallest window of whole steps of `resolution` (counted from 1970) that holds this one."""
        early = (self.since - _EARLIEST) % resolution
        late = -(self.until - _EARLIEST) % resolution
        return Window(self.since - early, self.until + late)


def window(since: str | datetime, until: str | datetime | None, now: datetime) -> Window:
    """Return the window between two bounds, `until` being `now` unless given.

    Raises ReportError for a bound that is no time, outside 1970 to 2099, or not before the other.
    """
    start = bound(since, now, "since")
    end = now.astimezone(UTC) if until is None else bound(until, now, "until")
    if start >= end:
        raise ReportError(f"the window is empty: since {iso(start)} is not before until {iso(end)}")
    return Window(start, end)


def bound(value: str | datetime, now: datetime, name: str) -> datetime:
    """Return one bound of a window; `name` is what messages call it."""
    try:
        moment = value if isinstance(value, datetime) else _parse(value.strip(), now)
    except (ValueError, OverflowError) as error:
        raise ReportError(f"{name} {str(value)!r} is not a time: {_REMEDY}") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not _EARLIEST <= moment < _LATEST:
        raise ReportError(f"{name} {str(value)!r} lies outside the years 1970 to 2099: {_REMEDY}")
    return moment


def _parse(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
    distance = re.fullmatch(r"(\d+)\s*([smhdw])", text)
    if distance:
        return now - timedelta(**{_UNITS[distance[2]]: int(distance[1])})
    return datetime.fromisoformat(text)


def iso(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC, with `Z`, and without a fraction that is zero."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
