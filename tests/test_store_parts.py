"""Tables keep few parts, small ones of the embedded engine in one file each, and whatever is done to parts works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.store import StoreError, migrate, parts
from headgate.store.parts import part_settings, set_part_settings, with_part_settings

if TYPE_CHECKING:
    from headgate.store import Store

MERGE_TREES = (
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
)
DEFINITION = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name ="
STORAGES = (
    "SELECT DISTINCT part_storage_type FROM system.parts"
    " WHERE database = currentDatabase() AND table = 'events' AND active"
)
INSERT = (
    "INSERT INTO events (Timestamp, ServiceName, Operation, UserId, Duration)"
    " SELECT now64(9) - number / 1e3, 'shop', 'pay', toString(number % 7), number FROM numbers(1000)"
)
SUMS = "SELECT count(), sum(Duration) FROM events"


def test_every_table_has_the_settings(store: Store):
    """A migrated database has them in all tables that have parts, and there is nothing left to set."""
    client = store.client()
    tables = {name for (name,) in client.query(MERGE_TREES).result_rows}
    assert len(tables) > 15
    for name in part_settings(store):
        having = client.query(f"{MERGE_TREES} AND position(engine_full, '{name} = ')").result_rows
        assert {table for (table,) in having} == tables
    assert set_part_settings(store) == []


def test_tables_of_earlier_versions_get_the_settings(store: Store):
    """What an older program made is brought up to date by the next start, and what an operator set stays set."""
    client = store.client()
    for name in part_settings(store):
        client.command(f"ALTER TABLE events RESET SETTING {name}")
    client.command("ALTER TABLE ledger MODIFY SETTING merge_selector_base = 7")
    assert migrate(store) == []
    (events,) = client.query(f"{DEFINITION} 'events'").result_rows[0]
    (ledger,) = client.query(f"{DEFINITION} 'ledger'").result_rows[0]
    for name, value in part_settings(store).items():
        assert f"{name} = {value}" in events
    assert "merge_selector_base = 7" in ledger


def test_only_tables_with_parts_get_settings():
    """Statements that make no table, or one without parts, are left as they are."""
    view = "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO t AS SELECT 1"
    assert with_part_settings(view, {"a": 1}) == view
    assert with_part_settings("CREATE TABLE t (a UInt8) ENGINE = Memory", {"a": 1}).endswith(
        "Memory"
    )
    bare = "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a"
    assert with_part_settings(bare, {"a": 1, "b": 2}) == f"{bare}\nSETTINGS a = 1, b = 2"
    assert with_part_settings(f"{bare}\nSETTINGS c = 3", {"a": 1}).endswith("SETTINGS c = 3, a = 1")


def test_a_disk_that_is_nearly_full_keeps_its_definitions(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch
):
    """The engine would not notice half a definition: none is written, and that is said with what is left."""
    monkeypatch.setattr(parts, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(StoreError, match=r"has \d+ MiB left, too little to change its tables"):
        migrate(empty_store)
    assert set(empty_store.tables()) == {"schema_migration"}
    monkeypatch.undo()
    assert migrate(empty_store)
    empty_store.client().command("ALTER TABLE events RESET SETTING merge_selector_base")
    monkeypatch.setattr(parts, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(StoreError, match="too little to change a table"):
        migrate(empty_store)


def test_packed_parts_live_as_others_do(store: Store):
    """Packed parts are read, merged, mutated, taken off and put back without a row more or less."""
    client = store.client()
    for _ in range(3):
        client.command(INSERT)
    assert client.query(STORAGES).result_rows == [("Packed",)]
    assert client.query(SUMS).result_rows == [(3000, 3 * 499_500)]
    client.command("OPTIMIZE TABLE events FINAL")
    client.command("DELETE FROM events WHERE Duration >= 500")
    client.command("ALTER TABLE events DELETE WHERE Duration < 100 SETTINGS mutations_sync = 2")
    left = [(3 * 400, 3 * sum(range(100, 500)))]
    assert client.query(SUMS).result_rows == left
    rows = client.query(
        "SELECT DISTINCT partition_id FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'events' AND active"
    ).result_rows
    for (partition,) in rows:
        client.command(f"ALTER TABLE events DETACH PARTITION ID '{partition}'")
        client.command(f"ALTER TABLE events ATTACH PARTITION ID '{partition}'")
    assert client.query(SUMS).result_rows == left
    assert client.query(STORAGES).result_rows == [("Packed",)]
    assert all(passed for _, passed, _ in client.query("CHECK TABLE events").result_rows)
