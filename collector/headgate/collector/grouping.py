"""Group rows by equal keys, and reduce each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows that share a key: rows order[start[g]:start[g + 1]] are group g; `first` is one row of each."""

    order: NDArray[np.int64]
    start: NDArray[np.int64]

    @property
    def first(self) -> NDArray[np.int64]:
        """One row of each group."""
        return self.order[self.start]

    @property
    def number(self) -> NDArray[np.int64]:
        """The group of each row."""
        number = np.empty(self.order.size, np.int64)
        number[self.order] = np.repeat(np.arange(self.start.size), self.count().astype(np.int64))
        return number

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sum of each group."""
        return np.add.reduceat(values[self.order], self.start)

    def min(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the least of each group."""
        return np.minimum.reduceat(values[self.order], self.start)

    def max(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the greatest of each group."""
        return np.maximum.reduceat(values[self.order], self.start)

    def count(self) -> NDArray[np.uint64]:
        """Return the size of each group."""
        return np.diff(np.append(self.start, self.order.size)).astype(np.uint64)


def group(*keys: NDArray[Any]) -> Groups:
    """Group rows by equal keys, the first key the most significant; keys are integers, at least one row."""
    order = np.lexsort(keys[::-1]) if len(keys) > 1 else np.argsort(keys[0], kind="stable")
    changed = np.zeros(order.size, bool)
    for key in keys:
        in_order = key[order]
        changed[1:] |= in_order[1:] != in_order[:-1]
    changed[0] = True
    return Groups(order, np.flatnonzero(changed))


def packed(*keys: tuple[NDArray[Any], int]) -> NDArray[np.int64]:
    """Combine integer keys (values from 0, number of possible values) into one integer key, however many they are."""
    result = np.zeros(keys[0][0].size, np.int64)
    room = 1
    for values, cardinality in keys:
        if room * cardinality > 2**62:
            result, room = relative(result)
        result = result * cardinality + values
        room *= cardinality
    return result


def relative(values: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Replace wide values by their rank among the distinct ones; return also how many those are."""
    distinct, rank = np.unique(values, return_inverse=True)
    return rank.astype(np.int64), int(distinct.size)
