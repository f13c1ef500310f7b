"""Ask a store one report's question: choose the source, run the statements, reduce."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.queries.answer import Answer, data_points, without_lists
from headgate.queries.catalog import Entry, entry
from headgate.queries.columns import Columns, columns_of
from headgate.queries.declaration import Ask, Context, Params
from headgate.queries.errors import ReportError
from headgate.queries.params import own, params_of
from headgate.queries.periods import Periods, natural_step, periods
from headgate.queries.source import Source, choose, sql
from headgate.queries.stored import answers, possible, stored
from headgate.queries.tier import DIMENSION_TIERS
from headgate.queries.unknown import nothing_has_it, refuse_unknown, unknown_attribute
from headgate.queries.window import ALL_TIME, window, zone_of
from headgate.store import NoData, StoreError
from headgate.store.dimension import attributes_of, read_dimensions
from headgate.store.fingerprint import fingerprint
from headgate.store.identity import IdentityRules, read_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from headgate.store import Store
    from headgate.store.dimension import Dimensions

DEFAULT_SINCE = "24h"
MOST_USES = 500_000
"""Of how many uses attributes or sessions are read; of more, those of some hours, or some sessions whole."""
_REASON_LENGTH = 300


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
    with _store_errors():
        tables = store.tables()
    if not tables:
        raise NoData(
            f"there is no data in the database {store.database!r} yet: start `headgate serve` and point an"
            " application at it, or name another store with --data DIR or --store URL"
        )
    if since == ALL_TIME:
        since = _beginning(store, tables, now)
    asked = window(since, until, now, zone_of(params.timezone))
    with _store_errors():
        identity = read_identity(store, tables)
        dimensions = read_dimensions(store, tables)
    asking = _Asking(store, report, tables, now, identity, dimensions)
    source, grid, columns = asking.answer(Ask(asked, params))
    points = data_points(columns)
    source = asking.told(source, params, columns)
    beside, people_beside, others = {}, {}, {}
    asks = report.report.asks(params, source.window) if report.report.asks else {}
    for label, ask in asks.items():
        if ask.counted_only and not asking.is_dimension(ask.params):
            continue
        other, _, found = asking.answer(ask)
        if ask.params.by != params.by:
            other = asking.told(other, ask.params, found, refuse=False)
        if not ask.quiet:
            others[label] = other
        beside[label], people_beside[label] = other.window, other.people
        columns |= {f"{label}.{query}": part for query, part in found.items()}
    source = source.with_notes_of(others)
    reduced = report.report.reduce(
        columns,
        Context(
            source.window, now, params, grid, beside, source.step, source.people, people_beside
        ),
    )
    if not reduced.rows and (params.service or params.operation) and params.by is None:
        anyone, days = Params(where=params.where), periods(source.window, "day", zone_of("UTC"))
        refuse_unknown(params, source.window, asking.ask(source, sql("known"), anyone, days))
    if params.granularity == "summary":
        reduced = without_lists(reduced)
    took_ms = round((timer() - began) * 1e3, 3) if timer else None
    return Answer(name, params, source, now, reduced, points, took_ms)


def _beginning(store: Store, tables: Mapping[str, Collection[str]], now: datetime) -> datetime:
    """Return when the first use was recorded, a day ago where there is none."""
    table, column = ("usage_day", "Time") if "usage_day" in tables else ("otel_traces", "Timestamp")
    if table in tables:
        with _store_errors():
            first = store.client().command(
                f"SELECT toUnixTimestamp(min({column})) FROM {table} HAVING count() > 0"
            )
        if isinstance(first, int | str) and str(first).isdecimal():
            return datetime.fromtimestamp(int(first), UTC)
    return now - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Asking:
    """One report on one store at one instant."""

    store: Store
    report: Entry
    tables: Mapping[str, Collection[str]]
    now: datetime
    identity: IdentityRules
    dimensions: Dimensions

    def answer(self, ask: Ask) -> tuple[Source, Periods, dict[str, Columns]]:
        """Choose a source for a question and run its statements."""
        params = ask.params
        wanted = self.report.queries
        own = (query for query in wanted if query not in self.report.report.on_request)
        chosen = {q: wanted[q] for q in (own if ask.queries is None else ask.queries)}
        zone = zone_of(params.timezone)
        step = getattr(params, "step", "day")
        if step == "auto":
            step = natural_step(ask.window)
        resolution = periods(ask.window, step, zone, params.week_start).resolution
        relations = self.report.relations | {"usage"}
        by_dimension = self.is_dimension(params)
        rows = self._stored(ask, relations)
        source = (
            rows
            if rows and not by_dimension
            else choose(
                self.tables,
                relations,
                ask.window,
                self.now,
                by_attribute=bool(params.where),
                by=params.by,
                by_dimension=by_dimension,
                rows=rows,
                resolution=resolution,
                usage_resolution=min(self.report.report.resolution, resolution),
            )
        )
        if step == "hour" != getattr(params, "step", "day") and source.step >= timedelta(days=1):
            step = "day"  # hours were only the natural choice, and are not in that table any more
        source = self._thinned(source)
        grid = periods(source.window, step, zone, params.week_start)
        columns = {q: self.ask(source, text, params, grid) for q, text in chosen.items()}
        if source.provisional and any("fingerprint" in found for found in columns.values()):
            columns = self._with_fingerprints(source, params, grid, columns)
        return source, grid, columns

    def _stored(self, ask: Ask, relations: Collection[str]) -> Source | None:
        """Return stored uses as the source of a question about attributes, where they answer it."""
        params = ask.params
        asked: list[Collection[str]] = [[key] for key in params.where]
        if params.by is not None:
            asked.append(attributes_of(params.by, self.dimensions, counted=False))
        if not asked or not possible(self.tables, relations):
            return None
        window = {"since": _instant(ask.window.since), "until": _instant(ask.window.until)}
        with _store_errors():
            found = answers(self.store, window, asked)
        return stored(ask.window, self.now, by=params.by is not None) if found else None

    def is_dimension(self, params: Params) -> bool:
        """Say whether `by` names a dimension that is counted from all traffic, and nothing else was asked for."""
        if params.by is None or params.where or params.operation:
            return False
        table = next((t.table for t in DIMENSION_TIERS if t.table in self.tables), None)
        if table is None:
            return False
        text = f"SELECT 1 FROM {table} WHERE Dimension = {{by:String}} LIMIT 1"
        with _store_errors():
            return bool(self.store.client().query(text, parameters={"by": params.by}).result_rows)

    def told(
        self, source: Source, params: Params, columns: Mapping[str, Columns], *, refuse: bool = True
    ) -> Source:
        """Say so in the source where no use has `by`; raises ReportError to `refuse` what is no dimension."""
        if params.by is None or not source.raw or not nothing_has_it(columns):
            return source
        anyone = replace(params, service=None, operation=None, where={})
        grid = periods(source.window, "day", zone_of("UTC"))
        known = self.ask(source, sql("attribute_names"), anyone, grid)["name"].tolist()
        said = unknown_attribute(params.by, source.window, {*known, *dict(self.dimensions)})
        if refuse and params.by not in dict(self.dimensions):
            raise ReportError(said)
        return replace(source, notes=(*source.notes, said.partition(";")[0]))

    def _thinned(self, source: Source) -> Source:
        """Return the source with events thinned to the largest threshold of the window."""
        asked = {"events", "decisions"} & source.relations.keys()
        if source.raw or not asked or "sampling_history" not in self.tables:
            return source
        parameters = {
            "since": _instant(source.window.since),
            "until": _instant(source.window.until),
            "usage": source.name,
        }
        with _store_errors():
            found = self.store.client().query(sql("sampled"), parameters=parameters).result_rows
        threshold, weighted = found[0]
        return source.thinned(int(threshold), weighted=bool(weighted))

    def ask(self, source: Source, text: str, params: Params, grid: Periods) -> Columns:
        """Run one statement."""
        operation = params.operation or ""
        days = source.days or source.window
        parameters = {
            "since": _instant(source.window.since),
            "until": _instant(source.window.until),
            "service": params.service or "",
            # With `by` the relations' operation is another thing; the filter has been applied below them.
            "operation": operation if params.by is None else "",
            "only_operation": operation,
            "by": params.by or "",
            "by_attributes": attributes_of(
                params.by or "", self.dimensions, counted=source.by_dimension
            ),
            "by_counted": source.by_dimension,
            "timezone": params.timezone,
            "week_start": params.week_start,
            "user_attributes": list(self.identity.user),
            "session_attributes": list(self.identity.session),
            "nobody": list(self.identity.nobody),
            "edges": grid.edges_s[:-1].tolist(),
            "where_keys": list(params.where),
            "where_values": list(params.where.values()),
            "events_threshold": source.events_threshold,
            "most_uses": MOST_USES,
            "days_since": _instant(days.since),
            "days_until": _instant(days.until),
            **source.relations,
            **own(params),
        }
        with _store_errors():
            result = self.store.client().query(source.statement(text), parameters=parameters)
            return columns_of(result)

    def _with_fingerprints(
        self, source: Source, params: Params, grid: Periods, columns: Mapping[str, Columns]
    ) -> dict[str, Columns]:
        """Put the store's fingerprint in place of the provisional key that SQL made of raw errors."""
        errors = self.ask(source, sql("raw_errors"), params, grid)
        parts = (errors["error_type"], errors["stack_trace"], errors["message"])
        made = {
            int(key): fingerprint(*(str(text).encode() for text in texts))
            for key, *texts in zip(errors["provisional"], *parts, strict=True)
        }
        return {
            query: found.replaced(
                "fingerprint",
                np.array([made.get(int(key), 0) for key in found["fingerprint"]], np.uint64),
            )
            if "fingerprint" in found
            else found
            for query, found in columns.items()
        }


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Say in one sentence what a database's long message begins with."""
    try:
        yield
    except ClickHouseError as error:
        reason = str(error).strip().splitlines()[0][:_REASON_LENGTH]
        raise StoreError(f"the store could not answer: {reason}") from error


def _instant(moment: datetime) -> str:
    """Return a time of a UTC window as text for parameters that say 'UTC': numbers of few digits are read as dates."""
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}000"
