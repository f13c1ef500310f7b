"""Blocks read back by a reader that is not ours: clickhouse-connect's, told to leave every byte as it is."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.ctypes import RespBuffCls
from clickhouse_connect.driver.query import QueryContext
from clickhouse_connect.driver.transform import NativeTransform

from headgate.store.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.collector.block import Block

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
        source = RespBuffCls(_Once(block.data))
        context = QueryContext("", query_formats=FORMATS, column_oriented=True)
        result = NativeTransform.parse_response(source, context)
        columns = COLUMNS[block.table]
        assert result.column_names == tuple(column.name for column in columns)
        assert block.rows == result.row_count > 0
        values = [plain(column) for column in result.result_columns]
        tables[block.table] += [
            dict(zip(result.column_names, row, strict=True)) for row in zip(*values, strict=True)
        ]
    return dict(tables)


def plain(value: Any) -> Any:
    """Return a value with its lists and tuples as lists."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return value
    return [list(map(plain, item)) if isinstance(item, tuple) else plain(item) for item in value]


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
