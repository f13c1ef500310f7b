"""The bytes that strings refer to: a segment's request bytes, followed by texts that we made from its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, inlined, unchecked
from headgate.collector.memory import AHEAD, address, byte_at, load64, prefetch, same
from headgate.collector.references import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

_SPARE_BYTES = 4096
_BATCH_BYTES = 1 << 20


class Heap:
    """Bytes that only grow, so that an offset once given stays right."""

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        self._room = buffer
        self._size = int(buffer.size)
        self._seen = buffer

    @staticmethod
    def joined(pieces: Sequence[bytes]) -> Heap:
        """Return a heap of these bytes, one after the other, with room for some more."""
        size = sum(map(len, pieces))
        room = np.empty(size + size // 8 + _SPARE_BYTES, np.uint8)
        position = 0
        for piece in pieces:
            room[position : position + len(piece)] = np.frombuffer(piece, np.uint8)
            position += len(piece)
        heap = Heap(room)
        heap._size = size
        heap._show()
        return heap

    def _show(self) -> None:
        self._seen = self._room[: self._size]
        self._seen.flags.writeable = False

    def add(self, piece: NDArray[np.uint8]) -> int:
        """Append bytes; return the offset of the first."""
        offset = self._size
        self._size += int(piece.size)
        if self._size > self._room.size:
            room = np.empty(self._size + self._size // 8 + _SPARE_BYTES, np.uint8)
            room[:offset] = self._seen
            self._room = room
        if piece.size:
            self._room[offset : self._size] = piece
            self._show()
        return offset

    def add_texts(self, texts: Iterable[bytes]) -> Text:
        """Append strings, holding a megabyte of copies or so; return references to them."""
        base = self._size
        sizes: list[int] = []
        batch: list[bytes] = []
        waiting = 0
        for text in texts:
            sizes.append(len(text))
            batch.append(text)
            waiting += len(text)
            if waiting >= _BATCH_BYTES:
                self.add(np.frombuffer(b"".join(batch), np.uint8))
                batch.clear()
                waiting = 0
        self.add(np.frombuffer(b"".join(batch), np.uint8))
        length = np.array(sizes, np.int64)
        return Text(base + np.cumsum(length) - length, length)

    @property
    def buffer(self) -> NDArray[np.uint8]:
        """All bytes as one read-only array."""
        return self._seen

    def read(self, text: Text) -> list[bytes]:
        """Return strings as Python bytes; for the few, never for one a span."""
        return list(self.each(text))

    def each(self, text: Text) -> Iterator[bytes]:
        """Return strings as Python bytes, one by one."""
        for offset, length in zip(text.offset.tolist(), text.length.tolist(), strict=True):
            yield self.buffer[offset : offset + length].tobytes()


@inlined
def hash_bytes(base: int, base_size: int, offset: int, size: int) -> int:
    """Return a quick hash for our own tables; never stored. It is 0 for what lies outside the buffer."""
    if size < 0 or offset < 0 or size > base_size - offset:
        return 0
    value = np.uint64(size) * np.uint64(0x9E3779B97F4A7C15)
    done = i64(0)
    while size - done >= 8:
        value = (value ^ load64(base, offset + done)) * np.uint64(0xFF51AFD7ED558CCD)
        value ^= value >> np.uint64(32)
        done += 8
    while done < size:
        value = (value ^ np.uint64(byte_at(base, offset + done))) * np.uint64(1099511628211)
        done += 1
    value ^= value >> np.uint64(29)
    return i64(value & np.uint64(0x7FFFFFFFFFFFFFFF))


@unchecked
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
    base, base_size = address(buffer), buffer.size
    mask = slots.size - 1
    count = 0
    previous = 0
    for i in range(offset.size):
        size = length[i]
        if i + AHEAD < offset.size:
            prefetch(base, offset[i + AHEAD])
        # Attributes come in the same order span after span: guess from what followed the previous key last time.
        guess = follower[previous]
        if guess >= 0:
            other = unique[guess]
            if length[other] == size and same(base, base_size, offset[other], offset[i], size):
                codes[i] = guess
                previous = guess
                continue
        slot = hash_bytes(base, base_size, offset[i], size) & mask
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
            if length[other] == size and same(base, base_size, offset[other], offset[i], size):
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
