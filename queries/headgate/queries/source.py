"""Where an answer comes from: exact rollups when they can give it, raw rows when they cannot.

Reports read relations, not tables. A relation has the columns of its rollup table:

    usage    usage_minute, usage_quarter or usage_day, the finest that still holds the whole window
    users    user_hour or user_day, likewise
    events   events

Rollups answer when every relation has such a table and no attribute is asked for (rollups have none); the window is
widened to whole steps of the coarsest. A table whose steps are coarser than the periods that are asked for (days of a
time zone, hours of a day) does not do. Otherwise `sources/*.sql` derive the same relations from raw spans and named
log records, by the collector's definitions, under the same column names: one report statement serves both, and there
is one definition of each number. There the weight of a row is what sampling made it stand for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

from headgate.store import NoData

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
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
RAW_KEEP = timedelta(days=7)
_PLURAL = {
    timedelta(days=1): "days",
    timedelta(hours=1): "hours",
    timedelta(minutes=15): "quarters",
}
_RAW = {"usage": "raw_usage", "users": "raw_users", "events": "raw_events"}


@dataclass(frozen=True, slots=True)
class Source:
    """A choice: the name behind each relation, the window they answer for, and what to tell the reader.

    `prelude` is empty for tables; for raw rows it is the WITH clause that defines the names.
    """

    relations: Mapping[str, str]
    window: Window
    name: str
    prelude: str = ""
    notes: tuple[str, ...] = ()

    def statement(self, sql: str) -> str:
        """Return a report's statement as it is sent."""
        if not self.prelude:
            return sql
        # A statement may begin with a WITH of its own; there can be only one.
        body, merged = re.subn(r"\A((?:\s*--[^\n]*\n)*)\s*WITH\b", r"\1,", sql)
        return f"WITH {self.prelude}\n{body if merged else sql}"


def choose(
    tables: Mapping[str, Collection[str]],
    relations: Collection[str],
    window: Window,
    now: datetime,
    *,
    by_attribute: bool,
    by: str | None = None,
    resolution: timedelta = timedelta(days=1),
    usage_resolution: timedelta | None = None,
) -> Source:
    """Choose between rollups and raw rows; `tables` are the columns of each table there is.

    `by_attribute` says that rows are filtered by attributes, `by` is the attribute that takes the operation's place,
    `resolution` the coarsest step that will do, `usage_resolution` that of usage. Raises NoData when the database has
    neither.
    """
    if not by_attribute and by is None:
        rollups = _rollups(
            tables, relations, window, now, resolution, usage_resolution or resolution
        )
        if rollups:
            return rollups
    if "otel_traces" in tables:
        return _raw(tables, window, now, by)
    raise NoData(
        "the database has no table to report on: send it OpenTelemetry data with `headgate serve`,"
        " or name another one with --data DIR or --store URL"
    )


def _rollups(
    tables: Mapping[str, Collection[str]],
    relations: Collection[str],
    window: Window,
    now: datetime,
    resolution: timedelta,
    usage_resolution: timedelta,
) -> Source | None:
    chosen: dict[str, Tier] = {}
    notes = []
    for relation in sorted(relations):
        there = [tier for tier in TIERS[relation] if tier.table in tables]
        if not there:
            return None
        needed = usage_resolution if relation == "usage" else resolution
        whole = [tier for tier in there if now - window.aligned(tier.step).since < tier.keep]
        fine = [tier for tier in whole if not needed % tier.step]
        tier = chosen[relation] = (fine or whole or there[-1:])[0]
        if not whole:
            notes.append(f"{tier.table} keeps {tier.keep.days} days: older rows are missing")
        if needed % tier.step:
            notes.append(
                f"{tier.table} has whole {_PLURAL[tier.step]} of UTC: periods are cut there"
            )
    step = max(tier.step for tier in chosen.values())
    return Source(
        relations={relation: tier.table for relation, tier in chosen.items()},
        window=window.aligned(step),
        name=chosen["usage"].table if "usage" in chosen else next(iter(chosen.values())).table,
        notes=tuple(notes),
    )


def _raw(
    tables: Mapping[str, Collection[str]], window: Window, now: datetime, by: str | None
) -> Source:
    spans = "spans" if "Weight" in tables["otel_traces"] else "spans_stock"
    has_events = "EventName" in tables.get("otel_logs", ())
    parts = {"spans": spans, "span_uses": "span_uses"}
    if has_events:
        parts["event_uses"] = "event_uses"
    parts["uses" if by is None else "every_use"] = "uses" if has_events else "uses_of_spans"
    if by is not None:
        parts["uses"] = "uses_by"
    parts |= {name: name for name in _RAW.values()}
    prelude = ",\n".join(f"{name} AS (\n{sql(file)})" for name, file in parts.items())
    notes: tuple[str, ...] = ()
    if spans == "spans" and now - window.since > RAW_KEEP:
        notes = (f"raw spans are kept for {RAW_KEEP.days} days: older ones may be missing",)
    return Source(dict(_RAW), window, "otel_traces", prelude, notes)


def sql(name: str) -> str:
    """Return the text of one file of `sources/`."""
    return files("headgate.queries").joinpath("sources", f"{name}.sql").read_text(encoding="utf-8")
