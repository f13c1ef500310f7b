"""What a query returned: named NumPy columns of equal length."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from clickhouse_connect.driver.query import QueryResult
    from numpy.typing import NDArray


class Columns(Mapping[str, "NDArray[Any]"]):
    """The columns of one result; `len(columns)` counts columns, `rows` rows.

    The engine names no columns when there are no rows, so an empty result has every column, each of length 0; `names`
    are those it has named.
    """

    __slots__ = ("_columns", "_sums", "names", "rows")

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._columns = dict(columns)
        self.names = self._columns.keys()
        self._sums: dict[str, float] = {}
        self.rows = len(next(iter(self._columns.values()))) if self._columns else 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        if not self.rows and name not in self._columns:
            return np.empty(0)
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return not self.rows or name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def chosen(self, rows: NDArray[Any] | slice) -> Columns:
        """Return some of the rows: a mask, their numbers, or a slice."""
        return _Chosen(self, rows)

    def sum(self, name: str) -> float:
        """Return the sum of a column; 0 without rows."""
        if name not in self._sums:
            self._sums[name] = float(self[name].sum())
        return self._sums[name]

    def replaced(self, name: str, values: NDArray[Any]) -> Columns:
        """Return the same columns with another one in the place of `name`."""
        return Columns({**self, name: values})


class _Cut(Columns):
    """Some rows of other columns; a column is cut when it is first asked for, as few of them are."""

    __slots__ = ("_source",)

    def __init__(self, source: Columns, rows: int) -> None:
        self._source, self.names, self.rows = source, source.names, rows
        self._columns = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            if not self.rows and name not in self.names:
                return np.empty(0)
            self._columns[name] = self._cut(self._source[name])
        return self._columns[name]

    @abstractmethod
    def _cut(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the rows of a whole column that are these."""


class _Chosen(_Cut):
    """Rows by a mask, their numbers, or a slice."""

    __slots__ = ("_which",)

    def __init__(self, source: Columns, which: NDArray[Any] | slice) -> None:
        if isinstance(which, slice):
            rows = len(range(*which.indices(source.rows)))
        else:
            rows = int(np.count_nonzero(which)) if which.dtype == bool else len(which)
        super().__init__(source, rows)
        self._sums, self._which = {}, which

    def _cut(self, values: NDArray[Any]) -> NDArray[Any]:
        return values[self._which]


class _Part(_Cut):
    """One of many parts, each a stretch of rows; a column's sums are made for all of them at once."""

    __slots__ = ("_number", "_start", "_totals")

    def __init__(
        self, source: Columns, start: int, rows: int, number: int, totals: _Totals
    ) -> None:
        super().__init__(source, rows)
        self._start, self._number, self._totals = start, number, totals

    def _cut(self, values: NDArray[Any]) -> NDArray[Any]:
        return values[self._start : self._start + self.rows]

    def sum(self, name: str) -> float:
        return self._totals(name)[self._number]


class _Totals:
    """Sums of columns over stretches of rows that begin at `starts`."""

    def __init__(self, columns: Columns, starts: NDArray[np.int64]) -> None:
        self._columns, self._starts = columns, starts
        self._found: dict[str, list[float]] = {}

    def __call__(self, name: str) -> list[float]:
        if name not in self._found:
            values = self._columns[name]
            counted = values.astype(np.int64) if values.dtype == bool else values
            self._found[name] = np.add.reduceat(counted, self._starts).astype(float).tolist()
        return self._found[name]


def columns_of(result: QueryResult) -> Columns:
    """Return a result's columns, each with the type that NumPy has for it, text as objects.

    Array(Float64) becomes rows x longest. Not `query_np`: it drops the names of columns that happen to share one type.
    """
    return Columns(
        {
            name: _filled(values)
            if kind.name == "Array(Float64)"
            else np.array(values, dtype=_dtype(kind.np_type))
            for name, kind, values in zip(
                result.column_names, result.column_types, result.result_columns, strict=False
            )
        }
    )


def _filled(lists: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return lists of numbers as rows of one length, zeros where a list is shorter."""
    found = np.zeros((len(lists), max(map(len, lists), default=0)))
    for row, numbers in zip(found, lists, strict=True):
        row[: len(numbers)] = numbers
    return found


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(object if name.startswith("U") else name)


def stacked(several: Iterable[Columns]) -> Columns:
    """Return the rows of one or more results of one statement, one result's after another's."""
    results = list(several)
    found = [columns for columns in results if columns.rows] or results[:1]
    if len(found) == 1:
        return found[0]
    return Columns({name: _stacked([part[name] for part in found]) for name in found[0]})


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays one after another; lists of numbers with zeros at the end of the shorter ones, as in `_filled`."""
    if arrays[0].ndim > 1:
        longest = max(array.shape[1] for array in arrays)
        arrays = [np.pad(array, ((0, 0), (0, longest - array.shape[1]))) for array in arrays]
    return np.concatenate(arrays)


def parts(
    columns: Columns, *by: str, ordered: str | None = None
) -> list[tuple[tuple[Any, ...], Columns]]:
    """Return the rows of each different value of the columns `by`: (values, rows), in ascending order of values.

    The rows of a part are in their order in `columns`, or in that of the column `ordered`.
    """
    if not columns.rows:
        return []
    key, most = np.zeros(columns.rows, np.int64), 1
    # There is room for two columns of 2^31 distinct values each.
    for name in by:
        number, size = numbered(columns[name])
        key, most = key * size + number, most * size
    # Up to 16 bits NumPy sorts by digits: ten times as fast.
    key = key.astype(np.min_scalar_type(most))
    order = np.lexsort((columns[ordered], key)) if ordered else np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    values = [columns[name][order[starts]].tolist() for name in by]
    stretches = zip(starts.tolist(), np.diff([*starts, columns.rows]).tolist(), strict=True)
    arranged = columns.chosen(order)
    totals = _Totals(arranged, starts)
    return [
        (label, _Part(arranged, *stretch, number, totals))
        for number, (label, stretch) in enumerate(
            zip(zip(*values, strict=True), stretches, strict=True)
        )
    ]


def numbered(values: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Return the number of each row's value among the distinct ones, ascending, and how many there are.

    Text is told apart by hash, in one pass, not by sorting every row.
    """
    if values.dtype != object:
        distinct, number = np.unique(values, return_inverse=True)
        return number, distinct.size
    place = defaultdict[Any, int](itertools.count().__next__)
    number = np.fromiter(map(place.__getitem__, values.tolist()), np.int64, len(values))
    rank = np.empty(len(place), np.int64)
    rank[[place[value] for value in sorted(place)]] = np.arange(len(place))
    return rank[number], len(place)
