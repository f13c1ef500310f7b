"""The tables that a relation can be read from, the finest first: in which steps, and for how long they keep rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from headgate.queries.window import Window


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
PLURAL = {
    timedelta(days=1): "days",
    timedelta(hours=1): "hours",
    timedelta(minutes=15): "quarters",
}


def chosen_tier(
    tiers: Sequence[Tier],
    tables: Collection[str],
    window: Window,
    now: datetime,
    needed: timedelta,
    notes: list[str],
) -> Tier | None:
    """Return the finest tier that holds the window in steps that do, and note what falls short."""
    there = [tier for tier in tiers if tier.table in tables]
    if not there:
        return None
    whole = [tier for tier in there if now - window.aligned(tier.step).since < tier.keep]
    fine = [tier for tier in whole if not needed % tier.step]
    tier = (fine or whole or there[-1:])[0]
    if not whole:
        notes.append(f"{tier.table} keeps {tier.keep.days} days: older rows are missing")
    if needed % tier.step:
        notes.append(f"{tier.table} has whole {PLURAL[tier.step]} of UTC: periods are cut there")
    return tier
