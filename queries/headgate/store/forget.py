"""Remove a person from every table that holds people; `usage_*`, `dimension_*` and the ledger hold nobody.

A row is the person's when an attribute that names users names them, in any of its attribute maps, or its UserId or
UserHash is theirs; and when it belongs to a trace of theirs that names no other user. Rows are rewritten (ALTER TABLE
DELETE), not only hidden; the engine removes the files of before within minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headgate.store.parts import require_room

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from headgate.store.client import Store

_MAPS = {
    "otel_traces": ("SpanAttributes", "ResourceAttributes"),
    "otel_logs": ("LogAttributes", "ResourceAttributes", "ScopeAttributes"),
    "events": ("Attributes",),
    "otel_metrics_gauge": ("Attributes", "ResourceAttributes", "ScopeAttributes"),
    "otel_metrics_sum": ("Attributes", "ResourceAttributes", "ScopeAttributes"),
    "otel_metrics_histogram": ("Attributes", "ResourceAttributes", "ScopeAttributes"),
    "otel_metrics_exponential_histogram": ("Attributes", "ResourceAttributes", "ScopeAttributes"),
    "otel_metrics_summary": ("Attributes", "ResourceAttributes", "ScopeAttributes"),
}
_LISTS_OF_MAPS = {"otel_traces": ("Events.Attributes", "Links.Attributes")}
_OWN_MAP = {"otel_traces": "SpanAttributes", "otel_logs": "LogAttributes", "events": "Attributes"}
_BY_HASH = ("user_hour", "user_day", "user_seen")
_TRACES = "forget_trace"

_NAMED = (
    "arrayExists((key, value) -> has({{attributes:Array(String)}}, key) AND has({{ids:Array(String)}}, value),"
    " mapKeys({0}), mapValues({0}))"
)
_NAMES_ANOTHER = (
    "arrayExists((key, value) -> has({{attributes:Array(String)}}, key) AND value != ''"
    " AND NOT has({{nobody:Array(String)}}, value) AND NOT has({{ids:Array(String)}}, value),"
    " mapKeys({0}), mapValues({0}))"
)
_HASHES = "UserHash IN (SELECT xxHash64(arrayJoin({ids:Array(String)})))"
_EXEMPLARS = "Exemplars.FilteredAttributes"


@dataclass(frozen=True, slots=True)
class Person:
    """`ids` are what the person is stored as; `attributes` those that may name users, `nobody` what names none."""

    ids: tuple[str, ...]
    attributes: tuple[str, ...]
    nobody: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of every statement."""
        return {
            "ids": list(self.ids),
            "attributes": list(self.attributes),
            "nobody": list(self.nobody),
        }


def forget(store: Store, person: Person) -> dict[str, int]:
    """Remove a person; return how many rows of each table were removed or, for exemplars, changed.

    What is interrupted is finished by repeating it: rows are found by the person, not by each other, but for the
    traces, which are noted down before anything is removed. Raises StoreError when there is no room to.
    """
    require_room(store, "rewrite rows")
    client = store.client()
    tables = store.tables()
    ask = person.parameters
    traces = _note_traces(store, tables, person)
    found: dict[str, int] = {}
    for table, condition in _conditions(tables, traces):
        count = _count(store, table, condition, ask)
        if count:
            client.command(
                f"ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 2",
                parameters=ask,
            )
            found[table] = count
    for table, columns in tables.items():
        if _EXEMPLARS in columns:
            changed = _blank_exemplars(store, table, ask)
            found |= {f"{table} (exemplars)": changed} if changed else {}
    if traces:
        client.command(f"DROP TABLE IF EXISTS {_TRACES} SYNC")
    return found


def _conditions(
    tables: Mapping[str, Collection[str]],
    traces: bool,  # noqa: FBT001  # one of two shapes
) -> Iterator[tuple[str, str]]:
    """Yield (table, which rows are the person's), for the tables there are."""
    for table, maps in _MAPS.items():
        if table not in tables:
            continue
        alternatives = [_NAMED.format(f"`{name}`") for name in maps]
        alternatives += [
            f"arrayExists(attributes_ -> {_NAMED.format('attributes_')}, `{name}`)"
            for name in _LISTS_OF_MAPS.get(table, ())
        ]
        if "UserHash" in tables[table]:
            alternatives.append(_HASHES)
        if traces and table in _OWN_MAP:
            another = _NAMES_ANOTHER.format(f"`{_OWN_MAP[table]}`")
            alternatives.append(
                f"TraceId != '' AND TraceId IN (SELECT TraceId FROM {_TRACES}) AND NOT {another}"
            )
        yield table, " OR ".join(f"({each})" for each in alternatives)
    for table in _BY_HASH:
        if table in tables:
            yield table, _HASHES
    if traces and "otel_traces_trace_id_ts" in tables:
        gone = f"TraceId IN (SELECT TraceId FROM {_TRACES})"
        yield (
            "otel_traces_trace_id_ts",
            f"{gone} AND TraceId NOT IN (SELECT TraceId FROM otel_traces)",
        )


def _note_traces(store: Store, tables: Mapping[str, Any], person: Person) -> bool:
    """Write the person's traces that name no other user into a table of their own; return whether there is one."""
    sources = [table for table in _OWN_MAP if table in tables]
    if not sources:
        return False
    parts = [
        f"SELECT TraceId, {_NAMED.format(f'`{_OWN_MAP[table]}`')} AS theirs,"
        f" {_NAMES_ANOTHER.format(f'`{_OWN_MAP[table]}`')} AS anothers FROM {table} WHERE TraceId != ''"
        for table in sources
    ]
    client = store.client()
    client.command(
        f"CREATE TABLE IF NOT EXISTS {_TRACES} (TraceId String) ENGINE = MergeTree ORDER BY TraceId"
    )
    client.command(
        f"INSERT INTO {_TRACES} SELECT TraceId FROM ({' UNION ALL '.join(parts)})"
        " GROUP BY TraceId HAVING max(theirs) AND NOT max(anothers)",
        parameters=person.parameters,
    )
    return True


def _count(store: Store, table: str, condition: str, ask: Mapping[str, Any]) -> int:
    text = f"SELECT count() FROM {table} WHERE {condition}"
    return int(store.client().query(text, parameters=dict(ask)).result_rows[0][0])


def _blank_exemplars(store: Store, table: str, ask: Mapping[str, Any]) -> int:
    """Empty the attributes and ids of the exemplars that name the person; their values stay, as part of a metric."""
    client = store.client()
    named = _NAMED.format("attributes_")
    condition = f"arrayExists(attributes_ -> {named}, `{_EXEMPLARS}`)"
    count = _count(store, table, condition, ask)
    if count:
        empty = "CAST(map(), 'Map(LowCardinality(String), String)')"
        ids = ", ".join(
            f"`Exemplars.{name}` = arrayMap((id, attributes_) -> if({named}, '', id),"
            f" `Exemplars.{name}`, `{_EXEMPLARS}`)"
            for name in ("TraceId", "SpanId")
        )
        client.command(
            f"ALTER TABLE {table} UPDATE {ids}, `{_EXEMPLARS}` ="
            f" arrayMap(attributes_ -> if({named}, {empty}, attributes_), `{_EXEMPLARS}`)"
            f" WHERE {condition} SETTINGS mutations_sync = 2",
            parameters=dict(ask),
        )
    return count
