"""Migrations: numbered, recorded, idempotent, finished after a kill, and never a step back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from headgate.store import StoreError, migrate
from headgate.store.migrate import migrations, statements_of

if TYPE_CHECKING:
    from headgate.store import Store

ALL = [statement for migration in migrations() for statement in migration.statements]


def definitions(store: Store) -> dict[str, str]:
    """Return each table's and view's definition, without the database's name."""
    rows = store.client().query(
        "SELECT name, create_table_query FROM system.tables WHERE database = {database:String}",
        parameters={"database": store.database},
    )
    return {name: query.replace(f"{store.database}.", "") for name, query in rows.result_rows}


def test_second_migration_applies_nothing(empty_store: Store):
    """A fresh database takes every migration once and records it; the next start does nothing."""
    first = migrate(empty_store)
    versions = [m.version for m in first]
    assert versions == sorted(set(versions))
    before = definitions(empty_store)
    assert migrate(empty_store) == []
    assert definitions(empty_store) == before
    rows = empty_store.client().query("SELECT Version, Name FROM schema_migration ORDER BY Version")
    assert rows.result_rows == [(m.version, m.name) for m in first]


def test_newer_schema_is_refused(store: Store):
    """A database of a newer program is left alone, with a sentence that says what to do."""
    store.client().command("INSERT INTO schema_migration (Version, Name) VALUES (9999, 'later')")
    with pytest.raises(StoreError) as caught:
        migrate(store)
    assert str(caught.value) == (
        f"the database '{store.database}' has schema version 9999, but this program knows only"
        f" {migrations()[-1].version}: upgrade headgate, or use another database"
    )


@pytest.mark.parametrize("done", [1, 2, 9, len(ALL) - 1])
def test_half_applied_migration_is_finished(store: Store, empty_store: Store, done: int):
    """A start that died after any number of statements is finished by the next one."""
    whole = definitions(store)
    client = store.client()
    for name in whole:
        client.command(f"DROP TABLE `{name}` SYNC")
    for statement in ALL[:done]:
        client.command(statement)
    assert migrate(store) == migrations(), "nothing was recorded, so everything is repeated"
    assert definitions(store) == whole


def test_every_statement_can_be_repeated():
    """Each statement creates or adds with IF NOT EXISTS, or says how a column is packed: repeating a file is safe."""
    assert len(ALL) > 15
    creates = r"CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS \w+"
    adds = r"ALTER TABLE \w+ ADD (COLUMN|INDEX) IF NOT EXISTS \w+"
    packs = r"ALTER TABLE \w+ MODIFY COLUMN \w+ CODEC\(\w+\)$"
    for statement in ALL:
        assert re.match(rf"{creates}|{adds}|{packs}", statement), statement


def test_statements_are_cut_at_semicolons_outside_comments():
    """A semicolon in a comment or inside a line cuts nothing; comments are not sent."""
    text = "-- one; two;\nSELECT ';x'\n;\n\n-- end;\n  -- more;\n  SELECT 2;"
    assert statements_of(text) == ("SELECT ';x'", "SELECT 2")
