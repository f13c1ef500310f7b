"""Group rows by equal keys, and reduce each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.kernel import i64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLOTS = 4096


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows that share a key: rows order[start[g]:start[g + 1]] are group g, and `number` is the group of each row."""

    order: NDArray[np.int64]
    start: NDArray[np.int64]
    number: NDArray[np.int64]

    @property
    def first(self) -> NDArray[np.int64]:
        """The first row of each group."""
        return self.order[self.start]

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


@kernel
def number_rows(
    keys: NDArray[np.int64],
    number: NDArray[np.int64],
    example: NDArray[np.int64],
    slots: NDArray[np.int64],
) -> int:
    """Give the distinct columns of `keys` numbers; return how many there are, or -1 if `slots` is full.

    `example[g]` is the first row with number g; `slots` is a table of -1 whose size is a power of two.
    """
    mask = slots.size - 1
    count = 0
    for i in range(keys.shape[1]):
        repeated = i > 0
        for k in range(keys.shape[0]):
            repeated = repeated and keys[k, i] == keys[k, i - 1]
        if repeated:
            number[i] = number[i - 1]
            continue
        value = np.uint64(0)
        for k in range(keys.shape[0]):
            value = (value ^ np.uint64(keys[k, i])) * np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(32)
        slot = i64(value & np.uint64(mask))
        while True:
            found = slots[slot]
            if found < 0:
                if 2 * count >= slots.size:
                    return -1
                slots[slot] = count
                example[count] = i
                number[i] = count
                count += 1
                break
            same = True
            for k in range(keys.shape[0]):
                same = same and keys[k, i] == keys[k, example[found]]
            if same:
                number[i] = found
                break
            slot = (slot + 1) & mask
    return count


@kernel
def order_rows(
    rank: NDArray[np.int64],
    number: NDArray[np.int64],
    start: NDArray[np.int64],
    order: NDArray[np.int64],
) -> None:
    """Replace each number by its rank, and fill `start` (one more than groups) and `order`, equal rows in order."""
    start[:] = 0
    for i in range(number.size):
        number[i] = rank[number[i]]
        start[number[i] + 1] += 1
    for g in range(1, start.size):
        start[g] += start[g - 1]
    place = start.copy()
    for i in range(number.size):
        order[place[number[i]]] = i
        place[number[i]] += 1


def group(*keys: NDArray[Any]) -> Groups:
    """Group rows by equal keys, the first key the most significant; keys are integers, at least one row."""
    size = keys[0].size
    columns = np.empty((len(keys), size), np.int64)
    for column, key in zip(columns, keys, strict=True):
        column[:] = key.view(np.int64) if key.dtype == np.uint64 else key
    number, example = np.empty(size, np.int64), np.empty(size, np.int64)
    room, count = _SLOTS, -1
    while count < 0:
        count = number_rows(columns, number, example, np.full(room, -1, np.int64))
        room *= 8
    example = example[:count]
    ranked = np.lexsort([key[example] for key in keys[::-1]])
    rank = np.empty(count, np.int64)
    rank[ranked] = np.arange(count)
    start, order = np.empty(count + 1, np.int64), np.empty(size, np.int64)
    order_rows(rank, number, start, order)
    return Groups(order, start[:-1], number)


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
    if not values.size:
        return np.empty(0, np.int64), 0
    groups = group(values)
    return groups.number, int(groups.start.size)
