"""Ask a store one report's question: choose the source, run the statements, reduce."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from clickhouse_connect.driver.exceptions import ClickHouseError
from pydantic import TypeAdapter, ValidationError

from headgate.queries.answer import Answer
from headgate.queries.catalog import Entry, entry
from headgate.queries.columns import Columns, columns_of
from headgate.queries.declaration import Context, Params
from headgate.queries.errors import ReportError, choices, guess
from headgate.queries.source import Source, choose, sql
from headgate.queries.window import iso, window
from headgate.store import NoData, StoreError
from headgate.store.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from headgate.store import Store

DEFAULT_SINCE = "24h"
_REASON_LENGTH = 300


def run(
    name: str,
    store: Store,
    *,
    now: datetime,
    since: str | datetime = DEFAULT_SINCE,
    until: str | datetime | None = None,
    service: str | None = None,
    operation: str | None = None,
    where: Mapping[str, str] | None = None,
    **extra: Any,
) -> Answer:
    """Answer the report `name` for a window (see `headgate.queries.window`; `until` is `now` unless given).

    `where` narrows to uses with these attributes; `extra` are the report's own parameters, also as text.
    Raises ReportError for a question that cannot be asked so, NoData for a database without any tables.
    """
    report = entry(name)
    asked = window(since, until, now)
    params = _params(
        report, {"service": service, "operation": operation, "where": where or {}} | extra
    )
    with _store_errors():
        tables = store.tables()
    if not tables:
        raise NoData(
            f"there is no data in the database {store.database!r} yet: start `headgate serve` and point an"
            " application at it, or name another store with --data DIR or --store URL"
        )
    relations = report.relations | {"usage"}
    source = choose(tables, relations, asked, now, by_attribute=bool(params.where))
    columns = {query: _ask(store, source, text, params) for query, text in report.queries.items()}
    if source.prelude and any("fingerprint" in found for found in columns.values()):
        columns = _with_fingerprints(store, source, params, columns)
    reduced = report.report.reduce(columns, Context(source.window, now, params))
    if not reduced.rows and (params.service or params.operation):
        _refuse_unknown(store, source, params)
    return Answer(name, params, source, now, reduced)


def _params(report: Entry, given: Mapping[str, Any]) -> Params:
    known = [field.name for field in fields(report.report.params)]
    for name in given:
        if name not in known:
            raise ReportError(
                f"the report {report.name!r} has no parameter {name!r}; it has: {choices(name, known)}"
            )
    try:
        return TypeAdapter(report.report.params).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"][0].lower() + first["msg"][1:]
        raise ReportError(f"{place} {first['input']!r} is not possible: {reason}") from error


def _ask(store: Store, source: Source, text: str, params: Params) -> Columns:
    own = {
        field.name: getattr(params, field.name)
        for field in fields(params)
        if field.name not in {"service", "operation", "where"}
    }
    parameters = {
        "since": _instant(source.window.since),
        "until": _instant(source.window.until),
        "service": params.service or "",
        "operation": params.operation or "",
        "where_keys": list(params.where),
        "where_values": list(params.where.values()),
        **source.relations,
        **own,
    }
    with _store_errors():
        return columns_of(store.client().query(source.statement(text), parameters=parameters))


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


def _with_fingerprints(
    store: Store, source: Source, params: Params, columns: Mapping[str, Columns]
) -> dict[str, Columns]:
    """Put the store's fingerprint in place of the provisional key that SQL made of raw errors."""
    errors = _ask(store, source, sql("raw_errors"), params)
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


def _refuse_unknown(store: Store, source: Source, params: Params) -> None:
    """Raise ReportError when a name was asked for that nothing in the window has, though other names were used."""
    anyone = Params(where=params.where)
    known = _ask(store, source, sql("known"), anyone)
    pairs = list(zip(known["service"].tolist(), known["operation"].tolist(), strict=True))
    when = f"between {iso(source.window.since)} and {iso(source.window.until)}"
    services = {service for service, _ in pairs}
    if params.service and services and params.service not in services:
        raise ReportError(
            f"no service {params.service!r} was used {when}{guess(params.service, services)}"
        )
    operations = {o for s, o in pairs if not params.service or s == params.service}
    if params.operation and operations and params.operation not in operations:
        of = f" of {params.service}" if params.service else ""
        raise ReportError(
            f"no operation {params.operation!r}{of} was used {when}"
            f"{guess(params.operation, operations)}"
        )
