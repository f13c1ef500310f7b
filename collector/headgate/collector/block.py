"""A block: rows of one table in ClickHouse's Native format, inserted whole under one deduplication token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.collector.native import Encoded, encode_block
from headgate.store.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Block:
    """`rows` rows for `table`; `data` is one Native block that names its columns."""

    table: str
    rows: int
    data: bytes


def make_block(table: str, rows: int, columns: Mapping[str, Encoded]) -> Block:
    """Put encoded columns in the order of the schema; raises KeyError when one is missing."""
    declared = COLUMNS[table]
    if len(declared) != len(columns):
        raise KeyError(f"{table} has {len(declared)} columns, {len(columns)} were encoded")
    return Block(
        table, rows, encode_block(rows, [(c.name, c.type, columns[c.name]) for c in declared])
    )
