"""One scan of messages into columns, driven by a table: the schema is data (`headgate.collector.layout`).

It is called level by level: all resources of a request, then all scopes, then all spans, and so on. A message's row is
given by the caller, so that several messages may fill one row: this is how protobuf merges a field that is sent twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.attributes import read_pair
from headgate.collector.kernel import i64, unchecked
from headgate.collector.memory import address, byte_at, load32, load64
from headgate.collector.wire import read_length, read_tag, read_varint, skip_field

if TYPE_CHECKING:
    from numpy.typing import NDArray


@unchecked
def scan(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    row: NDArray[np.int64],
    table: NDArray[np.int64],
    fields: NDArray[np.uint64],
    child: NDArray[np.int64],
    pairs_of: NDArray[np.int64],
    key: NDArray[np.int64],
    kind_of: NDArray[np.uint8],
    bits_of: NDArray[np.uint64],
    text: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Read messages of one type into `fields`, and where their sub-messages lie into `child`.

    Message i lies in buffer[start[i]:end[i]], which is inside the buffer, and fills fields[:, row[i]]. `table[f]` says
    of field f: what it is, its slot (or list), the bits to clear. Slot 0 of a row has bit f set when field f was
    present; a BYTES field has two slots, offset and length. `child` has four rows: list, row, start, end. Pairs of key
    and value are read at once into `key`, `kind_of`, `bits_of` and `text`; `pairs_of[r + 1]` is set to their number in
    row r. Returns (-1 or the offset of an error, number of sub-messages, of pairs); those beyond the room given are
    counted only. (Room is given, not grown here: reassigning an array in the loop costs more than all the rest.)
    """
    base = address(buffer)
    count = i64(0)
    pairs = i64(0)
    room, pairs_room = child.shape[1], kind_of.size
    known = table.shape[0]
    pairs_of[:] = 0
    for i in range(start.size):
        position = start[i]
        stop = end[i]
        r = row[i]
        seen = fields[0, r]
        before = pairs
        while position < stop:
            here = position
            tag = byte_at(base, position)
            if tag >= 8 and tag < 0x80:
                position += 1
                field, wire = tag >> 3, tag & 7
            else:
                position, field, wire = read_tag(base, position, stop)
                if position < 0:
                    return here, count, pairs
            kind = table[field, 0] if field < known else i64(0)
            after = i64(-1)
            if wire == 2 and kind >= 4:
                if position < stop and byte_at(base, position) < 0x80:
                    after = position + 1 + byte_at(base, position)
                    position += 1
                    if after > stop:
                        return here, count, pairs
                else:
                    position, after = read_length(base, position, stop)
                    if position < 0:
                        return here, count, pairs
                if kind == 8:
                    if pairs < pairs_room:
                        error, a, b, c, d, e, f = read_pair(base, position, after)
                        if error >= 0:
                            return error, count, pairs
                        key[0, pairs] = a
                        key[1, pairs] = b
                        kind_of[pairs] = np.uint8(c)
                        bits_of[pairs] = d
                        text[0, pairs] = e
                        text[1, pairs] = f
                    pairs += 1
                elif kind == 4:
                    slot = table[field, 1]
                    fields[slot, r] = np.uint64(position)
                    fields[slot + 1, r] = np.uint64(after - position)
                else:
                    if count < room:
                        child[0, count] = table[field, 1]
                        child[1, count] = r
                        child[2, count] = position
                        child[3, count] = after
                    count += 1
                position = after
            elif kind == 2 and wire == 1:
                if stop - position < 8:
                    return here, count, pairs
                fields[table[field, 1], r] = load64(base, position)
                position += 8
            elif kind == 1 and wire == 0:
                position, value = read_varint(base, position, stop)
                if position < 0:
                    return here, count, pairs
                fields[table[field, 1], r] = np.uint64(value)
            elif kind == 3 and wire == 5:
                if stop - position < 4:
                    return here, count, pairs
                fields[table[field, 1], r] = load32(base, position)
                position += 4
            elif (kind == 6 and wire == 1) or (kind == 7 and wire == 0):
                if wire == 1:
                    after = position + 8
                    if after > stop:
                        return here, count, pairs
                else:
                    after, _ = read_varint(base, position, stop)
                    if after < 0:
                        return here, count, pairs
                if count < room:
                    child[0, count] = table[field, 1]
                    child[1, count] = r
                    child[2, count] = position
                    child[3, count] = after
                count += 1
                position = after
            else:
                position = skip_field(base, position, stop, field, wire)
                if position < 0:
                    return here, count, pairs
                kind = i64(0)
            if kind != 0:
                seen &= ~np.uint64(table[field, 2])
                seen |= np.uint64(1) << np.uint64(field)
        fields[0, r] = seen
        pairs_of[r + 1] += pairs - before
    return -1, count, pairs
