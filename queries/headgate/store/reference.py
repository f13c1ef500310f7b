"""The tables' reference page, written from the schema itself.

`python -m headgate.store.reference > docs/reference/tables.md` brings the page up to date; a test
fails when it is not.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.store.client import embedded_store
from headgate.store.columns import COLUMNS
from headgate.store.migrate import migrate, migrations

if TYPE_CHECKING:
    from headgate.store.client import Store

_HEADER = """\
# Tables

One ClickHouse database holds everything, `headgate` by default. This page is generated from the
schema: change a migration, then run `python -m headgate.store.reference > docs/reference/tables.md`.

All times are UTC, whatever the host's time zone. Rows expire after the time that *kept* names.
Tables *filled by the collector* take each block once, however often it is sent, and so do the
tables that a view fills behind them.
"""


def page(store: Store) -> str:
    """Return the page for a migrated store, tables in the order in which they were made."""
    purposes = _purposes()
    rows = store.client().query(
        "SELECT name, engine, partition_key, sorting_key, engine_full FROM system.tables"
        " WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        parameters={"database": store.database},
    )
    facts = {name: rest for name, *rest in rows.result_rows}
    sections = [_HEADER]
    for table, purpose in purposes.items():
        engine, partition, order, full = facts[table]
        kept = re.search(r" TTL .*? \+ toInterval(\w+)\((\d+)\)", full)
        columns = store.client().query(f"DESCRIBE TABLE {table}").result_rows
        sections.append(
            "\n".join(
                [
                    f"## {table}\n",
                    f"{purpose}\n",
                    f"- engine: {engine}",
                    f"- filled by: {_filled_by(table)}",
                    *([f"- partitioned by: `{partition}`"] if partition else []),
                    f"- ordered by: `{order}`",
                    *([f"- kept: {kept[2]} {kept[1].lower()}s"] if kept else []),
                    "",
                    "| column | type |",
                    "|---|---|",
                    *(
                        f"| {name} | `{type_}`{', computed' if is_computed(default) else ''} |"
                        for name, type_, _, default, *_ in columns
                    ),
                    "",
                ]
            )
        )
    return "\n".join(sections)


def _filled_by(table: str) -> str:
    if table in COLUMNS:
        return "the collector"
    return "commands and the server" if table in {"document", "audit"} else "a view"


def is_computed(default: str) -> bool:
    """Return whether a column's default is an expression, and no number that stands for rows of earlier versions."""
    return bool(default) and not re.fullmatch(r"[\d.]+", default)


def _purposes() -> dict[str, str]:
    """Return what the comment directly above each table's definition says."""
    found: dict[str, str] = {}
    folder = files("headgate.store").joinpath("migrations")
    for migration in migrations():
        text = folder.joinpath(f"{migration.version:04}_{migration.name}.sql").read_text()
        for comment, table in re.findall(
            r"((?:^-- .*\n)+)CREATE TABLE IF NOT EXISTS (\w+)", text, re.MULTILINE
        ):
            found[table] = re.sub(r"^-- ", "", comment, flags=re.MULTILINE).strip()
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        fresh = embedded_store(Path(directory), "headgate")
        migrate(fresh)
        sys.stdout.write(page(fresh))
        fresh.close()
