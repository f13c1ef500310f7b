"""What is acknowledged is valid: the check takes what protobuf's own parser takes, and what follows never fails.

Where the two differ on purpose: text that is not UTF-8 is taken, and stored byte for byte; field number 0 is refused
inside skipped groups too.
"""

from __future__ import annotations

import otlp_examples
import otlp_strategies
import pytest
import twin
import twin_values
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_rows import differences, rows_of
from otlp_strategies import varint

from headgate.collector.check import MOST_ITEMS, REQUESTS, check
from headgate.collector.errors import Malformed, TooLarge
from headgate.collector.process import Request, process
from headgate.collector.signals import Signal

SIGNALS = pytest.mark.parametrize("signal", list(Signal))


def accepted(signal: Signal, body: bytes) -> bool:
    offset = None
    try:
        check(signal, body)
    except Malformed as error:
        offset = error.offset
    else:
        return True
    assert offset is not None
    assert 0 <= offset < len(body)
    return False


def readable(signal: Signal, body: bytes) -> bool:
    try:
        twin_values.LENIENT[signal].FromString(body)
    except DecodeError:
        return False
    return True


def assert_as_protobuf(signal: Signal, body: bytes) -> bool:
    """Assert that a body is refused, or stored as what protobuf reads in it, as protobuf would have it."""
    valid = readable(signal, body)
    assert accepted(signal, body) == valid, body.hex()
    if valid:
        request = [Request(signal, body, check(signal, body), otlp_strategies.ARRIVAL_NS)]
        assert not differences(rows_of(process(request)), twin.tables(request)), body.hex()
    return valid


@SIGNALS
def test_cut_at_every_byte(signal):
    """A request cut anywhere is Malformed, unless the cut leaves a valid request, which is then stored as it is."""
    body = otlp_examples.BODIES[signal]
    valid = [assert_as_protobuf(signal, body[:size]) for size in range(len(body) + 1)]
    assert sum(valid) == 3, "empty, the first batch, both batches"


@SIGNALS
def test_every_byte_changed(signal):
    """With any one bit flipped, the check and protobuf agree whether the request is valid."""
    body = otlp_examples.BODIES[signal]
    for position in range(len(body)):
        for bit in range(8):
            changed = bytearray(body)
            changed[position] ^= 1 << bit
            assert accepted(signal, bytes(changed)) == readable(signal, bytes(changed)), (
                changed.hex()
            )


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """Change, remove, insert or repeat a few bytes."""
    result = bytearray(body)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(result)))
        size = draw(st.integers(0, 8))
        new = st.binary(max_size=3) | st.sampled_from((b"\x00", b"\x0a", b"\x0b", b"\x12", b"\x80"))
        start = draw(st.integers(0, len(result)))
        result[at : at + size] = draw(new | st.just(bytes(result[start : start + 4 * size])))
    return bytes(result)


@SIGNALS
def test_damage(signal):
    """Damaged requests are Malformed, or stored as what protobuf reads in them: never a crash or a wrong row."""

    @settings(max_examples=250, deadline=None)
    @given(damaged(otlp_examples.BODIES[signal]))
    def property_(body):
        assert_as_protobuf(signal, body)

    property_()


@SIGNALS
def test_garbage(signal):
    """Random bytes are Malformed or stored as what protobuf reads in them."""

    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=40))
    def property_(body):
        assert_as_protobuf(signal, body)
        # ... and within a batch, so that more of them are read.
        assert_as_protobuf(signal, b"\x0a" + varint(len(body)) + body)

    property_()


@SIGNALS
def test_items(signal):
    """The check counts the spans, records or points that protobuf finds."""

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(otlp_strategies.messages(REQUESTS[signal]))
    def property_(tree):
        body = otlp_strategies.canonical(REQUESTS[signal], tree)
        rows = twin.tables([Request(signal, body, 0, 1)])
        assert check(signal, body) == sum(row["Stored"] for row in rows.get("ledger", ()))

    property_()


def delimited(number: int, inner: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(inner)) + inner


def span_attribute(value: bytes) -> bytes:
    """Return a request of one span with one attribute, whose AnyValue is five messages deep."""
    for number in (2, 9, 2, 2, 1):
        value = delimited(number, value)
    return value


def array(levels: int) -> bytes:
    """Return an AnyValue of so many arrays in each other, two messages a level."""
    value = b""
    for _ in range(levels):
        value = delimited(5, delimited(1, value))
    return value


@pytest.mark.parametrize("levels", [1, 40, 47, 48, 49, 200, 20_000])
def test_depth(levels):
    """Values nest up to a hundred messages, as in protobuf; deeper ones are Malformed however deep they are."""
    assert assert_as_protobuf(Signal.TRACES, span_attribute(array(levels))) == (levels <= 47)


