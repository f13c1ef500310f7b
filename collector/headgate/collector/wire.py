"""Read the protobuf wire format: varints, skipping, and one table-driven scan of messages into columns.

The schema is data (`headgate.collector.layout`), so that one small kernel serves every message type. It is called
level by level: all resources of a request, then all scopes, then all spans, and so on. A message's row is given by
the caller, so that several messages may fill one row: this is how protobuf merges a field that is sent twice.
(protobuf encoding: https://protobuf.dev/programming-guides/encoding/)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARINT, FIXED64, LENGTH_DELIMITED, GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5

# What a field is to us, the first column of a layout's table.
UNKNOWN, NUMBER, NUMBER64, NUMBER32, BYTES, MESSAGE, PACKED64, PACKED_VARINT = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
)
MAX_DEPTH = 100
MAX_PREFIX = (
    5  # bytes of a tag or a length, as in protobuf's own parser: neither is more than 32 bits
)


@kernel
def read_varint(buffer: NDArray[np.uint8], position: int, end: int) -> tuple[int, int]:
    """Return (position after the varint or -1, its low 64 bits as a signed number)."""
    if position < end:
        first = i64(buffer[position])
        if first < 0x80:
            return position + 1, first
    value = i64(0)
    shift = i64(0)
    while position < end and shift < 70:
        byte = i64(buffer[position])
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position, value
        shift += 7
    return -1, value


@kernel
def read_tag(buffer: NDArray[np.uint8], position: int, end: int) -> tuple[int, int, int]:
    """Return (position after the tag or -1, field number, wire type); field 0 and tags over 32 bits are errors."""
    after, tag = read_varint(buffer, position, end)
    if after < 0 or after - position > MAX_PREFIX or tag > 0xFFFFFFFF or tag < 8:
        return -1, 0, 0
    return after, tag >> 3, tag & 7


@kernel
def read_length(buffer: NDArray[np.uint8], position: int, end: int) -> tuple[int, int]:
    """Return (first byte of a length-delimited field or -1, its end)."""
    after, size = read_varint(buffer, position, end)
    if after < 0 or after - position > MAX_PREFIX or size > end - after:
        return -1, 0
    return after, after + size


@kernel
def load_fixed(buffer: NDArray[np.uint8], position: int, size: int) -> np.uint64:
    """Return the little-endian number of `size` bytes at `position`; the caller has checked the range."""
    value = np.uint64(0)
    for i in range(size):
        value |= np.uint64(buffer[position + i]) << np.uint64(8 * i)
    return value


@kernel
def skip_group(buffer: NDArray[np.uint8], position: int, end: int, field: int, room: int) -> int:
    """Return the position after the deprecated group that has just been opened, or -1; at most `room` may nest."""
    depth = 0
    wire = i64(3)
    open_groups = np.zeros(MAX_DEPTH, np.int64)
    while True:
        if wire == 0:
            position, _ = read_varint(buffer, position, end)
            if position < 0:
                return -1
        elif wire == 1:
            position += 8
        elif wire == 5:
            position += 4
        elif wire == 2:
            position, after = read_length(buffer, position, end)
            if position < 0:
                return -1
            position = after
        elif wire == 3:
            if depth >= room:
                return -1
            open_groups[depth] = field
            depth += 1
        elif wire == 4:
            if depth == 0 or open_groups[depth - 1] != field:
                return -1
            depth -= 1
        else:
            return -1
        if position > end:
            return -1
        if depth == 0:
            return position
        position, field, wire = read_tag(buffer, position, end)
        if position < 0:
            return -1


@kernel
def skip_field(buffer: NDArray[np.uint8], position: int, end: int, field: int, wire: int) -> int:
    """Return the position after a field whose tag has been read, or -1."""
    if wire == 2:
        position, after = read_length(buffer, position, end)
        return after if position >= 0 else -1
    if wire == 1:
        return position + 8 if end - position >= 8 else -1
    if wire == 5:
        return position + 4 if end - position >= 4 else -1
    if wire == 0:
        return read_varint(buffer, position, end)[0]
    return skip_group(buffer, position, end, field, MAX_DEPTH) if wire == 3 else -1


@kernel
def scan(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    row: NDArray[np.int64],
    table: NDArray[np.int64],
    fields: NDArray[np.uint64],
    child_list: NDArray[np.int64],
    child_row: NDArray[np.int64],
    child_start: NDArray[np.int64],
    child_end: NDArray[np.int64],
) -> tuple[int, int]:
    """Read messages of one type into `fields`, one row a message, and where their sub-messages lie into `child_*`.

    Message i lies in buffer[start[i]:end[i]] and fills fields[row[i]]. `table[f]` says of field f: what it is, its
    slot (or list), the bits to clear. Slot 0 of a row has bit f set when field f was present; a BYTES field has two
    slots, offset and length. Returns (-1 or the offset of an error, number of sub-messages); sub-messages beyond
    the room in `child_*` are counted only. (Room is given, not grown here: reassigning an array in the loop costs more
    than all the rest.)
    """
    count = 0
    for i in range(start.size):
        position = start[i]
        stop = end[i]
        r = row[i]
        while position < stop:
            here = position
            position, field, wire = read_tag(buffer, position, stop)
            if position < 0:
                return here, count
            kind = table[field, 0] if field < table.shape[0] else i64(0)
            if kind == 1 and wire == 0:
                position, value = read_varint(buffer, position, stop)
                if position >= 0:
                    fields[r, table[field, 1]] = np.uint64(value)
            elif kind == 2 and wire == 1:
                if stop - position < 8:
                    position = -1
                else:
                    fields[r, table[field, 1]] = load_fixed(buffer, position, 8)
                    position += 8
            elif kind == 3 and wire == 5:
                if stop - position < 4:
                    position = -1
                else:
                    fields[r, table[field, 1]] = load_fixed(buffer, position, 4)
                    position += 4
            elif kind == 4 and wire == 2:
                position, after = read_length(buffer, position, stop)
                if position >= 0:
                    fields[r, table[field, 1]] = np.uint64(position)
                    fields[r, table[field, 1] + 1] = np.uint64(after - position)
                    position = after
            elif (
                (kind >= 5 and wire == 2) or (kind == 6 and wire == 1) or (kind == 7 and wire == 0)
            ):
                if wire == 2:
                    position, after = read_length(buffer, position, stop)
                elif wire == 1:
                    after = position + 8
                    if after > stop:
                        position = -1
                else:
                    after, _ = read_varint(buffer, position, stop)
                    if after < 0:
                        position = -1
                if position >= 0:
                    if count < child_list.size:
                        child_list[count] = table[field, 1]
                        child_row[count] = r
                        child_start[count] = position
                        child_end[count] = after
                    count += 1
                    position = after
            else:
                position = skip_field(buffer, position, stop, field, wire)
                kind = 0
            if position < 0:
                return here, count
            if kind != 0:
                seen = fields[r, 0] & ~np.uint64(table[field, 2])
                fields[r, 0] = seen | (np.uint64(1) << np.uint64(field))
    return -1, count
