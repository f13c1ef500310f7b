"""Bring a database to this program's schema: numbered .sql files, applied in order, recorded.

A file is recorded after its last statement. Every statement can be repeated (IF NOT EXISTS), so a
start that was killed half-way through a file is finished by the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from headgate.store.errors import StoreError
from headgate.store.parts import part_settings, require_room, set_part_settings, with_part_settings

if TYPE_CHECKING:
    from headgate.store.client import Store

_RECORD = """CREATE TABLE IF NOT EXISTS schema_migration
(
    Version UInt32,
    Name String,
    AppliedAt DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY Version"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its version, its name and its statements."""

    version: int
    name: str
    statements: tuple[str, ...]


def migrations() -> list[Migration]:
    """Return every migration this program knows, in order of version."""
    found = []
    for entry in files("headgate.store").joinpath("migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", entry.name)
        if match:
            found.append(Migration(int(match[1]), match[2], statements_of(entry.read_text())))
    return sorted(found, key=lambda m: m.version)


def statements_of(text: str) -> tuple[str, ...]:
    """Return the statements of a migration file: each ends with `;` at the end of a line."""
    sql = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return tuple(part.strip() for part in re.split(r";\s*(?:\n|$)", sql) if part.strip())


def migrate(store: Store) -> list[Migration]:
    """Apply what is missing and return it; a second call applies nothing.

    Raises StoreError when the database was made by a newer program (going back would lose data), and when its disk is
    too full to write definitions of tables.
    """
    store.create_database()
    client = store.client()
    settings = part_settings(store)
    client.command(with_part_settings(_RECORD, settings))
    rows = client.query("SELECT DISTINCT Version FROM schema_migration").result_rows
    applied = {version for (version,) in rows}
    known = migrations()
    newest = max((m.version for m in known), default=0)
    if applied and max(applied) > newest:
        raise StoreError(
            f"the database {store.database!r} has schema version {max(applied)}, but this program"
            f" knows only {newest}: upgrade headgate, or use another database"
        )
    missing = [m for m in known if m.version not in applied]
    if missing:
        require_room(store, "change its tables")
    for migration in missing:
        for statement in migration.statements:
            client.command(with_part_settings(statement, settings))
        # As SQL: the first columnar insert of a process costs half a second of imports.
        client.command(
            "INSERT INTO schema_migration (Version, Name) VALUES ({version:UInt32}, {name:String})",
            parameters={"version": migration.version, "name": migration.name},
        )
    set_part_settings(store)
    return missing
