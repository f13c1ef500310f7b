"""The adjusted count of a trace state, against integer arithmetic and against the table's own Weight."""

from __future__ import annotations

import otlp_strategies
import pytest
import twin_uses
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native_rows import store_blocks

from headgate.collector.check import check
from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.process import Request, process
from headgate.collector.signals import Signal
from headgate.collector.threshold import adjusted_count

PIECES = st.sampled_from(
    [*("ot=", "th:", "rv:", "p:", ";", ",", " ", "\t", "=", ":", "x", "a=b", "th:8", "ot=th:c")]
) | st.text("0123456789abcdefABg", max_size=15)
STATES = st.lists(PIECES, max_size=8).map("".join) | st.sampled_from(otlp_strategies.STATES)


def counts(states: list[bytes]) -> list[float]:
    heap = Heap(as_buffer(b"ot=th:8"))
    texts = heap.add_texts(states)
    return adjusted_count(heap.buffer, texts).tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(STATES.map(str.encode), max_size=5))
def test_any_state(states):
    """Arbitrary trace states count as a plain reading of them does, which splits and matches."""
    wanted = [twin_uses.weight(state) for state in states]
    assert counts(states) == pytest.approx(wanted, rel=2**-51)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**56 - 1), st.integers(1, 14))
@example(2**56 - 1, 14)
@example(0, 1)
def test_any_threshold(threshold, digits):
    """Every threshold of every precision gives 2^56 / (2^56 - T), the difference taken in integers."""
    text = f"{threshold:014x}"[:digits]
    kept = 2**56 - int(text.ljust(14, "0"), 16)
    assert counts([b"ot=rv:0123456789abcd;th:%s,v=1" % text.encode()]) == pytest.approx(
        [2**56 / kept], rel=2**-51
    )


def test_agrees_with_the_table(store):
    """What is counted before storing weighs as much as the row that is stored."""
    states = [*otlp_strategies.STATES, "ot=th:1", "ot=th:ff;rv:1", "v=ot=th:8", "v=1,  ot=th:abc"]
    spans = [{"name": f"{i}", "trace_state": state} for i, state in enumerate(states)]
    tree = {"resource_spans": [{"scope_spans": [{"spans": spans}]}]}
    body = otlp_strategies.canonical(otlp_strategies.REQUESTS[Signal.TRACES], tree)
    assert check(Signal.TRACES, body) == len(states)
    store_blocks(store, "s", process([Request(Signal.TRACES, body, 1, otlp_strategies.ARRIVAL_NS)]))
    rows = (
        store.client()
        .query(
            "SELECT TraceState, Weight, CallsAdjusted FROM otel_traces"
            " JOIN usage_minute ON SpanName = Operation"
        )
        .result_rows
    )
    assert len(rows) == len(states)
    # Two members of the same name are not valid; only then may the two differ.
    differing = {state for state, weight, calls in rows if weight != pytest.approx(calls)}
    assert differing <= {"ot=rv:1,ot=th:c"}
