"""Undo what the embedded engine could not write whole, so that its rows can be stored again.

chDB 26.9 takes a write that failed for one that succeeded: where the disk is full, an insert or a merge goes on,
reports success and makes a part visible of which files are short or empty. It only counts such writes, which
`headgate.store.watch` looks at. Then, of every table:

* a part that is not whole is set aside; the parts that it was merged of, which the engine keeps for eight minutes, are
  there instead,
* a part that was inserted since then and whose token is in no log is set aside as well: a repetition would not be
  recognised once the table is opened again,
* tokens without a part are taken out (`headgate.store.ghosts`), so that a repetition is stored.

While a table is repaired it is away for a moment.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.store.ghosts import forget_ghosts, missing, noted, remembers
from headgate.store.whole import is_whole, parts_in, set_aside, set_aside_broken, span_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

    from headgate.store.client import Store

_log = logging.getLogger(__name__)
_ROUNDS = 3
# What is written by others than those who deliver segments, and by nobody a second time.
_NEVER_REPEATED = {"audit", "document", "identity_rule", "schema_migration"}


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair has done: the tables that were changed, and how many parts were set aside for being broken."""

    tables: frozenset[str] = frozenset()
    broken: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """A part as the engine lists it; `shown` if it has rows to read, `recent` if it is of the time that is in doubt."""

    name: str
    path: Path
    active: bool
    shown: bool
    packed: bool
    recent: bool


def repair(engine_path: Path) -> int:
    """Repair every table of an engine that is not open; return how many broken parts and ghosts there were.

    A part that is not packed the engine sets aside itself when it opens; call `repair_open` for its token.
    Raises OSError.
    """
    tables = [path.parent for path in engine_path.glob("store/*/*/format_version.txt")]
    return sum(set_aside_broken(table) + forget_ghosts(table) for table in tables)


def repair_open(store: Store, since_s: float) -> Repaired:
    """Repair the tables of an open, embedded store; what was written before `since_s` (Unix time) had its tokens noted.

    To be called by the thread that inserts, between two inserts. Raises OSError, ClickHouseError, StoreError; what is
    not done then, the next call does.
    """
    tables: set[str] = set()
    broken = 0
    # Again, since parts that are not packed are set aside by the engine, and have left their tokens.
    for _ in range(_ROUNDS):
        found = _once(store, since_s)
        if not found.tables:
            break
        tables |= found.tables
        broken += found.broken
    return Repaired(frozenset(tables), broken)


def _once(store: Store, since_s: float) -> Repaired:
    client = store.client()
    away = client.query(
        "SELECT table FROM system.detached_tables"
        " WHERE database = {database:String} AND NOT is_permanently",
        parameters={"database": store.database},
    )
    for (name,) in away.result_rows:  # a repair was cut off
        client.command(f"ATTACH TABLE `{name}`")
    found = client.query(
        "SELECT name, data_paths[1] FROM system.tables"
        " WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        parameters={"database": store.database},
    )
    tables = {str(name): Path(path) for name, path in found.result_rows}
    tokens = {name: noted(path) for name, path in tables.items()}
    # Asked after the tokens were read: what is noted now is there.
    parts = _parts(store, client, since_s)
    broken, changed = 0, set()
    for name, path in tables.items():
        own = parts.get(name, [])
        repeated = name not in _NEVER_REPEATED and remembers(path)
        unnoted = _unnoted(tokens[name], own) if repeated else []
        if not (unnoted or _has_broken(client, name, own) or _has_ghosts(tokens[name], own)):
            continue
        client.command(f"DETACH TABLE `{name}` SYNC")
        try:
            broken += set_aside_broken(path)
            _set_aside_unnoted(path, unnoted)
            forget_ghosts(path)
        finally:
            client.command(f"ATTACH TABLE `{name}`")
        changed.add(name)
    return Repaired(frozenset(changed), broken)


def _parts(store: Store, client: Client, since_s: float) -> dict[str, list[_Part]]:
    """Return the parts by table, those that were merged or given up included."""
    rows = client.query(
        "SELECT table, name, path, active, active AND rows, part_storage_type = 'Packed',"
        " modification_time >= fromUnixTimestamp({since:Int64}) FROM system.parts"
        " WHERE database = {database:String}",
        parameters={"database": store.database, "since": int(since_s)},
    ).result_rows
    parts: dict[str, list[_Part]] = {}
    for table, name, path, *flags in rows:
        part = _Part(str(name), Path(path), *map(bool, flags))
        parts.setdefault(str(table), []).append(part)
    return parts


def _has_ghosts(names: set[str], parts: Sequence[_Part]) -> bool:
    # The engine's own list: what it has given up may lie about for a while.
    there = [span for part in parts if part.active and (span := span_of(part.name))]
    return bool(missing(names, there))


def _has_broken(client: Client, table: str, parts: Sequence[_Part]) -> bool:
    return any(not _is_sound(client, table, part) for part in parts if part.active)


def _is_sound(client: Client, table: str, part: _Part) -> bool:
    if part.packed:
        return is_whole(part.path)
    if not part.recent:
        return True
    try:
        rows = client.query(f"CHECK TABLE `{table}` PART '{part.name}'").result_rows
    except ClickHouseError as error:
        _log.warning("%s: part %s cannot be checked: %s", table, part.name, error)
        return False  # the engine finds out when it opens the table again
    return all(str(passed) in {"1", "True"} for _, passed, *_ in rows)


def _unnoted(names: set[str], parts: Sequence[_Part]) -> list[str]:
    """Return the recent parts of single inserts whose token is in no log, if their rows can be read, merged or not."""
    spans = {span_of(name) for name in names}
    shown = [span for part in parts if part.shown and (span := span_of(part.name))]
    return [
        part.name
        for part in parts
        if part.recent
        and (span := span_of(part.name))
        and span.single
        and span not in spans
        and any(each.holds(span) for each in shown)
    ]


def _set_aside_unnoted(table: Path, names: Sequence[str]) -> None:
    """Set parts aside, and those that they were merged into: the others of which these were made are there."""
    for name in names:
        inserted = span_of(name)
        for other, span in parts_in(table).items():
            if inserted is not None and span.holds(inserted):
                set_aside(table, other, "ignored")
                _log.warning(
                    "%s: part %s is kept in detached/, since it would be stored twice: its token could not be noted",
                    table, other,
                )  # fmt: skip
