"""Bring a database to this program's schema: numbered .sql files, applied in order, recorded, idempotent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from headgate.store.errors import StoreError

if TYPE_CHECKING:
    from headgate.store.client import Store

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migration
(
    Version UInt32,
    Name String,
    AppliedAt DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY Version
"""


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
            statements = tuple(s.strip() for s in entry.read_text().split(";\n") if s.strip())
            found.append(Migration(int(match[1]), match[2], statements))
    return sorted(found, key=lambda m: m.version)


def migrate(store: Store) -> list[Migration]:
    """Apply what is missing and return it; a second call applies nothing.

    Raises StoreError when the database was made by a newer program: downgrading would lose data silently.
    """
    store.create_database()
    client = store.client()
    client.command(_RECORD)
    applied = {row[0] for row in client.query("SELECT DISTINCT Version FROM schema_migration").result_rows}
    known = migrations()
    newest = max((m.version for m in known), default=0)
    if applied and max(applied) > newest:
        raise StoreError(
            f"the database {store.database!r} has schema version {max(applied)}, but this program knows only"
            f" {newest}: upgrade headgate, or use another database"
        )
    missing = [m for m in known if m.version not in applied]
    for migration in missing:
        for statement in migration.statements:
            client.command(statement)
        client.insert("schema_migration", [[migration.version, migration.name]], column_names=["Version", "Name"])
    return missing
