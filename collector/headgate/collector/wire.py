"""Read the protobuf wire format: varints, tags, lengths, and skipping.

Messages are bytes position..end of what lies at address `base`: nothing is read at or behind `end`.

(protobuf encoding: https://protobuf.dev/programming-guides/encoding/)
"""

from __future__ import annotations

import numpy as np

from headgate.collector.kernel import i64, inlined, unchecked
from headgate.collector.memory import byte_at

VARINT, FIXED64, LENGTH_DELIMITED, GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5

# What a field is to us, the first column of a layout's table.
UNKNOWN, NUMBER, NUMBER64, NUMBER32, BYTES, MESSAGE, PACKED64, PACKED_VARINT, PAIR = range(9)
MAX_DEPTH = 100
MAX_PREFIX = (
    5  # bytes of a tag or a length, as in protobuf's own parser: neither is more than 32 bits
)


@inlined
def read_varint(base: int, position: int, end: int) -> tuple[int, int]:
    """Return (position after the varint or -1, its low 64 bits as a signed number)."""
    if position < end:
        first = byte_at(base, position)
        if first < 0x80:
            return position + 1, first
    return read_long_varint(base, position, end)


@unchecked
def read_long_varint(base: int, position: int, end: int) -> tuple[int, int]:
    """Read a varint of any length; see `read_varint`."""
    value = i64(0)
    shift = i64(0)
    while position < end and shift < 70:
        byte = byte_at(base, position)
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position, value
        shift += 7
    return -1, value


@inlined
def read_tag(base: int, position: int, end: int) -> tuple[int, int, int]:
    """Return (position after the tag or -1, field number, wire type); field 0 and tags over 32 bits are errors."""
    after, tag = read_varint(base, position, end)
    if after < 0 or after - position > MAX_PREFIX or tag > 0xFFFFFFFF or tag < 8:
        return -1, 0, 0
    return after, tag >> 3, tag & 7


@inlined
def read_length(base: int, position: int, end: int) -> tuple[int, int]:
    """Return (first byte of a length-delimited field or -1, its end)."""
    after, size = read_varint(base, position, end)
    if after < 0 or after - position > MAX_PREFIX or size > end - after:
        return -1, 0
    return after, after + size


@unchecked
def skip_group(base: int, position: int, end: int, field: int, room: int) -> int:
    """Return the position after the deprecated group that has just been opened, or -1; at most `room` may nest."""
    depth = 0
    wire = i64(3)
    open_groups = np.zeros(MAX_DEPTH, np.int64)
    while True:
        if wire == 0:
            position, _ = read_varint(base, position, end)
            if position < 0:
                return -1
        elif wire == 1:
            position += 8
        elif wire == 5:
            position += 4
        elif wire == 2:
            position, after = read_length(base, position, end)
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
        position, field, wire = read_tag(base, position, end)
        if position < 0:
            return -1


@unchecked
def skip_field(base: int, position: int, end: int, field: int, wire: int) -> int:
    """Return the position after a field whose tag has been read, or -1."""
    if wire == 2:
        position, after = read_length(base, position, end)
        return after if position >= 0 else -1
    if wire == 1:
        return position + 8 if end - position >= 8 else -1
    if wire == 5:
        return position + 4 if end - position >= 4 else -1
    if wire == 0:
        return read_varint(base, position, end)[0]
    return skip_group(base, position, end, field, MAX_DEPTH) if wire == 3 else -1
