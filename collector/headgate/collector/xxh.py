"""xxHash64 of many strings: the hash of user ids and error fingerprints, which ClickHouse knows as `xxHash64`.

(specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, inlined, kernel, unchecked
from headgate.collector.memory import AHEAD, address, byte_at, load32, load64, prefetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.layout import Text

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)


@inlined
def rotate(value: np.uint64, bits: int) -> np.uint64:
    """Rotate left."""
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@inlined
def round64(accumulator: np.uint64, lane: np.uint64) -> np.uint64:
    """Mix one lane into an accumulator."""
    return rotate(accumulator + lane * P2, 31) * P1


@unchecked
def xxh64_one(buffer: NDArray[np.uint8], offset: int, size: int) -> np.uint64:
    """Return xxHash64 with seed 0 of buffer[offset:offset + size]; of nothing where that lies outside the buffer."""
    if offset < 0 or size < 0 or size > buffer.size - offset:
        size = i64(0)
    base = address(buffer)
    position = offset
    end = offset + size
    if size >= 32:
        a, b, c, d = P1 + P2, P2, np.uint64(0), np.uint64(0) - P1
        while end - position >= 32:
            a = round64(a, load64(base, position))
            b = round64(b, load64(base, position + 8))
            c = round64(c, load64(base, position + 16))
            d = round64(d, load64(base, position + 24))
            position += 32
        value = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)
        for lane in (a, b, c, d):
            value = (value ^ round64(np.uint64(0), lane)) * P1 + P4
    else:
        value = P5
    value += np.uint64(size)
    while end - position >= 8:
        value ^= round64(np.uint64(0), load64(base, position))
        value = rotate(value, 27) * P1 + P4
        position += 8
    if end - position >= 4:
        value ^= load32(base, position) * P1
        value = rotate(value, 23) * P2 + P3
        position += 4
    while position < end:
        value ^= np.uint64(byte_at(base, position)) * P5
        value = rotate(value, 11) * P1
        position += 1
    value ^= value >> np.uint64(33)
    value *= P2
    value ^= value >> np.uint64(29)
    value *= P3
    return value ^ (value >> np.uint64(32))


@kernel
def xxh64_kernel(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.uint64],
) -> None:
    """Hash every string; an empty string is 0."""
    base = address(buffer)
    for i in range(offset.size):
        if i + AHEAD < offset.size:
            prefetch(base, offset[i + AHEAD])
        out[i] = xxh64_one(buffer, offset[i], length[i]) if length[i] > 0 else np.uint64(0)


def xxh64(buffer: NDArray[np.uint8], text: Text) -> NDArray[np.uint64]:
    """Return xxHash64 (seed 0) of each string, 0 for an empty one."""
    out = np.empty(len(text), np.uint64)
    xxh64_kernel(buffer, text.offset, text.length, out)
    return out
