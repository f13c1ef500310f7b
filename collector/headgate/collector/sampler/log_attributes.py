"""Sampling information of log records, which have no trace state: the attributes that stand in for it.

`sampling.threshold` is T as 1 to 14 hexadecimal digits without trailing zeros, `sampling.randomness` R as exactly 14.
(the attributes of the OpenTelemetry Collector's probabilistic sampler)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel
from headgate.collector.sampler.thresholds import threshold_text
from headgate.collector.threshold import hex_digit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.heap import Heap
    from headgate.collector.layout import Text

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
