"""Encode columns as blocks of ClickHouse's `Native` format.

A protobuf string and a Native string have the same encoding, a varint length and the bytes: a string column is a
copy of slices. A column has a prefix (LowCardinality's version) and a body; nesting keeps inner prefixes in front of
outer offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.heap import copy_bytes
from headgate.collector.kernel import i64, kernel, unchecked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.layout import Text

Piece = bytes | memoryview

_SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS = (1).to_bytes(8, "little")
_HAS_ADDITIONAL_KEYS = 1 << 9
_NEEDS_UPDATE = 1 << 10


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of one column: what comes before everything of it, then the rest."""

    prefix: tuple[Piece, ...]
    body: tuple[Piece, ...]


@kernel
def varint_size(value: int) -> int:
    """Return how many bytes a varint takes."""
    size = i64(1)
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


@kernel
def put_varint(value: int, out: NDArray[np.uint8], position: int) -> int:
    """Write a varint; return the position after it."""
    while value >= 0x80:
        out[position] = np.uint8((value & 0x7F) | 0x80)
        position += 1
        value >>= 7
    out[position] = np.uint8(value)
    return position + 1


@kernel
def strings_size(length: NDArray[np.int64]) -> int:
    """Return the bytes that the strings take with their lengths."""
    total = i64(0)
    for i in range(length.size):
        total += length[i] + varint_size(length[i])
    return total


@kernel
def put_strings(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write strings with their lengths; return the bytes written, or -1 when a reference is outside the buffer."""
    position = i64(0)
    for i in range(offset.size):
        position = put_varint(length[i], out, position)
        if not copy_bytes(buffer, offset[i], out, position, length[i]):
            return -1
        position += length[i]
    return position


@unchecked
def put_hex_bytes(
    source: NDArray[np.uint8], offset: int, out: NDArray[np.uint8], position: int, size: int
) -> bool:
    """Write `size` bytes as hexadecimal; return False, having written nothing, when a range is not in its array."""
    if size < 0 or offset < 0 or position < 0:
        return False
    if size > source.size - offset or 2 * size > out.size - position:
        return False
    for i in range(size):
        byte = source[offset + i]
        high, low = byte >> 4, byte & 15
        out[position + 2 * i] = high + (48 if high < 10 else 87)
        out[position + 2 * i + 1] = low + (48 if low < 10 else 87)
    return True


@kernel
def put_hex(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write byte strings as lower-case hexadecimal strings with their lengths; return the bytes written, or -1."""
    position = i64(0)
    for i in range(offset.size):
        position = put_varint(2 * length[i], out, position)
        if not put_hex_bytes(buffer, offset[i], out, position, length[i]):
            return -1
        position += 2 * length[i]
    return position


@kernel
def put_blobs(
    buffer: NDArray[np.uint8],
    first: NDArray[np.int64],
    row: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write stretch buffer[first[r]:first[r + 1]] for each r of `row`; return the bytes written, or -1."""
    position = i64(0)
    for i in range(row.size):
        start = first[row[i]]
        size = first[row[i] + 1] - start
        if not copy_bytes(buffer, start, out, position, size):
            return -1
        position += size
    return position


def encode_numbers(values: NDArray[Any]) -> Encoded:
    """Encode a column of numbers; the dtype is the column's."""
    return Encoded((), (np.ascontiguousarray(values).data.cast("B"),) if values.size else ())


def encode_strings(buffer: NDArray[np.uint8], text: Text) -> Encoded:
    """Encode a String column."""
    out = np.empty(strings_size(text.length), np.uint8)
    if put_strings(buffer, text.offset, text.length, out) != out.size:
        raise ValueError("a string refers to bytes outside its buffer")
    return Encoded((), (out.data,))


def encode_hex(buffer: NDArray[np.uint8], text: Text) -> Encoded:
    """Encode byte strings (ids) as a String column of lower-case hexadecimal."""
    out = np.empty(strings_size(2 * text.length), np.uint8)
    if put_hex(buffer, text.offset, text.length, out) != out.size:
        raise ValueError("an id refers to bytes outside its buffer")
    return Encoded((), (out.data,))


def encode_nullable(values: Encoded, null: NDArray[np.bool_]) -> Encoded:
    """Encode a Nullable column from its values and which of them are NULL."""
    return Encoded(values.prefix, (null.astype(np.uint8).tobytes(), *values.body))


def encode_dictionary(codes: NDArray[Any], keys: Encoded, distinct: int) -> Encoded:
    """Encode a LowCardinality column: `codes` index the `distinct` strings of `keys`."""
    prefix = (_SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS,)
    if codes.size == 0:
        return Encoded(prefix, ())
    width = 0 if distinct <= 1 << 8 else 1 if distinct <= 1 << 16 else 2
    index = codes.astype((np.uint8, np.uint16, np.uint32)[width])
    flags = width | _HAS_ADDITIONAL_KEYS | _NEEDS_UPDATE
    return Encoded(
        prefix,
        (
            np.array([flags, distinct], "<u8").tobytes(),
            *keys.body,
            np.array([codes.size], "<u8").tobytes(),
            index.data.cast("B"),
        ),
    )


def encode_array(counts: NDArray[Any], *inner: Encoded) -> Encoded:
    """Encode an Array column (a Map or Nested column with several inner ones) of `counts` elements a row."""
    offsets = encode_numbers(np.cumsum(counts, dtype=np.uint64))
    return Encoded(
        tuple(piece for column in inner for piece in column.prefix),
        (*offsets.body, *(piece for column in inner for piece in column.body)),
    )


def _varint(value: int) -> bytes:
    out = np.empty(10, np.uint8)
    return out[: put_varint(value, out, 0)].tobytes()


def _string(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw)) + raw


def encode_block(rows: int, columns: Sequence[tuple[str, str, Encoded]]) -> bytes:
    """Join (name, type, bytes) columns into one block of `rows` rows."""
    pieces: list[Piece] = [_varint(len(columns)), _varint(rows)]
    for name, kind, column in columns:
        pieces += (_string(name), _string(kind), *column.prefix, *column.body)
    return b"".join(pieces)
