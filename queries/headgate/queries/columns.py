"""What a query returned: named NumPy columns of equal length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from clickhouse_connect.driver.query import QueryResult
    from numpy.typing import NDArray


class Columns(Mapping[str, "NDArray[Any]"]):
    """The columns of one result; `len(columns)` counts columns, `rows` rows.

    The engine names no columns when there are no rows, so an empty result has every column, each of length 0.
    """

    __slots__ = ("_columns", "rows")

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._columns = dict(columns)
        self.rows = len(next(iter(self._columns.values()))) if self._columns else 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        if not self.rows:
            return np.empty(0)
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def replaced(self, name: str, values: NDArray[Any]) -> Columns:
        """Return the same columns with another one in the place of `name`."""
        return Columns({**self._columns, name: values})


def columns_of(result: QueryResult) -> Columns:
    """Return a result's columns, each with the type that NumPy has for it, text as objects.

    Not `query_np`: it drops the names of columns that happen to share one type.
    """
    return Columns(
        {
            name: np.array(values, dtype=_dtype(kind.np_type))
            for name, kind, values in zip(
                result.column_names, result.column_types, result.result_columns, strict=False
            )
        }
    )


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(object if name.startswith("U") else name)


class Groups:
    """The distinct pairs of two text columns, in ascending order, and which rows belong to each.

    `labels[g]` is the pair of group g and `number[row]` the group of a row; `row(label)` is a group's number.
    """

    __slots__ = ("labels", "number")

    def __init__(self, *texts: NDArray[Any]) -> None:
        rows = list(zip(*(column.tolist() for column in texts), strict=True))
        self.labels: list[tuple[Any, ...]] = sorted(set(rows))
        place = {label: index for index, label in enumerate(self.labels)}
        self.number = np.array([place[row] for row in rows], np.int64)

    def sum(self, values: NDArray[Any], where: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return the sum of each group, over the rows for which `where` holds."""
        chosen = values if where is None else np.where(where, values, 0)
        return np.bincount(self.number, weights=chosen, minlength=len(self.labels))

    def max(self, values: NDArray[Any], start: int = 0) -> NDArray[np.int64]:
        """Return the largest integer of each group, `start` where there is none larger."""
        result = np.full(len(self.labels), start, np.int64)
        np.maximum.at(result, self.number, values.astype(np.int64))
        return result

    def min(self, values: NDArray[Any], start: int = 2**63 - 1) -> NDArray[np.int64]:
        """Return the smallest integer of each group, `start` where there is none smaller."""
        result = np.full(len(self.labels), start, np.int64)
        np.minimum.at(result, self.number, values.astype(np.int64))
        return result
