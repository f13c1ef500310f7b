"""Ask a store one report's question: choose the source, run the statements, reduce."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headgate.queries.answer import Answer, data_points, without_lists
from headgate.queries.asking import Asking
from headgate.queries.catalog import entry
from headgate.queries.declaration import Ask, Context, Params
from headgate.queries.failure import store_errors
from headgate.queries.params import params_of
from headgate.queries.periods import periods
from headgate.queries.questions import answers
from headgate.queries.recorded import Records, first_record, note_of_new, notes
from headgate.queries.source import sql
from headgate.queries.unknown import refuse_unknown
from headgate.queries.window import ALL_TIME, window, zone_of
from headgate.store import NoData
from headgate.store.dimension import read_dimensions
from headgate.store.identity import read_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headgate.store import Store

DEFAULT_SINCE = "24h"


def answer(
    name: str,
    store: Store,
    *,
    now: datetime,
    since: str | datetime | timedelta = DEFAULT_SINCE,
    until: str | datetime | timedelta | None = None,
    service: str | None = None,
    operation: str | None = None,
    where: Mapping[str, str] | None = None,
    timer: Callable[[], float] | None = None,
    **extra: Any,
) -> Answer:
    """Answer the report `name` for a window (see `headgate.queries.window`; `until` is `now` unless given).

    `since` may be `all`: since the first use that is recorded. `where` narrows to uses with these attributes; `extra`
    are other parameters (`timezone`, `by`, the report's own), also as text. `timer` counts the seconds it takes. Raises
    ReportError for a question that cannot be asked so, NoData for a database without any tables.
    """
    began = timer() if timer else 0.0
    report = entry(name)
    params = params_of(
        report, {"service": service, "operation": operation, "where": where or {}} | extra
    )
    with store_errors():
        tables = store.tables()
    if not tables:
        raise NoData(
            f"there is no data in the database {store.database!r} yet: start `headgate serve` and point an"
            " application at it, or name another store with --data DIR or --store URL"
        )
    with store_errors():
        first = first_record(store, tables, params.service)
        identity = read_identity(store, tables)
        dimensions = read_dimensions(store, tables)
    if since == ALL_TIME:
        since = first or now - timedelta(days=1)
    zone = zone_of(params.timezone)
    asked = window(since, until, now, zone)
    asked = replace(asked, until=min(asked.until, max(now, asked.since)))
    asking = Asking(store, report, tables, now, identity, dimensions, Records(first))
    found = answers(asking, Ask(asked, params))
    own, source = found.own, found.source
    windows = {label: other.source.window for label, other in found.beside.items()}
    reduced = report.report.reduce(
        found.columns,
        Context(
            source.window,
            now,
            params,
            own.periods,
            windows,
            source.step,
            source.people,
            {label: other.source.people for label, other in found.beside.items()},
            {label: other.known for label, other in found.beside.items()},
            found.firsts,
        ),
    )
    if not reduced.rows and (params.service or params.operation) and params.by is None:
        anyone, days = Params(where=params.where), periods(source.window, "day", zone_of("UTC"))
        refuse_unknown(params, source.window, asking.ask(source, sql("known"), anyone, days))
    if params.granularity == "summary":
        reduced = without_lists(reduced)
    known = [(found.asks[o].window, windows[o], other.known) for o, other in found.beside.items()]
    source = replace(source, notes=source.notes + notes(source.window, own.known, known, zone))
    source = replace(source, notes=source.notes + note_of_new(found.firsts, source.window, params))
    took_ms = round((timer() - began) * 1e3, 3) if timer else None
    return Answer(name, params, source, now, reduced, data_points(own.columns), took_ms)
