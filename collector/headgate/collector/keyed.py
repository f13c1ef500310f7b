"""Attributes with their keys interned: every later question about them compares small integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.heap import Heap, intern
from headgate.collector.kernel import kernel
from headgate.collector.layout import Text
from headgate.collector.native import (
    Encoded,
    encode_array,
    encode_dictionary,
    encode_strings,
)
from headgate.collector.text import value_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.attributes import Attributes, Values

_MANY = 200  # attributes in a row above which sorting them by insertion, quadratic at worst, is not the quick way


@dataclass(frozen=True, slots=True)
class Keys:
    """The distinct attribute keys of a segment; `rank` is each key's place in byte order."""

    names: list[bytes]
    text: Text
    rank: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Keyed:
    """Attributes of rows, sorted by key within each row: those of row r are first[r]..first[r + 1].

    `code` indexes `keys`; `text` is the value as stored, `value` the value as sent.
    """

    keys: Keys
    first: NDArray[np.int64]
    code: NDArray[np.int32]
    text: Text
    value: Values

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.first.size - 1)


@kernel
def sort_within_rows(
    first: NDArray[np.int64], code: NDArray[np.int32], rank: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the order that sorts each row's attributes by rank; stable, and quick for the few that rows have."""
    order = np.arange(code.size)
    for r in range(first.size - 1):
        start = first[r]
        for i in range(start + 1, first[r + 1]):
            moving = order[i]
            key = rank[code[moving]]
            j = i
            while j > start and rank[code[order[j - 1]]] > key:
                order[j] = order[j - 1]
                j -= 1
            order[j] = moving
    return order


@kernel
def find_kernel(
    first: NDArray[np.int64],
    code: NDArray[np.int32],
    column: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Set out[r, column[key]] to the first attribute of row r that has the key; columns below 0 are not wanted."""
    for r in range(first.size - 1):
        for i in range(first[r], first[r + 1]):
            c = column[code[i]]
            if c >= 0 and out[r, c] < 0:
                out[r, c] = i


def key_attributes(heap: Heap, levels: Sequence[Attributes]) -> list[Keyed]:
    """Intern the keys of several levels together, write their values as text, and sort each row by key.

    Sorted keys make equal attribute sets equal maps, which group and compress better.
    """
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
        if code.size and np.diff(level.first).max() > _MANY:
            order = np.lexsort((rank[code], level.row))
        else:
            order = sort_within_rows(level.first, code, rank)
        value = level.value.take(order)
        keyed.append(Keyed(keys, level.first, code[order], value_text(heap, value), value))
    return keyed


def find(keyed: Keyed, wanted: Sequence[str]) -> NDArray[np.int64]:
    """Return [rows, len(wanted)]: the index of each row's attribute of that name, or -1."""
    column = np.full(max(1, len(keyed.keys.names)), -1, np.int64)
    place = {name: i for i, name in enumerate(keyed.keys.names)}
    for number, name in enumerate(wanted):
        if name.encode() in place:
            column[place[name.encode()]] = number
    out = np.full((keyed.rows, len(wanted)), -1, np.int64)
    find_kernel(keyed.first, keyed.code, column, out)
    return out


def text_at(text: Text, index: NDArray[np.int64]) -> Text:
    """Return the texts at `index`, empty where it is -1."""
    missing = index < 0
    if not len(text):
        return Text(np.zeros(index.size, np.int64), np.zeros(index.size, np.int64))
    return Text(np.where(missing, 0, text.offset[index]), np.where(missing, 0, text.length[index]))


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


def encode_map(
    buffer: NDArray[np.uint8], keyed: Keyed, rows: NDArray[np.int64] | None = None
) -> Encoded:
    """Encode the attributes of `rows` (all, when None) as a Map(LowCardinality(String), String) column."""
    code, text = keyed.code, keyed.text
    counts = np.diff(keyed.first)
    if rows is not None:
        index, counts = expand(keyed.first, rows)
        code, text = code[index], text.take(index)
    return encode_array(
        counts, encode_lowcardinality(buffer, code, keyed.keys.text), encode_strings(buffer, text)
    )
