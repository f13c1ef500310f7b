"""The bytes that strings refer to: a segment's request bytes, followed by texts that we made from its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel, unchecked
from headgate.collector.layout import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Heap:
    """Bytes that only grow, so that an offset once given stays right."""

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        self._pieces = [buffer]
        self._size = int(buffer.size)

    def add(self, piece: NDArray[np.uint8]) -> int:
        """Append bytes; return the offset of the first."""
        offset = self._size
        if piece.size:
            self._pieces.append(piece)
            self._size += int(piece.size)
        return offset

    def add_texts(self, texts: Sequence[bytes]) -> Text:
        """Append strings; return references to them."""
        length = np.fromiter(map(len, texts), np.int64, len(texts))
        base = self.add(np.frombuffer(b"".join(texts), np.uint8))
        return Text(base + np.cumsum(length) - length, length)

    @property
    def buffer(self) -> NDArray[np.uint8]:
        """All bytes as one read-only array."""
        if len(self._pieces) > 1:
            joined = np.concatenate(self._pieces)
            joined.flags.writeable = False
            self._pieces = [joined]
        return self._pieces[0]

    def read(self, text: Text) -> list[bytes]:
        """Return strings as Python bytes; for the few, never for one a span."""
        buffer = self.buffer
        pairs = zip(text.offset.tolist(), text.length.tolist(), strict=True)
        return [buffer[offset : offset + length].tobytes() for offset, length in pairs]


@unchecked
def copy_bytes(
    source: NDArray[np.uint8], offset: int, out: NDArray[np.uint8], position: int, size: int
) -> bool:
    """Copy `size` bytes; return False, having copied nothing, when either range lies outside its array."""
    if (
        size < 0
        or offset < 0
        or position < 0
        or size > source.size - offset
        or size > out.size - position
    ):
        return False
    for i in range(size):
        out[position + i] = source[offset + i]
    return True


@unchecked
def same_bytes(buffer: NDArray[np.uint8], left: int, right: int, size: int) -> bool:
    """Return whether two stretches of the buffer are equal; False when either lies outside it."""
    if size < 0 or left < 0 or right < 0 or size > buffer.size - left or size > buffer.size - right:
        return False
    for i in range(size):
        if buffer[left + i] != buffer[right + i]:
            return False
    return True


@kernel
def hash_bytes(buffer: NDArray[np.uint8], offset: int, size: int) -> int:
    """Return a quick hash for our own tables; never stored."""
    value = np.uint64(14695981039346656037)
    for i in range(size):
        value = (value ^ np.uint64(buffer[offset + i])) * np.uint64(1099511628211)
    value ^= value >> np.uint64(29)
    return i64(value & np.uint64(0x7FFFFFFFFFFFFFFF))


@kernel
def intern_kernel(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    codes: NDArray[np.int32],
    unique: NDArray[np.int64],
    slots: NDArray[np.int32],
    follower: NDArray[np.int32],
) -> int:
    """Give equal strings equal codes, in order of first appearance; return their number, or -1 if `slots` is full.

    `unique[c]` is the index of the string that got code c; `slots` is a table of -1 whose size is a power of two, and
    `follower` one of the same size, the code that was last seen after each code.
    """
    mask = slots.size - 1
    count = 0
    previous = 0
    for i in range(offset.size):
        size = length[i]
        # Attributes come in the same order span after span: guess from what followed the previous key last time.
        guess = follower[previous]
        if guess >= 0:
            other = unique[guess]
            if length[other] == size and same_bytes(buffer, offset[other], offset[i], size):
                codes[i] = guess
                previous = guess
                continue
        slot = hash_bytes(buffer, offset[i], size) & mask
        while True:
            code = slots[slot]
            if code < 0:
                if 2 * count >= slots.size:
                    return -1
                slots[slot] = count
                unique[count] = i
                code = count
                codes[i] = code
                count += 1
                break
            other = unique[code]
            if length[other] == size and same_bytes(buffer, offset[other], offset[i], size):
                codes[i] = code
                break
            slot = (slot + 1) & mask
        follower[previous] = codes[i]
        previous = codes[i]
    return count


def intern(heap: Heap, text: Text) -> tuple[NDArray[np.int32], Text]:
    """Return each string's code and the distinct strings, in order of first appearance."""
    codes = np.empty(len(text), np.int32)
    unique = np.empty(len(text), np.int64)
    room = 1024
    while True:
        slots, follower = np.full(room, -1, np.int32), np.full(room, -1, np.int32)
        count = intern_kernel(heap.buffer, text.offset, text.length, codes, unique, slots, follower)
        if count >= 0:
            return codes, text.take(unique[:count])
        room *= 8
