"""Thresholds and randomness in the attributes of log records."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.sampler.log_attributes import (
    read_randomness,
    read_thresholds,
    write_thresholds,
)

WHOLE = 1 << 56


@settings(deadline=None)
@given(st.lists(st.text("0123456789abcdefA-", max_size=16), max_size=20))
@example(["", "8", "e666", "0", "0123456789abcd", "0123456789abcde", "0x8", "é"])
def test_digits_are_read_as_specified(texts):
    """T is 1 to 14 digits, padded with zeros; R is exactly 14; anything else is nothing."""
    heap = Heap(as_buffer(b"-"))
    refs = heap.add_texts([text.encode() for text in texts])
    expected = [
        int(text.ljust(14, "0"), 16) if re.fullmatch("[0-9a-f]{1,14}", text) else -1
        for text in texts
    ]
    exact = [value if len(text) == 14 else -1 for text, value in zip(texts, expected, strict=True)]
    assert read_thresholds(heap.buffer, refs).tolist() == expected
    assert read_randomness(heap.buffer, refs).tolist() == exact


@settings(deadline=None)
@given(st.lists(st.integers(0, WHOLE - 1), min_size=1))
def test_written_thresholds_are_read_again(thresholds):
    """What is written is read back as the same T; all of the traffic (T = 0) is written as nothing."""
    heap = Heap(as_buffer(b"-"))
    written = write_thresholds(heap, np.array(thresholds))
    assert read_thresholds(heap.buffer, written).tolist() == [t or -1 for t in thresholds]
