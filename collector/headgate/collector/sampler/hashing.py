"""Hashes of numbers: mixing, and giving equal pairs equal codes.

The mixing step is the finaliser of MurmurHash3 (fmix64): a bijection in which every input bit moves every output bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

M1 = np.uint64(0xFF51AFD7ED558CCD)
M2 = np.uint64(0xC4CEB9FE1A85EC53)
ODD = np.uint64(0x9E3779B97F4A7C15)


@kernel
def mix64(value: np.uint64) -> np.uint64:
    """Mix the bits of one number."""
    value ^= value >> np.uint64(33)
    value *= M1
    value ^= value >> np.uint64(33)
    value *= M2
    return value ^ (value >> np.uint64(33))


@kernel
def mix_pair(high: np.uint64, low: np.uint64, key: np.uint64) -> np.uint64:
    """Hash two numbers under a key."""
    return mix64(mix64(high ^ key) + low * ODD)


@kernel
def _mix_pairs(
    high: NDArray[np.uint64], low: NDArray[np.uint64], key: np.uint64, out: NDArray[np.uint64]
) -> None:
    for i in range(high.size):
        out[i] = mix_pair(high[i], low[i], key)


def mix_pairs(
    high: NDArray[np.uint64], low: NDArray[np.uint64], key: int = 0
) -> NDArray[np.uint64]:
    """Hash pairs of numbers under a key."""
    out = np.empty(high.size, np.uint64)
    _mix_pairs(high, low, np.uint64(key), out)
    return out


@kernel
def _intern_pairs(
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    slots: NDArray[np.int32],
    code: NDArray[np.int64],
    first: NDArray[np.int64],
) -> int:
    mask = np.uint64(slots.size - 1)
    count = i64(0)
    for i in range(high.size):
        if i > 0 and high[i] == high[i - 1] and low[i] == low[i - 1]:
            code[i] = code[i - 1]
            continue
        slot = mix_pair(high[i], low[i], np.uint64(0)) & mask
        while True:
            found = slots[i64(slot)]
            if found < 0:
                slots[i64(slot)] = count
                first[count] = i
                code[i] = count
                count += 1
                break
            if high[first[found]] == high[i] and low[first[found]] == low[i]:
                code[i] = found
                break
            slot = (slot + np.uint64(1)) & mask
    return count


def room(rows: int) -> int:
    """Return the size of a hash table for this many rows: a power of two, at most half full."""
    return 1 << (2 * max(rows, 4) - 1).bit_length()


def intern_pairs(
    high: NDArray[np.uint64], low: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each pair's code and, for each code in order of first appearance, a row that has it."""
    code, first = np.empty(high.size, np.int64), np.empty(high.size, np.int64)
    count = _intern_pairs(high, low, np.full(room(high.size), -1, np.int32), code, first)
    return code, first[:count]
