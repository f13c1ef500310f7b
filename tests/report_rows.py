"""Raw rows for tests of whole reports, and contexts for tests of reducers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from headgate.queries import Answer, entry
from headgate.queries.columns import Columns
from headgate.queries.declaration import Context
from headgate.queries.periods import periods
from headgate.queries.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.queries.window import Window
    from headgate.store import Store

NOW = datetime(2026, 11, 20, tzinfo=UTC)
NO_ROWS = Columns({})


def add_spans(store: Store, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert raw spans, each a successful entry span of 1 ms five minutes ago unless told otherwise."""
    whole = [
        {
            "Timestamp": NOW - timedelta(minutes=5),
            "ServiceName": "shop",
            "SpanName": "buy",
            "SpanKind": "Server",
            "ParentSpanId": "p",
            "StatusCode": "Unset",
            "Duration": 1_000_000,
            "TraceId": "",
            "SpanId": "",
            "TraceState": "",
            "SpanAttributes": {},
            "ResourceAttributes": {},
            **row,
        }
        for row in rows
    ]
    store.client().insert(
        "otel_traces", [list(row.values()) for row in whole], column_names=list(whole[0])
    )


def columns(rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Return rows as columns, text as objects."""
    listed = list(rows)
    if not listed:
        return NO_ROWS
    found = {}
    for name in listed[0]:
        values = [row[name] for row in listed]
        found[name] = np.array(values, object if isinstance(values[0], str) else None)
    return Columns(found)


def nothing(report: str, window: Window, params: Any) -> dict[str, Columns]:
    """Return no rows for every query of the report, and of what it asks beside."""
    known = entry(report)
    found = dict.fromkeys(known.queries, NO_ROWS)
    if known.report.asks:
        for label, ask in known.report.asks(params, window).items():
            for query in known.queries if ask.queries is None else ask.queries:
                found[f"{label}.{query}"] = NO_ROWS
    return found


def reduced(
    report: str,
    given: Mapping[str, Columns],
    window: Window,
    now: datetime = NOW,
    step: timedelta | str = timedelta(0),
    firsts: Mapping[tuple[str, str], datetime] | None = None,
    **params: Any,
) -> dict[str, Any]:
    """Return the document of what a report's reducer makes of these columns; queries not given have no rows.

    `step` is that of the rows, or, as a word, the report's parameter; `firsts` are the times of first records.
    """
    if isinstance(step, str):
        params["step"], step = step, timedelta(0)
    declared = entry(report).report
    asked = declared.params(**params)
    grid = periods(
        window, getattr(asked, "step", "day"), ZoneInfo(asked.timezone), asked.week_start
    )
    beside = {}
    if declared.asks:
        beside = {label: ask.window for label, ask in declared.asks(asked, window).items()}
    context = Context(window, now, asked, grid, beside, step, firsts=firsts or {})
    result = declared.reduce({**nothing(report, window, asked), **given}, context)
    return Answer(report, asked, Source({}, window, "test"), now, result).to_dict()


def of_tuples(rows: Sequence[tuple[Any, ...]], *names: str) -> Columns:
    """Return rows, each its values in the order of the names, as columns; text as objects."""
    return columns(dict(zip(names, row, strict=True)) for row in rows)