@pytest.mark.parametrize("levels", [1, 95, 96, 101, 50_000])
def test_groups_are_skipped(levels):
    """Groups, of a time before OTLP, are skipped and count as depth; unknown fields and known numbers alike."""
    for number in (1, 99):
        group = varint(number << 3 | 3) * levels + varint(number << 3 | 4) * levels
        body = span_attribute(group + delimited(1, b"kept"))
        assert assert_as_protobuf(Signal.TRACES, body) == (levels <= 95)


@pytest.mark.parametrize(
    "body",
    [
        b"\x0b",
        b"\x0c",
        b"\x0b\x14",
        b"\x00\x00",
        b"\x02\x00",
        b"\x0e",
        b"\x0f",
        b"\x80",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\x80\x80\x80\x80\x08",
        b"\x0a\x80\x80\x80\x80\x80\x00",
        b"\x8a\x80\x80\x80\x80\x00\x00",
        b"\x80\x80\x80\x80\x10\x00",
        b"\x78" + b"\xff" * 10 + b"\x01",
        b"\x79" + bytes(7),
        b"\x7d" + bytes(3),
    ],
)
def test_invalid_wire(body):
    """Open and unopened groups, field 0, unknown wire types, cut, too long and too large numbers are Malformed."""
    assert not assert_as_protobuf(Signal.TRACES, body)


def test_field_zero_in_a_group():
    """Stricter than protobuf, which does not look into what it skips."""
    body = b"\x0b\x00\x01\x0c"
    assert readable(Signal.TRACES, body)
    assert not accepted(Signal.TRACES, body)


@pytest.mark.parametrize(
    "raw", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80"]
)
def test_text_that_is_not_utf8(raw):
    """Laxer than protobuf: such bytes are stored as they came, as keys, values and inside arrays and lists."""
    text = delimited(1, raw)
    pair = delimited(1, raw) + delimited(2, text)
    listed = delimited(6, delimited(1, pair))
    for value in (text, delimited(5, delimited(1, text)), listed):
        body = span_attribute(value)
        with pytest.raises(DecodeError):
            REQUESTS[Signal.TRACES]._concrete_class.FromString(body)
        assert_as_protobuf(Signal.TRACES, body)
        (row,) = rows_of(process([Request(Signal.TRACES, body, 1, 1)]))["otel_traces"]
        assert raw in row["SpanAttributes"][0][1]


def test_many_attributes():
    """A span of a hundred thousand attributes in the worst order takes seconds, not hours; equal keys keep theirs."""
    names = [b"%06d" % number for number in range(50_000, 0, -1)]
    pairs = [(name, delimited(2, delimited(1, value))) for value in (b"1", b"2") for name in names]
    span = b"".join(delimited(9, delimited(1, name) + value) for name, value in pairs)
    body = delimited(1, delimited(2, delimited(2, span)))
    assert check(Signal.TRACES, body) == 1
    (row,) = rows_of(process([Request(Signal.TRACES, body, 1, 1)]))["otel_traces"]
    assert row["SpanAttributes"] == [
        [name, value] for name in sorted(names) for value in (b"1", b"2")
    ]


SPAN = bytes((0x12, 0))
POINT = bytes((0x0A, 0))
EVENT = bytes((0x5A, 0))


def nested(field_numbers: list[int], body: bytes) -> bytes:
    for number in reversed(field_numbers):
        body = varint(number << 3 | 2) + varint(len(body)) + body
    return body


@pytest.mark.parametrize(
    ("signal", "way", "unit", "most"),
    [
        (Signal.TRACES, [1, 2], SPAN, MOST_ITEMS * 8 // 9),
        (Signal.LOGS, [1, 2], SPAN, MOST_ITEMS * 8 // 9),
        (Signal.METRICS, [1, 2, 2, 5], POINT, MOST_ITEMS * 8 // 9),
        (Signal.TRACES, [1, 2, 2], EVENT, MOST_ITEMS * 8),
    ],
    ids=["spans", "log records", "data points", "events"],
)
def test_many_tiny_parts_are_too_large(signal, way, unit, most):
    """Two bytes each, yet hundreds in memory: just under the limit they are taken, just over it they are not."""
    check(signal, nested(way, unit * (most - 100)))
    with pytest.raises(TooLarge, match="send smaller batches"):
        check(signal, nested(way, unit * (most + 100)))


def test_numbers_in_lists_are_parts_too():
    """A histogram's bucket counts take a byte each on the wire and eight or more in memory."""
    counts = bytes([1]) * (MOST_ITEMS * 8 + 100)
    way = [1, 2, 2, 10, 1, 8]  # to an exponential histogram's positive buckets
    body = nested([*way, 2], counts)
    with pytest.raises(TooLarge):
        check(Signal.METRICS, body)
    check(Signal.METRICS, nested([*way, 2], counts[: MOST_ITEMS * 7]))
