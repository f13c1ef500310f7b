"""Read attributes: the key/value messages of a level in one specialised kernel, since most of OTLP is attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.errors import Malformed
from headgate.collector.kernel import kernel
from headgate.collector.layout import Ranges, Text
from headgate.collector.wire import load_fixed, read_length, read_tag, read_varint, skip_field

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
    """The attributes of `rows` rows: those of row r are first[r]..first[r + 1] of `key` and `value`."""

    first: NDArray[np.int64]
    key: Text
    value: Values

    @property
    def row(self) -> NDArray[np.int64]:
        """The row of each attribute."""
        return np.repeat(np.arange(self.first.size - 1), np.diff(self.first))


@kernel
def read_any_value(
    buffer: NDArray[np.uint8], position: int, end: int
) -> tuple[int, int, np.uint64, int, int]:
    """Return (-1 or offset of an error, kind, bits, offset, length); the last member of the oneof wins.

    An array or list that is sent twice is not merged, as protobuf would: no encoder does that, and the last wins.
    """
    kind = 0
    bits = np.uint64(0)
    offset = 0
    length = 0
    while position < end:
        here = position
        position, field, wire = read_tag(buffer, position, end)
        if position < 0:
            return here, kind, bits, offset, length
        if wire == 2 and (field == 1 or (field >= 5 and field <= 7)):
            position, after = read_length(buffer, position, end)
            if position < 0:
                return here, kind, bits, offset, length
            kind, offset, length = field, position, after - position
            position = after
        elif wire == 0 and (field == 2 or field == 3 or field == 8):
            position, value = read_varint(buffer, position, end)
            bits = np.uint64(value)
            kind = field
        elif wire == 1 and field == 4:
            if end - position < 8:
                return here, kind, bits, offset, length
            bits = load_fixed(buffer, position, 8)
            position += 8
            kind = field
        else:
            position = skip_field(buffer, position, end, field, wire)
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
    for i in range(start.size):
        error, k, b, o, n = read_any_value(buffer, start[i], end[i])
        if error >= 0:
            return error
        kind[i], bits[i], offset[i], length[i] = k, b, o, n
    return -1


@kernel
def scan_pairs(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    key_offset: NDArray[np.int64],
    key_length: NDArray[np.int64],
    kind: NDArray[np.uint8],
    bits: NDArray[np.uint64],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
) -> int:
    """Read the KeyValue messages start..end into the six columns; return -1 or the offset of an error."""
    for i in range(start.size):
        position = start[i]
        stop = end[i]
        while position < stop:
            here: int = position
            position, field, wire = read_tag(buffer, position, stop)
            if position < 0:
                return here
            if wire == 2 and (field == 1 or field == 2):
                position, after = read_length(buffer, position, stop)
                if position < 0:
                    return here
                if field == 1:
                    key_offset[i], key_length[i] = position, after - position
                else:
                    error, k, b, o, n = read_any_value(buffer, position, after)
                    if error >= 0:
                        return error
                    if k != 0:
                        kind[i], bits[i], offset[i], length[i] = k, b, o, n
                position = after
            else:
                position = skip_field(buffer, position, stop, field, wire)
                if position < 0:
                    return here
    return -1


def _empty_values(count: int) -> Values:
    return Values(
        np.zeros(count, np.uint8),
        np.zeros(count, np.uint64),
        Text(np.zeros(count, np.int64), np.zeros(count, np.int64)),
    )


def read_attributes(buffer: NDArray[np.uint8], pairs: Ranges, rows: int) -> Attributes:
    """Read the KeyValue messages of `rows` rows, in the order sent; raises Malformed."""
    count = len(pairs)
    key = Text(np.zeros(count, np.int64), np.zeros(count, np.int64))
    value = _empty_values(count)
    error = scan_pairs(
        buffer, pairs.start, pairs.end, key.offset, key.length,
        value.kind, value.bits, value.text.offset, value.text.length,
    )  # fmt: skip
    if error >= 0:
        raise Malformed("invalid attribute", int(error))
    return Attributes(pairs.first(rows), key, value)


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
