"""Windows of time, half open: since <= t < until, always in UTC.

A bound is written as a distance back from now (`90s`, `15m`, `24h`, `7d`, `2w`), as the name of one (`hourly`, `daily`,
`weekly`, `monthly`, `quarterly`, `yearly`: REQ-USE-06), as `today` or `yesterday` (midnight of the time zone), or as an
ISO 8601 time; one without an offset is in the time zone asked for, else UTC. `now` is an argument everywhere: the
same words at the same instant are the same window.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from headgate.queries.errors import ReportError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
NAMED = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(hours=24),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=30),
    "quarterly": timedelta(days=90),
    "yearly": timedelta(days=365),
}
ALL_TIME = "all"
UTC_ZONE = ZoneInfo("UTC")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
REMEDY = (
    "write a distance back from now such as 24h or 7d, a time such as 2026-01-01T00:00Z, or one of "
    + ", ".join([*NAMED, "today", "yesterday"])
)
"""What a bound may be; from Python it may also be a datetime, or a timedelta back from now."""


@dataclass(frozen=True, slots=True)
class Window:
    """since <= t < until, both aware and in UTC."""

    since: datetime
    until: datetime

    @property
    def days(self) -> float:
        """How long it is, in days."""
        return (self.until - self.since) / timedelta(days=1)

    @property
    def before(self) -> Window:
        """The window of the same length that ends where this one begins; cut at 1970."""
        return Window(max(self.since - (self.until - self.since), _EARLIEST), self.since)

    def aligned(self, resolution: timedelta) -> Window:
        """Return the smallest window of whole steps of `resolution` (counted from 1970) that holds this one."""
        early = (self.since - _EARLIEST) % resolution
        late = -(self.until - _EARLIEST) % resolution
        return Window(self.since - early, self.until + late)

    def back(self, resolution: timedelta) -> Window:
        """Return the window with both ends moved back to whole steps of `resolution`; it may be empty."""
        wide = self.aligned(resolution)
        until = wide.until if wide.until == self.until else wide.until - resolution
        return Window(wide.since, until)

    def whole(self, resolution: timedelta) -> Window:
        """Return the largest window of whole steps of `resolution` within this one; empty, at its start, if none is."""
        early = -(self.since - _EARLIEST) % resolution
        late = (self.until - _EARLIEST) % resolution
        since, until = self.since + early, self.until - late
        return Window(since, until) if since < until else Window(self.since, self.since)


def window(
    since: str | datetime | timedelta,
    until: str | datetime | timedelta | None,
    now: datetime,
    zone: ZoneInfo = UTC_ZONE,
) -> Window:
    """Return the window between two bounds, `until` being `now` unless given.

    Raises ReportError for a bound that is no time, outside 1970 to 2099, or not before the other.
    """
    start = bound(since, now, "since", zone)
    end = now.astimezone(UTC) if until is None else bound(until, now, "until", zone)
    if start >= end:
        raise ReportError(
            f"the window is empty: since {said(start, zone)} is not before until {said(end, zone)}"
        )
    return Window(start, end)


def bound(
    value: str | datetime | timedelta, now: datetime, name: str, zone: ZoneInfo = UTC_ZONE
) -> datetime:
    """Return one bound of a window; `name` is what messages call it, `zone` that of times without an offset."""
    try:
        moment = _moment(value, now, zone)
        moment = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ReportError(f"{name} {str(value)!r} is not a time: {REMEDY}") from error
    if not _EARLIEST <= moment < _LATEST:
        raise ReportError(f"{name} {str(value)!r} lies outside the years 1970 to 2099: {REMEDY}")
    return moment


def _moment(value: object, now: datetime, zone: ZoneInfo) -> datetime:
    """Return the time that a bound means; raises ValueError for what can mean none."""
    if isinstance(value, timedelta):
        return now - value
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return _parse(value.strip(), now, zone)
    raise ValueError(f"{type(value).__name__} is not a time")


def _parse(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    if text == "now":
        return now
    if text in NAMED:
        return now - NAMED[text]
    if text in {"today", "yesterday"}:
        local = now.astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
        return local - timedelta(days=text == "yesterday")
    distance = re.fullmatch(r"(\d+)\s*([smhdw])", text)
    if distance:
        return now - timedelta(**{_UNITS[distance[2]]: int(distance[1])})
    return datetime.fromisoformat(text)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; raises ValueError, with what it takes."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is no time zone; write an IANA name such as Europe/Berlin or UTC"
        ) from error


def said(moment: datetime, zone: ZoneInfo) -> str:
    """Return a time as sentences say it: by the clock of a time zone, and whose it is."""
    local = moment.astimezone(zone)
    exact = "seconds" if local.second else "minutes"
    return f"{local.replace(tzinfo=None).isoformat(' ', exact)} {zone.key}"


def iso(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC, with `Z`, and without a fraction that is zero."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def instant(moment: datetime) -> str:
    """Return a time of a UTC window as text for parameters that say 'UTC': numbers of few digits are read as dates."""
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}000"


def second(moment: datetime) -> str:
    """Return a time of a UTC window likewise, as the first whole second that is not before it."""
    return f"{moment + timedelta(microseconds=-moment.microsecond % 1_000_000):%Y-%m-%d %H:%M:%S}"
