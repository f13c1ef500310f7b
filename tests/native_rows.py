"""Blocks read back by a reader that is not ours: clickhouse-connect's, told to leave every byte as it is."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.ctypes import RespBuffCls
from clickhouse_connect.driver.query import QueryContext
from clickhouse_connect.driver.transform import NativeTransform

from headgate.collector.writer import insert_block
from headgate.store.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.collector.block import Block
    from headgate.store import Store

Row = dict[str, Any]
Tables = dict[str, list[Row]]

# Strings as bytes, times as numbers, maps as lists of pairs: they may hold a key twice.
FORMATS = {"String": "bytes", "Map": "pairs", "DateTime*": "int"}
# Sums of doubles depend on the order of the additions.
SUMS = {"CallsAdjusted", "DurationSum", "DurationSumSquares"}


class _Once:
    """A response that arrives in one piece."""

    def __init__(self, data: bytes) -> None:
        self.gen = iter([data])
        self.exception_tag = None

    def close(self) -> None:
        """Nothing to close."""


def rows_of(blocks: Iterable[Block]) -> Tables:
    """Return the rows of every table, in the order of the blocks; strings are bytes, times are integers."""
    tables: Tables = defaultdict(list)
    for block in blocks:
        columns = columns_of(block.data)
        assert list(columns) == [column.name for column in COLUMNS[block.table]]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        assert block.rows == len(rows) > 0
        tables[block.table] += rows
    return dict(tables)


def columns_of(data: bytes) -> dict[str, list[Any]]:
    """Return the columns of Native blocks, written one after the other."""
    context = QueryContext("", query_formats=FORMATS, column_oriented=True)
    result = NativeTransform.parse_response(RespBuffCls(_Once(data)), context)
    return {
        name: [plain(value) for value in column]
        for name, column in zip(result.column_names, result.result_columns, strict=True)
    }


def store_blocks(store: Store, segment: str, blocks: Iterable[Block]) -> None:
    """Insert blocks as the collector does."""
    for number, block in enumerate(blocks):
        insert_block(store, f"{segment}/{block.table}/{number}", block)


def plain(value: Any) -> Any:
    """Return a value with its lists and tuples as lists."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return value
    return [plain(item) for item in value]


def differences(
    found: Mapping[str, Sequence[Row]], wanted: Mapping[str, Sequence[Row]]
) -> list[str]:
    """Say which fields of which rows differ, the rows of a table taken in any order; NaN is NaN, -0.0 is not 0.0."""
    said = []
    for table in sorted({*found, *wanted}):
        mine, other = (sorted(rows.get(table, []), key=_order) for rows in (found, wanted))
        if len(mine) != len(other):
            said.append(f"{table}: {len(mine)} rows, not {len(other)}")
        for number, (a, b) in enumerate(zip(mine, other, strict=False)):
            said += [
                f"{table}[{number}].{name}: {a.get(name)!r}, not {b.get(name)!r}"
                for name in {**a, **b}
                if not _same(name, a.get(name), b.get(name))
            ]
    return said


def _order(row: Row) -> str:
    return repr([(name, row[name]) for name in sorted(row) if name not in SUMS])


def _same(name: str, a: Any, b: Any) -> bool:
    if name in SUMS and a is not None and b is not None:
        return math.isclose(a, b, rel_tol=1e-12)
    return repr(a) == repr(b)
