"""From when on there are records, and how a window is cut to them: before, everything is missing, not zero.

One rule cuts every window of rollups, whatever is asked in it, so that reports count the same calls: it begins on a
whole minute, from a day's length on on a quarter of an hour (the steps of what counts dimensions), and on a day of UTC
where only days are kept; it ends as it was asked for, on a step too, but never after now. Then it loses what is older
than the store's first record, or the service's that is asked about, and what its rows are not kept for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from headgate.queries.source import sql
from headgate.queries.tier import DIMENSION_TIERS, TIERS
from headgate.queries.window import said

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from zoneinfo import ZoneInfo

    from headgate.queries.declaration import Params
    from headgate.queries.source import Source
    from headgate.queries.window import Window
    from headgate.store import Store

Known = Literal["whole", "part", "nothing"]
"""How much of a window there can be records of."""
_LONG = timedelta(days=1)
_BY_DAYS = "usage_day"
_NAMED = 3
_EMPTY = "(empty)"


def cut(
    window: Window,
    tables: Collection[str],
    now: datetime,
    *,
    by_dimension: bool = False,
    earlier: bool = False,
) -> Window:
    """Return a window on whole steps; as it is where nothing counts by steps.

    An `earlier` window is one that another follows: its end moves back as well, for the steps there may be coarser.
    """
    tiers = [t for t in (DIMENSION_TIERS if by_dimension else TIERS["usage"]) if t.table in tables]
    if not tiers:
        return window
    kept = [t for t in tiers if now - window.aligned(t.step).since < t.keep] or tiers[-1:]
    step = kept[0].step
    if window.until - window.since >= _LONG:
        step = max(step, DIMENSION_TIERS[0].step)
    if earlier:
        back = window.back(step)
        return back if back.since < back.until else window
    wide = window.aligned(step)
    return replace(wide, until=min(wide.until, max(window.until, now)))


def first_record(
    store: Store, tables: Collection[str], service: str | None = None
) -> datetime | None:
    """Return the quarter of an hour of the first use of the store, or of a service; None without any."""
    if _BY_DAYS not in tables:
        return (
            _first(store, "otel_traces", "Timestamp", service) if "otel_traces" in tables else None
        )
    day = _first(store, _BY_DAYS, "Time", service)
    if day is None or "usage_quarter" not in tables:
        return day
    within = f"Time < toDateTime({int(day.timestamp())}, 'UTC') + INTERVAL 1 DAY"
    return _first(store, "usage_quarter", "Time", service, within) or day


def _first(
    store: Store, table: str, column: str, service: str | None, within: str = "1"
) -> datetime | None:
    found = (
        store.client()
        .query(
            f"SELECT toUnixTimestamp(min({column})) FROM {table}"
            f" WHERE {within} AND ({{service:String}} = '' OR ServiceName = {{service:String}})"
            " HAVING count() > 0",
            parameters={"service": service or ""},
        )
        .result_rows
    )
    return datetime.fromtimestamp(int(found[0][0]), UTC) if found else None


def first_records(
    store: Store,
    tables: Collection[str],
    since: datetime,
    now: datetime,
    dimension: str | None = None,
) -> dict[tuple[str, str], datetime]:
    """Return the time of the first record of each service and operation, or value of a counted dimension.

    To a quarter of an hour from `since` on, where those are kept, else to a day of UTC; empty where nothing counts by
    days.
    """
    quarters, days = DIMENSION_TIERS if dimension else TIERS["usage"][1:]
    if not {quarters.table, days.table} <= set(tables):
        return {}
    since = max(since, now - quarters.keep + days.step)
    found = store.client().query(
        sql("firsts"),
        parameters={
            "days": days.table,
            "quarters": quarters.table,
            "label": "Value" if dimension else "Operation",
            "kind": "Dimension" if dimension else "ServiceName",
            "used": "Calls" if dimension else "Entry",
            "by": dimension or "",
            "quarters_since": since.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0),
        },
    )
    return {(s, o): datetime.fromtimestamp(int(first), UTC) for s, o, first in found.result_rows}


@dataclass(frozen=True, slots=True)
class Records:
    """From when on there are records of what is asked about; None where that is not known."""

    first: datetime | None

    def within(self, window: Window) -> tuple[Window, Known]:
        """Return the part of a window that there can be records of; the window itself where there are none."""
        if self.first is None or self.first <= window.since:
            return window, "whole"
        if self.first >= window.until:
            return window, "nothing"
        return replace(window, since=self.first), "part"

    def kept(self, source: Source, now: datetime) -> Records:
        """Return the same of a source: rows that it no longer keeps are no records.

        Where nothing was ever counted, the rows that there are tell more than for how long they are kept.
        """
        if source.keep is None or self.first is None:
            return self
        return Records(max(self.first, now - source.keep))


def note_of_new(
    firsts: Mapping[tuple[str, str], datetime], window: Window, params: Params
) -> tuple[str, ...]:
    """Return what to tell of operations (or values of a dimension) whose first record lies in a window."""
    new = sorted(
        f"{service} {operation or _EMPTY}"
        for (service, operation), first in firsts.items()
        if window.since < first < window.until
        and (not params.service or service == params.service)
        and (not params.operation or operation == params.operation)
    )
    if not new:
        return ()
    rest = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
    return (
        f"first recorded in this window: {', '.join(new[:_NAMED])}{rest}; what was before is missing, not zero",
    )


def notes(
    window: Window,
    known: Known,
    others: Iterable[tuple[Window, Window, Known]],
    zone: ZoneInfo,
) -> tuple[str, ...]:
    """Return what to tell of a window, and of the one before, where there are not records of all of it.

    `others` are windows that were asked beside: as they were asked, as they were answered, and what is known of them.
    """
    told = []
    if known == "part":
        told.append(
            f"there are records from {said(window.since, zone)} on: what was before is missing, not zero"
        )
    elif known == "nothing":
        told.append("nothing is kept of this window: it is missing, not zero")
    for asked, answered, less in others:
        if less != "whole" and asked == window.before:
            since = "" if less == "nothing" else f" from before {said(answered.since, zone)}"
            told.append(
                f"of the window before there is no record{since}: how much changed is not known"
            )
    return tuple(told)
