"""The tables that a relation can be read from, the finest first: in which steps, and for how long they keep rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Tier:
    """A table that can serve as a relation: the step of its times, and for how long it keeps rows."""

    table: str
    step: timedelta
    keep: timedelta


_NANOSECOND_ROWS = timedelta(microseconds=1)
TIERS: Mapping[str, tuple[Tier, ...]] = {
    "usage": (
        Tier("usage_minute", timedelta(minutes=1), timedelta(days=3)),
        Tier("usage_quarter", timedelta(minutes=15), timedelta(days=90)),
        Tier("usage_day", timedelta(days=1), timedelta(days=3650)),
    ),
    "users": (
        Tier("user_hour", timedelta(hours=1), timedelta(days=35)),
        Tier("user_day", timedelta(days=1), timedelta(days=400)),
    ),
    "events": (Tier("events", _NANOSECOND_ROWS, timedelta(days=90)),),
}
DIMENSION_TIERS = (
    Tier("dimension_quarter", timedelta(minutes=15), timedelta(days=90)),
    Tier("dimension_day", timedelta(days=1), timedelta(days=730)),
)
