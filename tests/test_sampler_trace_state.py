"""Reading randomness from trace states and writing thresholds into them, against the rules in plain Python."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.sampler import read_trace_state, threshold_text, write_trace_state

HALF = 1 << 55

digits = st.text("0123456789abcdef", min_size=0, max_size=15)
sub_key = st.one_of(
    digits.map("th:{}".format),
    st.text("0123456789abcdef", min_size=14, max_size=14).map("rv:{}".format),
    digits.map("rv:{}".format),
    st.tuples(st.text("abcx", max_size=3), st.text("abc:1", max_size=120)).map(":".join),
)
member = st.one_of(
    st.lists(sub_key, max_size=5).map(lambda parts: "ot=" + ";".join(parts)),
    st.tuples(st.text("abvo@", max_size=4), st.text("a=:;1", max_size=10)).map("=".join),
    st.just(""),
)
trace_states = st.lists(
    st.tuples(st.sampled_from(["", " ", "\t"]), member, st.sampled_from(["", " "])).map("".join),
    max_size=40,
).map(",".join)


def ot_value(text: str) -> str | None:
    """Return the value of the first `ot` member."""
    for part in text.split(","):
        if part.strip(" \t").startswith("ot="):
            return part.strip(" \t")[3:]
    return None


def slow_randomness(text: str) -> int:
    """Return R by the rules in plain Python."""
    for part in (ot_value(text) or "").split(";"):
        if part.startswith("rv:"):
            return int(part[3:], 16) if re.fullmatch("[0-9a-f]{14}", part[3:]) else -1
    return -1


def slow_write(text: str, threshold: int) -> str:
    """Write T by the rules in plain Python."""
    parts = [part for part in (ot_value(text) or "").split(";") if part and part[:3] != "th:"]
    randomness = [part for part in parts if part[:3] == "rv:"][:1]
    if randomness:
        parts.remove(randomness[0])
    value = ""
    for part in (
        *(["th:" + threshold_text(threshold)] if threshold else []),
        *randomness,
        *parts,
    ):
        longer = f"{value};{part}" if value else part
        if len(longer) <= 256:
            value = longer
    others = [part.strip(" \t") for part in text.split(",")]
    others = [part for part in others if part and part[:3] != "ot="]
    return ",".join([*(["ot=" + value] if value else []), *others][:32])


def texts(states: list[str]):
    """Return a heap and references to these trace states."""
    heap = Heap(as_buffer(b"x"))
    return heap, heap.add_texts([state.encode() for state in states])


@settings(deadline=None)
@given(trace_states)
@example("ot=rv:0123456789abcd")
@example("ot=th:8;rv:0123456789abcde")
@example(" ot=a:1;rv:ffffffffffffff ,b=c")
def test_randomness_is_read_as_specified(state):
    """R is the 14 digits of the first `rv` of the first `ot` member, and nothing else."""
    heap, text = texts([state, "ot=rv:00000000000001"])
    _, randomness = read_trace_state(heap.buffer, text)
    assert randomness.tolist() == [slow_randomness(state), 1]


@settings(deadline=None)
@given(st.lists(trace_states, min_size=1, max_size=5), st.lists(st.integers(0, 0xFFFFFFF)))
@example([""], [0x8000000])
@example(["ot=" + ";".join("a" * 120 + str(i) for i in range(3)) + ";rv:0123456789abcd"], [1])
@example([",".join(f"k{i}=v" for i in range(40))], [3])
def test_threshold_is_written_as_specified(states, short):
    """The new `th` stands first in the first member; R, unknown sub-keys and other vendors' members stay."""
    heap, text = texts(states)
    given_threshold, randomness = read_trace_state(heap.buffer, text)
    threshold = np.array([((short * 5 + [0, 7])[i % 2]) << 28 for i in range(len(states))])
    written = heap.read(write_trace_state(heap, text, given_threshold, threshold))
    for i, state in enumerate(states):
        if max(given_threshold[i], 0) == threshold[i]:
            assert written[i] == state.encode()
        else:
            assert written[i].decode() == slow_write(state, int(threshold[i]))
    _, again = texts([])
    heap, again = texts([line.decode() for line in written])
    read_again = read_trace_state(heap.buffer, again)
    assert np.maximum(read_again[0], 0).tolist() == threshold.tolist()
    # `rv` survives, and a malformed one stays malformed.
    assert read_again[1].tolist() == randomness.tolist()


@pytest.mark.parametrize(
    ("state", "threshold", "expected"),
    [
        ("", HALF, "ot=th:8"),
        ("ot=th:4", HALF, "ot=th:8"),
        ("ot=rv:0123456789abcd;th:4;zz:1", HALF, "ot=th:8;rv:0123456789abcd;zz:1"),
        ("vendor=1, ot=zz:1 ,other=2", HALF, "ot=th:8;zz:1,vendor=1,other=2"),
        ("ot=th:8", HALF, "ot=th:8"),
        ("vendor=1", 0, "vendor=1"),
        ("ot=th:8,vendor=1", 0, "vendor=1"),
        ("ot=th:8;rv:0123456789abcd", 0, "ot=rv:0123456789abcd"),
    ],
)
def test_examples_of_written_trace_states(state, threshold, expected):
    """What a reader of the store will see."""
    heap, text = texts([state])
    given_threshold, _ = read_trace_state(heap.buffer, text)
    out = write_trace_state(heap, text, given_threshold, np.array([threshold]))
    assert heap.read(out) == [expected.encode()]


def test_equal_rows_are_written_once():
    """A hundred thousand rows of two trace states and two thresholds add four texts to the heap."""
    heap, text = texts(["", "ot=rv:0123456789abcd"] * 50_000)
    before = heap.buffer.size
    threshold = np.repeat(np.array([HALF, HALF + (HALF >> 1)]), 50_000)
    out = write_trace_state(heap, text, np.full(100_000, -1), threshold)
    assert len(set(zip(out.offset.tolist(), out.length.tolist(), strict=True))) == 4
    assert heap.buffer.size - before < 120
