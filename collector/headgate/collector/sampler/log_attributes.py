"""Sampling information of log records, which have no trace state: the attributes that stand in for it.

`sampling.threshold` is T as 1 to 14 hexadecimal digits without trailing zeros, `sampling.randomness` R as exactly 14.
(the attributes of the OpenTelemetry Collector's probabilistic sampler)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.attributes import STRING, Attributes, Values
from headgate.collector.heap import intern
from headgate.collector.kernel import i64, kernel
from headgate.collector.keyed import key_attributes
from headgate.collector.references import Text
from headgate.collector.sampler.thresholds import threshold_text
from headgate.collector.threshold import hex_digit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.heap import Heap
    from headgate.collector.keyed import Keyed

THRESHOLD_KEY = "sampling.threshold"
RANDOMNESS_KEY = "sampling.randomness"


@kernel
def _read_digits(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    fewest: int,
    out: NDArray[np.int64],
) -> None:
    for i in range(offset.size):
        out[i] = -1
        if not fewest <= length[i] <= 14:
            continue
        value = i64(0)
        for j in range(14):
            digit = hex_digit(i64(buffer[offset[i] + j])) if j < length[i] else i64(0)
            if digit < 0:
                value = i64(-1)
                break
            value = value * 16 + digit
        out[i] = value


def read_thresholds(buffer: NDArray[np.uint8], text: Text) -> NDArray[np.int64]:
    """Return T of each record's attribute, -1 where it is empty or not well formed."""
    out = np.empty(len(text), np.int64)
    _read_digits(buffer, text.offset, text.length, 1, out)
    return out


def read_randomness(buffer: NDArray[np.uint8], text: Text) -> NDArray[np.int64]:
    """Return R of each record's attribute, -1 where it is empty or not well formed."""
    out = np.empty(len(text), np.int64)
    _read_digits(buffer, text.offset, text.length, 14, out)
    return out


def write_thresholds(heap: Heap, threshold: NDArray[np.int64]) -> Text:
    """Return the attribute's value for each kept record, adding bytes to the heap; empty where T is 0."""
    distinct, code = np.unique(threshold, return_inverse=True)
    texts = heap.add_texts([threshold_text(t).encode() if t else b"" for t in distinct.tolist()])
    return texts.take(code)


@kernel
def _write_digits(value: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
    for i in range(value.size):
        for j in range(14):
            digit = (value[i] >> (4 * (13 - j))) & 15
            out[14 * i + j] = 48 + digit if digit < 10 else 87 + digit


def write_randomness(heap: Heap, randomness: NDArray[np.int64]) -> Text:
    """Return the attribute's value for each R, adding bytes to the heap."""
    out = np.empty(14 * randomness.size, np.uint8)
    _write_digits(randomness, out)
    base = heap.add(out)
    return Text(base + 14 * np.arange(randomness.size), np.full(randomness.size, 14))


def with_sampling(
    heap: Heap,
    attributes: Attributes,
    kept: NDArray[np.bool_],
    threshold: NDArray[np.int64],
    randomness: NDArray[np.int64],
) -> Keyed:
    """Return the attributes of kept rows with T in them; those of other rows are left out.

    Nothing changes where T is -1, and T = 0 removes what is there. R is written beside T > 0 where it is not -1: it is
    of rows whose R nobody else can know.
    """
    row = attributes.row
    texts = heap.add_texts([THRESHOLD_KEY.encode(), RANDOMNESS_KEY.encode()])
    code, distinct = intern(heap, attributes.key)
    names = heap.read(distinct)
    gone = ~kept[row]
    for key, changed in (
        (THRESHOLD_KEY, threshold >= 0),
        (RANDOMNESS_KEY, (threshold > 0) & (randomness >= 0)),
    ):
        if key.encode() in names:
            gone |= changed[row] & (code == names.index(key.encode()))
    staying = np.flatnonzero(~gone)
    rows = np.flatnonzero(kept & (threshold > 0))
    drawn = rows[randomness[rows] >= 0]
    row = np.concatenate((row[staying], rows, drawn))
    order = np.argsort(row, kind="stable")
    new_keys = Text(
        np.repeat(texts.offset, (rows.size, drawn.size)),
        np.repeat(texts.length, (rows.size, drawn.size)),
    )
    new = _joined(
        write_thresholds(heap, threshold[rows]), write_randomness(heap, randomness[drawn])
    )
    old = attributes.value.take(staying)
    value = Values(
        np.concatenate((old.kind, np.full(len(new), STRING, np.uint8))),
        np.concatenate((old.bits, np.zeros(len(new), np.uint64))),
        _joined(old.text, new),
    )
    first = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=kept.size))))
    keys = _joined(attributes.key.take(staying), new_keys).take(order)
    (keyed,) = key_attributes(heap, [Attributes(first, keys, value.take(order))])
    return keyed


def _joined(left: Text, right: Text) -> Text:
    return Text(
        np.concatenate((left.offset, right.offset)), np.concatenate((left.length, right.length))
    )
