"""Dimensions: the names that the settings give to attributes, and the exact count of uses by their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.cardinality import OTHER
from headgate.collector.grouping import group, packed, relative
from headgate.collector.heap import Heap, intern
from headgate.collector.keyed import Keyed, find, text_at
from headgate.collector.layout import Text
from headgate.collector.measures import Measures, measures_of
from headgate.collector.outcome import OUTCOMES
from headgate.collector.times import seconds
from headgate.collector.uses import KINDS, Uses, integer_at
from headgate.store.dimension import PER_HUNDRED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

QUARTER_S = 900
LONGEST = 256
"""Bytes of the longest value that is counted by itself; longer ones are counted under `__other__`."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A dimension of some uses: `code[i]` indexes `words`, and is -1 where use i has no value."""

    name: str
    code: NDArray[np.int64]
    words: list[bytes]


@dataclass(frozen=True, slots=True)
class DimensionRows:
    """Rows for dimension_quarter.

    `dimension` indexes the dimensions, `value` indexes `words`, `service` is a code of the uses.
    """

    words: list[bytes]
    time_s: NDArray[np.uint32]
    dimension: NDArray[np.int64]
    value: NDArray[np.int64]
    service: NDArray[np.int64]
    kind: NDArray[np.uint8]
    outcome: NDArray[np.uint8]
    measures: Measures


def dimensions_of(
    heap: Heap,
    wanted: Sequence[tuple[str, Sequence[str]]],
    own: Keyed,
    own_row: NDArray[np.int64],
    resource: Keyed,
    resource_row: NDArray[np.int64],
) -> list[Dimension]:
    """Return the dimensions of which some use has a value.

    `own_row` is the row of each use in its attributes `own`, `resource_row` in its resource's. Of a dimension's
    attributes the first counts that a use or its resource has, with a value that is not empty.
    """
    keys = sorted({key.removesuffix(PER_HUNDRED) for _, several in wanted for key in several})
    place = {key: column for column, key in enumerate(keys)}
    sources = [
        (keyed, index[:, [place[key] for key in keys]], row)
        for keyed, index, row in (
            (own, find(own, keys), own_row),
            (resource, find(resource, keys), resource_row),
        )
    ]
    found = []
    for name, several in wanted:
        code = np.full(own_row.size, -1, np.int64)
        words: dict[bytes, int] = {}
        for key in several:
            column = place[key.removesuffix(PER_HUNDRED)]
            for keyed, index, row in sources:
                if (index[:, column] >= 0).any():
                    _fill(heap, code, words, keyed, index[row, column], key)
        if words:
            found.append(Dimension(name, code, list(words)))
    return found


def _fill(
    heap: Heap,
    code: NDArray[np.int64],
    words: dict[bytes, int],
    keyed: Keyed,
    index: NDArray[np.int64],
    key: str,
) -> None:
    """Give those uses that have no value yet the value of their attribute at `index`, -1 being none."""
    rows = np.flatnonzero((code < 0) & (index >= 0))
    if key.endswith(PER_HUNDRED):
        number = integer_at(keyed, index[rows])
        rows = rows[number >= 0]
        distinct, value_of = np.unique(number[number >= 0] // 100, return_inverse=True)
        values = [b"%dxx" % hundreds for hundreds in distinct.tolist()]
    else:
        text = text_at(heap, keyed, index[rows])
        rows, text = rows[text.length > 0], text.take(np.flatnonzero(text.length > 0))
        codes, texts = intern(heap, text)
        values, value_of = _read(heap, texts), codes.astype(np.int64)
    if rows.size:
        numbers = [words.setdefault(value, len(words)) for value in values]
        code[rows] = np.array(numbers)[value_of]


def _read(heap: Heap, texts: Text) -> list[bytes]:
    long = texts.length > LONGEST
    values = heap.read(Text(texts.offset, np.where(long, 0, texts.length)))
    return [OTHER if is_long else value for value, is_long in zip(values, long, strict=True)]


def dimension_rows(uses: Uses, dimensions: Sequence[Dimension]) -> DimensionRows:
    """Count entries by quarter of an hour, dimension, value, service, kind and outcome; at least one dimension.

    The dimensions are by entry. Entries with equal values of all dimensions are merged first: such combinations are
    few, so that counting by eight dimensions costs hardly more than counting by one.
    """
    entries = np.flatnonzero(uses.entry)
    quarter = seconds(uses.time_ns[entries], QUARTER_S)
    base = (
        (uses.service.code[entries], len(uses.service.distinct)),
        (uses.kind[entries], len(KINDS)),
        (uses.outcome[entries], len(OUTCOMES)),
        relative(quarter),
    )
    groups = group(packed(*base, *((d.code + 1, len(d.words) + 1) for d in dimensions)))
    first = groups.first
    merged = measures_of(uses, entries).merged(groups)
    words: dict[bytes, int] = {}
    there, number, value = [], [], []
    for i, dimension in enumerate(dimensions):
        codes = np.array([words.setdefault(word, len(words)) for word in dimension.words])
        valued = np.flatnonzero(dimension.code[first] >= 0)
        there.append(valued)
        number.append(np.full(valued.size, i))
        value.append(codes[dimension.code[first[valued]]])
    stacked, dimension_number, word = map(np.concatenate, (there, number, value))
    again = group(
        packed(
            relative(packed(*base)[first[stacked]]),
            (dimension_number, len(dimensions)),
            (word, len(words)),
        )
    )
    rows = entries[first[stacked[again.first]]]
    return DimensionRows(
        words=list(words),
        time_s=quarter[first[stacked[again.first]]],
        dimension=dimension_number[again.first],
        value=word[again.first],
        service=uses.service.code[rows],
        kind=uses.kind[rows],
        outcome=uses.outcome[rows],
        measures=merged.take(stacked).merged(again),
    )
