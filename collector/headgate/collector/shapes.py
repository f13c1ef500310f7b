"""Shapes: the sequences of attribute keys that rows have. Rows are many, shapes are few.

What depends only on the keys, the order of a map, its dictionary codes, where an attribute of some name is, is worked
out once a shape and not once a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MANY = 200  # keys in a shape above which sorting them by insertion, quadratic at worst, is not the quick way


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shape s has the keys code[first[s]:first[s + 1]], in the order sent; row r has shape `of[r]`.

    `order` has, for each shape, the positions 0, 1, ... sorted by key.
    """

    of: NDArray[np.int32]
    first: NDArray[np.int64]
    code: NDArray[np.int32]
    order: NDArray[np.int64]


@kernel
def same_codes(code: NDArray[np.int32], left: int, right: int, size: int) -> bool:
    """Return whether two stretches of codes are equal."""
    for i in range(size):
        if code[left + i] != code[right + i]:
            return False
    return True


@kernel
def shape_kernel(
    first: NDArray[np.int64],
    code: NDArray[np.int32],
    of: NDArray[np.int32],
    example: NDArray[np.int64],
    slots: NDArray[np.int32],
    follower: NDArray[np.int32],
) -> int:
    """Give rows with equal keys equal numbers; return how many there are, or -1 if `slots` is full.

    `example[s]` is the first row of shape s; `slots` and `follower` are as in `headgate.collector.heap.intern_kernel`.
    """
    mask = slots.size - 1
    count = 0
    previous = 0
    for r in range(first.size - 1):
        start = first[r]
        size = first[r + 1] - start
        guess = follower[previous]
        if guess >= 0:
            other = first[example[guess]]
            if first[example[guess] + 1] - other == size and same_codes(code, other, start, size):
                of[r] = guess
                previous = guess
                continue
        value = np.uint64(size)
        for i in range(size):
            value = (value ^ np.uint64(code[start + i])) * np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(29)
        slot = i64(value & np.uint64(mask))
        while True:
            shape = slots[slot]
            if shape < 0:
                if 2 * count >= slots.size:
                    return -1
                slots[slot] = count
                example[count] = r
                of[r] = count
                count += 1
                break
            other = first[example[shape]]
            if first[example[shape] + 1] - other == size and same_codes(code, other, start, size):
                of[r] = shape
                break
            slot = (slot + 1) & mask
        follower[previous] = of[r]
        previous = i64(of[r])
    return count


@kernel
def sort_within_rows(
    first: NDArray[np.int64], code: NDArray[np.int32], rank: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the order that sorts each row's codes by rank; stable, and quick for the few that rows have."""
    order = np.arange(code.size)
    for r in range(first.size - 1):
        start = first[r]
        for i in range(start + 1, first[r + 1]):
            moving = order[i]
            key = rank[code[moving]]
            j = i
            while j > start and rank[code[order[j - 1]]] > key:
                order[j] = order[j - 1]
                j -= 1
            order[j] = moving
    return order


@kernel
def place_kernel(
    first: NDArray[np.int64],
    code: NDArray[np.int32],
    column: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Set out[column[key], s] to the first position in shape s that has the key; columns below 0 are not wanted."""
    for s in range(first.size - 1):
        for i in range(first[s], first[s + 1]):
            c = column[code[i]]
            if c >= 0 and out[c, s] < 0:
                out[c, s] = i - first[s]


@kernel
def find_kernel(
    first: NDArray[np.int64],
    of: NDArray[np.int32],
    place: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Set out[c, r] to where row r has what `place` says of its shape, or -1."""
    for c in range(place.shape[0]):
        for r in range(of.size):
            at = place[c, of[r]]
            out[c, r] = first[r] + at if at >= 0 else -1


def shapes(first: NDArray[np.int64], code: NDArray[np.int32], rank: NDArray[np.int64]) -> Shapes:
    """Return the shapes of rows whose keys are code[first[r]:first[r + 1]]; `rank` is each key's place in an order."""
    rows = first.size - 1
    of = np.empty(rows, np.int32)
    example = np.empty(rows, np.int64)
    room = 1024
    while True:
        slots, follower = np.full(room, -1, np.int32), np.full(room, -1, np.int32)
        count = shape_kernel(first, code, of, example, slots, follower)
        if count >= 0:
            break
        room *= 8
    start = first[example[:count]]
    size = first[example[:count] + 1] - start
    own = np.concatenate([[0], np.cumsum(size)])
    within = np.arange(own[-1]) - np.repeat(own[:-1], size)
    codes = code[np.repeat(start, size) + within]
    if size.size and size.max() > _MANY:
        order = np.lexsort((rank[codes], np.repeat(np.arange(count), size)))
    else:
        order = sort_within_rows(own, codes, rank)
    return Shapes(of, own, codes, order - np.repeat(own[:-1], size))
