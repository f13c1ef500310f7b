"""Read repeated numbers, packed or not, into one flat array and a count for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.errors import Malformed
from headgate.collector.kernel import i64, kernel
from headgate.collector.memory import address, load64
from headgate.collector.wire import read_varint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.layout import Ranges


@kernel
def unpack_fixed64(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    out: NDArray[np.uint64],
) -> int:
    """Read chunks of 8-byte numbers into `out`; return how many."""
    base = address(buffer)
    count = i64(0)
    for i in range(start.size):
        position = start[i]
        while end[i] - position >= 8:
            out[count] = load64(base, position)
            count += 1
            position += 8
    return count


@kernel
def unpack_varints(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    out: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> int:
    """Read chunks of varints into `out` and the number in each chunk into `counts`; return how many, or -1."""
    base = address(buffer)
    count = i64(0)
    for i in range(start.size):
        position = start[i]
        before = count
        while position < end[i]:
            position, value = read_varint(base, position, end[i])
            if position < 0:
                return -1
            out[count] = np.uint64(value)
            count += 1
        counts[i] = count - before
    return count


def unpack64(
    buffer: NDArray[np.uint8], chunks: Ranges, rows: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return (all values of repeated fixed64 or double fields, how many each row has)."""
    size = chunks.end - chunks.start
    out = np.empty(int((size // 8).sum()), np.uint64)
    unpack_fixed64(buffer, chunks.start, chunks.end, out)
    return out, np.bincount(chunks.row, size // 8, minlength=rows).astype(np.int64)


def unpack_varint(
    buffer: NDArray[np.uint8], chunks: Ranges, rows: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return (all values of a repeated varint field, how many each row has); raises Malformed."""
    out = np.empty(int((chunks.end - chunks.start).sum()), np.uint64)
    counts = np.zeros(len(chunks), np.int64)
    total = unpack_varints(buffer, chunks.start, chunks.end, out, counts)
    if total < 0:
        raise Malformed("a packed number is cut off")
    return out[:total], np.bincount(chunks.row, counts, minlength=rows).astype(np.int64)
