"""Read attributes by kernels of their own, since most of OTLP is attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.errors import Malformed
from headgate.collector.kernel import i64, inlined, kernel, unchecked
from headgate.collector.memory import address, byte_at, load64
from headgate.collector.references import Ranges, Text
from headgate.collector.wire import read_length, read_tag, read_varint, skip_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Kinds of an AnyValue: its field numbers; 0 is a value that is not set. A reference into the string table of a
# profile means nothing in the other signals; it is read only because it replaces a value that came before it.
EMPTY, STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES, REFERENCE = 0, 1, 2, 3, 4, 5, 6, 7, 8


@dataclass(frozen=True, slots=True)
class Values:
    """AnyValues as columns: `kind` (uint8), `bits` (uint64, of a bool, int or double), `text` (of the others)."""

    kind: NDArray[np.uint8]
    bits: NDArray[np.uint64]
    text: Text

    def __len__(self) -> int:
        return int(self.kind.size)

    def take(self, index: NDArray[Any]) -> Values:
        """Return the values at `index`."""
        return Values(self.kind[index], self.bits[index], self.text.take(index))


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of rows, in the order sent: those of row r are first[r]..first[r + 1] of `key` and `value`."""

    first: NDArray[np.int64]
    key: Text
    value: Values

    @property
    def row(self) -> NDArray[np.int64]:
        """The row of each attribute."""
        return np.repeat(np.arange(self.first.size - 1), np.diff(self.first))


@unchecked
def read_any_value(base: int, position: int, end: int) -> tuple[int, int, np.uint64, int, int]:
    """Return (-1 or offset of an error, kind, bits, offset, length); the last member of the oneof wins.

    An array or list that is sent twice is not merged, as protobuf would: no encoder does that, and the last wins.
    """
    kind = i64(0)
    bits = np.uint64(0)
    offset = i64(0)
    length = i64(0)
    while position < end:
        here = position
        position, field, wire = read_tag(base, position, end)
        if position < 0:
            return here, kind, bits, offset, length
        if wire == 2 and (field == 1 or (field >= 5 and field <= 7)):
            position, after = read_length(base, position, end)
            if position < 0:
                return here, kind, bits, offset, length
            kind, offset, length = field, position, after - position
            position = after
        elif wire == 0 and (field == 2 or field == 3 or field == 8):
            position, value = read_varint(base, position, end)
            bits = np.uint64(value)
            kind = field
        elif wire == 1 and field == 4:
            if end - position < 8:
                return here, kind, bits, offset, length
            bits = load64(base, position)
            position += 8
            kind = field
        else:
            position = skip_field(base, position, end, field, wire)
        if position < 0:
            return here, kind, bits, offset, length
    return -1, kind, bits, offset, length


@kernel
def scan_values(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    kind: NDArray[np.uint8],
    bits: NDArray[np.uint64],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
) -> int:
    """Read the AnyValue messages start..end into the four columns; return -1 or the offset of an error."""
    base = address(buffer)
    for i in range(start.size):
        error, k, b, o, n = read_any_value(base, start[i], end[i])
        if error >= 0:
            return error
        kind[i], bits[i], offset[i], length[i] = k, b, o, n
    return -1


@inlined
def read_pair(base: int, position: int, end: int) -> tuple[int, int, int, int, np.uint64, int, int]:
    """Read a KeyValue message at position..end, inside the bytes at `base`.

    Returns (-1 or offset of an error, key's offset and length, then the value as `read_any_value`). A key and one
    value, with tags and lengths of one byte, as nearly all are, is read quickly; the rest by the general rules.
    """
    size = end - position
    if size >= 4 and byte_at(base, position) == 0x0A and byte_at(base, position + 1) < 0x80:
        key = position + 2
        key_length = byte_at(base, position + 1)
        value = key + key_length
        if end - value >= 4 and byte_at(base, value) == 0x12:
            size = byte_at(base, value + 1)
            value += 2
            if size < 0x80 and value + size == end:
                tag = byte_at(base, value)
                first = byte_at(base, value + 1)
                if tag == 0x0A and first < 0x80 and value + 2 + first == end:
                    return -1, key, key_length, 1, np.uint64(0), value + 2, first
                if tag == 0x18 or tag == 0x10:
                    after, number = read_varint(base, value + 1, end)
                    if after == end:
                        return -1, key, key_length, tag >> 3, np.uint64(number), 0, 0
                elif tag == 0x21 and size == 9:
                    return -1, key, key_length, 4, load64(base, value + 1), 0, 0
    return read_pair_slowly(base, position, end)


@unchecked
def read_pair_slowly(
    base: int, position: int, end: int
) -> tuple[int, int, int, int, np.uint64, int, int]:
    """Read any KeyValue message; see `read_pair`."""
    key = i64(0)
    key_length = i64(0)
    kind = i64(0)
    bits = np.uint64(0)
    offset = i64(0)
    length = i64(0)
    while position < end:
        here: int = position
        position, field, wire = read_tag(base, position, end)
        if position < 0:
            return here, key, key_length, kind, bits, offset, length
        if wire == 2 and (field == 1 or field == 2):
            position, after = read_length(base, position, end)
            if position < 0:
                return here, key, key_length, kind, bits, offset, length
            if field == 1:
                key, key_length = position, after - position
            else:
                error, k, b, o, n = read_any_value(base, position, after)
                if error >= 0:
                    return error, key, key_length, kind, bits, offset, length
                if k != 0:
                    kind, bits, offset, length = k, b, o, n
            position = after
        else:
            position = skip_field(base, position, end, field, wire)
            if position < 0:
                return here, key, key_length, kind, bits, offset, length
    return -1, key, key_length, kind, bits, offset, length


def _empty_values(count: int) -> Values:
    return Values(
        np.zeros(count, np.uint8),
        np.zeros(count, np.uint64),
        Text(np.zeros(count, np.int64), np.zeros(count, np.int64)),
    )


def no_attributes() -> Attributes:
    """Return the attributes of no rows."""
    none = np.empty(0, np.int64)
    return Attributes(np.zeros(1, np.int64), Text(none, none), _empty_values(0))


def read_values(buffer: NDArray[np.uint8], values: Ranges, rows: int) -> Values:
    """Read at most one AnyValue a row (the last, where several were sent); rows without one are EMPTY."""
    read = _empty_values(len(values))
    error = scan_values(
        buffer, values.start, values.end, read.kind, read.bits, read.text.offset, read.text.length
    )
    if error >= 0:
        raise Malformed("invalid value", int(error))
    found = _empty_values(rows)
    given = read.kind != EMPTY
    row = values.row[given]
    found.kind[row] = read.kind[given]
    found.bits[row] = read.bits[given]
    found.text.offset[row] = read.text.offset[given]
    found.text.length[row] = read.text.length[given]
    return found
