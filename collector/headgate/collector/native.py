"""Encode columns as blocks of ClickHouse's `Native` format.

A protobuf string and a Native string have the same encoding, a varint length and the bytes: a string column is a
copy of slices. A column has a prefix (LowCardinality's version) and a body; nesting keeps inner prefixes in front of
outer offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.kernel import i64, inlined, unchecked
from headgate.collector.memory import (
    AHEAD,
    address,
    byte_at,
    copy,
    load64,
    prefetch,
    store8,
    store64,
)

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


@inlined
def varint_size(value: int) -> int:
    """Return how many bytes a varint takes."""
    size = i64(1)
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


@inlined
def put_varint(value: int, out: int, position: int) -> int:
    """Write a varint; return the position after it. The caller has made room for it."""
    while value >= 0x80:
        store8(out, position, (value & 0x7F) | 0x80)
        position += 1
        value >>= 7
    store8(out, position, value)
    return position + 1


@inlined
def put_string(
    base: int, size: int, offset: int, length: int, out: int, out_size: int, position: int
) -> int:
    """Write a string with its length; return the position after it, or -1 when it has no place or no bytes.

    It lies in the `size` bytes at address `base`, and goes to the `out_size` bytes at `out`.
    """
    if length < 0 or out_size - position - varint_size(length) < length:
        return -1
    position = put_varint(length, out, position)
    return position + length if copy(base, size, offset, out, out_size, position, length) else -1


@unchecked
def strings_size(length: NDArray[np.int64]) -> int:
    """Return the bytes that the strings take with their lengths."""
    total = i64(0)
    for i in range(length.size):
        total += length[i] + varint_size(length[i])
    return total


@unchecked
def put_strings(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write strings with their lengths; return the bytes written, or -1 when a reference is outside the buffer."""
    base, size, to, room = address(buffer), buffer.size, address(out), out.size
    position = i64(0)
    for i in range(offset.size):
        if i + AHEAD < offset.size:
            prefetch(base, offset[i + AHEAD])
        position = put_string(base, size, offset[i], length[i], to, room, position)
        if position < 0:
            return -1
    return position


@inlined
def hex_of(four: np.uint64) -> np.uint64:
    """Return the eight hexadecimal digits of four bytes, all as little-endian numbers."""
    spread = (four | (four << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    spread = (spread | (spread << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    low = np.uint64(0x000F000F000F000F)
    digit = ((spread >> np.uint64(4)) & low) | ((spread & low) << np.uint64(8))
    letter = (digit + np.uint64(0x0606060606060606)) >> np.uint64(4)
    letter &= np.uint64(0x0101010101010101)
    return digit + np.uint64(0x3030303030303030) + letter * np.uint64(0x27)


@unchecked
def put_hex(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write byte strings as lower-case hexadecimal strings with their lengths; return the bytes written, or -1."""
    base, to = address(buffer), address(out)
    position = i64(0)
    for i in range(offset.size):
        size, start = length[i], offset[i]
        if i + AHEAD < offset.size:
            prefetch(base, offset[i + AHEAD])
        if size < 0 or start < 0 or size > buffer.size - start:
            return -1
        if out.size - position - varint_size(2 * size) < 2 * size:
            return -1
        position = put_varint(2 * size, to, position)
        done = i64(0)
        while size - done >= 8:
            eight = load64(base, start + done)
            store64(to, position, hex_of(eight & np.uint64(0xFFFFFFFF)))
            store64(to, position + 8, hex_of(eight >> np.uint64(32)))
            done += 8
            position += 16
        while done < size:
            pair = hex_of(np.uint64(byte_at(base, start + done)))
            store8(to, position, i64(pair & np.uint64(255)))
            store8(to, position + 1, i64((pair >> np.uint64(8)) & np.uint64(255)))
            done += 1
            position += 2
    return position


@unchecked
def put_blobs(
    buffer: NDArray[np.uint8],
    first: NDArray[np.int64],
    row: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write stretch buffer[first[r]:first[r + 1]] for each r of `row`; return the bytes written, or -1."""
    base, size, to, room = address(buffer), buffer.size, address(out), out.size
    position = i64(0)
    for i in range(row.size):
        start = first[row[i]]
        taken = first[row[i] + 1] - start
        if not copy(base, size, start, to, room, position, taken):
            return -1
        position += taken
    return position


def repeat_blobs(
    blobs: NDArray[np.uint8], first: NDArray[np.int64], row: NDArray[Any]
) -> NDArray[np.uint8]:
    """Return stretch blobs[first[r]:first[r + 1]] for each r of `row`, one after the other."""
    out = np.empty(int(np.diff(first)[row].sum()), np.uint8)
    if put_blobs(blobs, first, row, out) != out.size:
        raise ValueError("a stretch lies outside its buffer")
    return out


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


def index_type(distinct: int) -> type[np.unsignedinteger[Any]]:
    """Return the type of codes into a dictionary of so many strings."""
    return np.uint8 if distinct <= 1 << 8 else np.uint16 if distinct <= 1 << 16 else np.uint32


def encode_dictionary(codes: NDArray[Any], keys: Encoded, distinct: int) -> Encoded:
    """Encode a LowCardinality column: `codes` index the `distinct` strings of `keys`."""
    prefix = (_SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS,)
    if codes.size == 0:
        return Encoded(prefix, ())
    index = codes.astype(index_type(distinct), copy=False)
    flags = index.itemsize // 2 | _HAS_ADDITIONAL_KEYS | _NEEDS_UPDATE
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
    groups = []
    while value >= 0x80:
        groups.append((value & 0x7F) | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _string(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw)) + raw


def encode_block(rows: int, columns: Sequence[tuple[str, str, Encoded]]) -> tuple[Piece, ...]:
    """Return the pieces, to be sent one after the other, of a block of `rows` rows with columns (name, type, bytes)."""
    pieces: list[Piece] = [_varint(len(columns)), _varint(rows)]
    for name, kind, column in columns:
        pieces += (_string(name), _string(kind), *column.prefix, *column.body)
    return tuple(pieces)
