"""Attributes with their keys interned: every later question about them compares small integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.heap import Heap, intern
from headgate.collector.kernel import i64, unchecked
from headgate.collector.memory import address, prefetch, store8
from headgate.collector.native import (
    Encoded,
    encode_array,
    encode_dictionary,
    encode_strings,
    index_type,
    put_string,
    repeat_blobs,
)
from headgate.collector.references import Text
from headgate.collector.shapes import Shapes, find_kernel, place_kernel, shapes
from headgate.collector.text import Written, put_number, render, write_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.attributes import Attributes, Values


@dataclass(frozen=True, slots=True)
class Keys:
    """The distinct attribute keys of a segment; `rank` is each key's place in byte order."""

    names: list[bytes]
    text: Text
    rank: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Keyed:
    """Attributes of rows, in the order sent: those of row r are first[r]..first[r + 1].

    Their keys are those of the row's shape; `value` is the value as sent, `written` how it is stored.
    """

    keys: Keys
    first: NDArray[np.int64]
    shapes: Shapes
    value: Values
    written: Written

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.first.size - 1)


def key_attributes(heap: Heap, levels: Sequence[Attributes]) -> list[Keyed]:
    """Intern the keys of several levels together, find the shapes of their rows, and how to write their values."""
    codes, text = intern(
        heap,
        Text(
            np.concatenate([level.key.offset for level in levels]),
            np.concatenate([level.key.length for level in levels]),
        ),
    )
    names = heap.read(text)
    rank = np.empty(len(names), np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    keys = Keys(names, text, rank)
    keyed = []
    position = 0
    for level in levels:
        count = len(level.key)
        code = codes[position : position + count]
        position += count
        keyed.append(
            Keyed(
                keys,
                level.first,
                shapes(level.first, code, rank),
                level.value,
                write_values(heap, level.value),
            )
        )
    return keyed


def find(keyed: Keyed, wanted: Sequence[str]) -> NDArray[np.int64]:
    """Return [rows, len(wanted)]: the index of each row's first attribute of that name, or -1."""
    column = np.full(max(1, len(keyed.keys.names)), -1, np.int64)
    number_of = {name: i for i, name in enumerate(keyed.keys.names)}
    for number, name in enumerate(wanted):
        if name.encode() in number_of:
            column[number_of[name.encode()]] = number
    place = np.full((len(wanted), keyed.shapes.first.size - 1), -1, np.int64)
    place_kernel(keyed.shapes.first, keyed.shapes.code, column, place)
    out = np.empty((len(wanted), keyed.rows), np.int64)
    find_kernel(keyed.first, keyed.shapes.of, place, out)
    return out.T


def text_at(heap: Heap, keyed: Keyed, index: NDArray[np.int64]) -> Text:
    """Return the values at `index` as they are stored, empty where it is -1; numbers are added to the heap."""
    size = np.zeros(index.size, np.int64)
    there = np.flatnonzero(index >= 0)
    if not there.size:
        return Text(size, size)
    at = index[there]
    found = render(heap, keyed.written.take(at), keyed.value.bits[at])
    if there.size == index.size:
        return found
    offset, length = size, size.copy()
    offset[there], length[there] = found.offset, found.length
    return Text(offset, length)


def expand(
    first: NDArray[np.int64], rows: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (the elements of each of `rows`, one row after the other; how many each row has)."""
    counts = first[rows + 1] - first[rows]
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    within = np.arange(total) - np.repeat(ends - counts, counts)
    return np.repeat(first[rows], counts) + within, counts


def encode_lowcardinality(
    buffer: NDArray[np.uint8], codes: NDArray[Any], distinct: Text
) -> Encoded:
    """Encode codes into `distinct` as a LowCardinality(String) column that holds only the strings in use."""
    used = np.flatnonzero(np.bincount(codes, minlength=1)) if codes.size else np.empty(0, np.int64)
    place = np.zeros(int(used[-1]) + 1 if used.size else 1, np.int64)
    place[used] = np.arange(used.size)
    return encode_dictionary(place[codes], encode_strings(buffer, distinct.take(used)), used.size)


def text_sizes(keyed: Keyed, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return about how many bytes the attributes of each of `rows` take."""
    index, counts = expand(keyed.first, rows)
    ends = np.concatenate([[0], np.cumsum(keyed.written.text.length[index])])
    last = np.cumsum(counts)
    sizes: NDArray[np.int64] = ends[last] - ends[last - counts]
    return sizes


@unchecked
def map_room(
    first: NDArray[np.int64],
    rows: NDArray[np.int64],
    how: NDArray[np.uint8],
    length: NDArray[np.int64],
) -> int:
    """Return the bytes that the values of `rows` take at most."""
    total = i64(0)
    for r in rows:
        for i in range(first[r], first[r + 1]):
            total += length[i] + 10 if how[i] == 1 else i64(40)
    return total


@unchecked
def put_values(
    buffer: NDArray[np.uint8],
    first: NDArray[np.int64],
    of: NDArray[np.int32],
    shape_first: NDArray[np.int64],
    order: NDArray[np.int64],
    how: NDArray[np.uint8],
    bits: NDArray[np.uint64],
    doubles: NDArray[np.float64],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    rows: NDArray[np.int64],
    out: NDArray[np.uint8],
    place: NDArray[np.int64],
) -> int:
    """Write the values of `rows`, those of a row sorted by key, as strings with their lengths.

    Sets place[i] to where those of rows[i] begin, and the last place to the end. Returns the bytes written, or -1 when
    a text is outside the buffer.
    """
    base, size, to, room = address(buffer), buffer.size, address(out), out.size
    position = i64(0)
    for n in range(rows.size):
        r = rows[n]
        place[n] = position
        start = first[r]
        if n + 4 < rows.size:
            ahead = first[rows[n + 4]]
            if ahead < offset.size:
                prefetch(base, offset[ahead])
                prefetch(base, offset[ahead] + 64)
                prefetch(base, offset[ahead] + 128)
                prefetch(base, offset[ahead] + 192)
                prefetch(base, offset[ahead] + 256)
        own = shape_first[of[r]]
        for k in range(own, own + first[r + 1] - start):
            i = start + order[k]
            written = i64(how[i])
            if written == 1:
                position = put_string(base, size, offset[i], length[i], to, room, position)
                if position < 0:
                    return -1
            elif room - position < 40:
                return -1
            elif written == 0:
                store8(to, position, 0)
                position += 1
            else:
                after = put_number(written, bits[i], doubles[i], to, position + 1)
                store8(to, position, after - position - 1)
                position = after
    place[rows.size] = position
    return position


def _values(
    buffer: NDArray[np.uint8], keyed: Keyed, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the encoded values of `rows`, and where those of each begin."""
    written, own, bits = keyed.written, keyed.shapes, keyed.value.bits
    text = written.text
    out = np.empty(map_room(keyed.first, rows, written.how, text.length), np.uint8)
    place = np.empty(rows.size + 1, np.int64)
    size = put_values(
        buffer, keyed.first, own.of, own.first, own.order, written.how, bits,
        bits.view(np.float64), text.offset, text.length, rows, out, place,
    )  # fmt: skip
    if size < 0:
        raise ValueError("an attribute's value lies outside its buffer")
    return out[:size], place


def encode_map(
    buffer: NDArray[np.uint8], keyed: Keyed, rows: NDArray[np.int64] | None = None
) -> Encoded:
    """Encode the attributes of `rows` (all, when None) as a Map(LowCardinality(String), String) column.

    Sorted keys make equal attribute sets equal maps, which group and compress better.
    """
    own, keys = keyed.shapes, keyed.keys
    if rows is None:
        rows = np.arange(keyed.rows)
    if rows.size > 2 * keyed.rows:
        # Few rows stand for many, as resources do for their spans: encode each once.
        values = repeat_blobs(*_values(buffer, keyed, np.arange(keyed.rows)), rows)
    else:
        values, _ = _values(buffer, keyed, rows)
    shape = own.of[rows]
    size = np.diff(own.first)
    sorted_codes = own.code[own.order + np.repeat(own.first[:-1], size)]
    in_use = np.bincount(shape, minlength=size.size) > 0
    used = np.flatnonzero(np.bincount(sorted_codes[np.repeat(in_use, size)], minlength=1))
    place = np.zeros(len(keys.names) + 1, np.int64)
    place[used] = np.arange(used.size)
    index = place[sorted_codes].astype(index_type(used.size))
    codes = repeat_blobs(index.view(np.uint8), own.first * index.itemsize, shape)
    strings = encode_strings(buffer, keys.text.take(used))
    return encode_array(
        size[shape],
        encode_dictionary(codes.view(index.dtype), strings, used.size),
        Encoded((), (values.data,)),
    )
