"""The schema's two descriptions agree: the DDL of the migrations and the typed columns."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.store.columns import COLUMNS
from headgate.store.reference import is_computed, page

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from headgate.store import Store
    from headgate.store.columns import Column

# Filled by materialized views or by the program itself, never by a block of the collector.
NOT_WRITTEN = {
    "otel_traces_trace_id_ts",
    "usage_quarter",
    "usage_day",
    "dimension_day",
    "user_day",
    "identity_rule",
    "schema_migration",
    "document",
    "audit",
}


def block_type(table_type: str) -> str:
    """Return the type that a block has for a column of the table: plain T for an aggregate of T."""
    match = re.fullmatch(r"SimpleAggregateFunction\(\w+, (.*)\)", table_type)
    return match[1] if match else table_type


def tables(store: Store) -> set[str]:
    rows = store.client().query(
        "SELECT name FROM system.tables"
        " WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        parameters={"database": store.database},
    )
    return {name for (name,) in rows.result_rows}


def test_columns_equal_the_tables(store: Store):
    """Every written table has exactly the columns, order and types that the collector sends."""
    for table, columns in COLUMNS.items():
        described = store.client().query(f"DESCRIBE TABLE {table}").result_rows
        assert [(c.name, c.type) for c in columns] == [
            (name, block_type(type_))
            for name, type_, _, default, *_ in described
            if not is_computed(default)
        ], table


def test_every_table_is_described(store: Store):
    """A table that a migration adds has typed columns, or is named as filled otherwise."""
    assert set(COLUMNS) | NOT_WRITTEN == tables(store)
    assert not set(COLUMNS) & NOT_WRITTEN


def test_every_table_recognises_a_repeated_block(store: Store):
    """Every table a block reaches, through views too, has a deduplication window of 1000 parts."""
    rows = store.client().query(
        "SELECT name, create_table_query FROM system.tables"
        " WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        parameters={"database": store.database},
    )
    windows = {
        name: re.findall(r"non_replicated_deduplication_window = (\d+)", query)
        for name, query in rows.result_rows
        if name != "schema_migration"
    }
    assert windows == {name: ["1000"] for name in windows}


def test_no_expression_depends_on_the_hosts_time_zone(store: Store):
    """Every DateTime type in the schema names UTC."""
    rows = store.client().query(
        "SELECT table, name, type FROM system.columns WHERE database = {database:String}",
        parameters={"database": store.database},
    )
    bare = [row for row in rows.result_rows if re.search(r"DateTime(?!64)(?!\('UTC'\))", row[2])]
    bare += [row for row in rows.result_rows if re.search(r"DateTime64(?!\(\d, 'UTC'\))", row[2])]
    assert bare == []


def one_row(client: Client, columns: tuple[Column, ...]) -> bytes:
    """Return a Native block of one row of defaults with exactly these names and types."""
    casts = ", ".join(
        f"CAST(defaultValueOfTypeName($${c.type}$$) AS {c.type}) AS `{c.name}`" for c in columns
    )
    block = client.raw_query(f"SELECT {casts}", fmt="Native")
    # The engine leaves the zone out of a plain DateTime's name when it writes; it must read it.
    return block.replace(b"\x08DateTime", b"\x0fDateTime('UTC')")


def test_native_blocks_of_these_types_are_accepted(store: Store):
    """Every table takes a block whose header spells names and types in exactly these bytes."""
    for table, columns in COLUMNS.items():
        block = one_row(store.client(), columns)
        for column in columns:
            name, type_ = column.name.encode(), column.type.encode()
            header = len(name).to_bytes() + name + len(type_).to_bytes() + type_
            assert header in block, (table, column)
        summary = store.client().raw_insert(table, [c.name for c in columns], block, fmt="Native")
        assert summary.written_rows >= 1, table


def test_the_reference_page_is_current(store: Store):
    """docs/reference/tables.md is what the schema says, with every table but our own record."""
    written = (Path(__file__).parent.parent / "docs/reference/tables.md").read_text()
    assert written == page(store), (
        "run python -m headgate.store.reference > docs/reference/tables.md"
    )
    assert set(re.findall(r"^## (\w+)$", written, re.MULTILINE)) == (
        tables(store) - {"schema_migration"}
    )
