"""Columnar decoding finds in every message, at every level, every field that protobuf finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import otlp_examples
import otlp_strategies
import pytest
import twin_values
from google.protobuf.descriptor import FieldDescriptor as Field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_rows import rows_of
from otlp_strategies import varint

from headgate.collector.attributes import BYTES, DOUBLE, EMPTY, STRING
from headgate.collector.decode import decode_logs, decode_traces
from headgate.collector.errors import Malformed
from headgate.collector.metrics import decode_metrics
from headgate.collector.process import Request, process
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from headgate.collector.attributes import Attributes, Values
    from headgate.collector.layout import Messages

DECODE = {
    Signal.TRACES: decode_traces,
    Signal.LOGS: decode_logs,
    Signal.METRICS: decode_metrics,
}
SIGNALS = pytest.mark.parametrize("signal", list(Signal))
INTEGERS = {
    Field.TYPE_INT64: np.int64,
    Field.TYPE_SFIXED64: np.int64,
    Field.TYPE_UINT64: np.uint64,
    Field.TYPE_FIXED64: np.uint64,
}


def column(messages: Messages, field: Field) -> list[Any]:  # noqa: PLR0911 - one return a type
    """Return a scalar field as Python values."""
    match field.type:
        case Field.TYPE_STRING | Field.TYPE_BYTES:
            text = messages.text(field.name)
            raw = messages.buffer.tobytes()
            return [raw[o : o + n] for o, n in zip(text.offset, text.length, strict=True)]
        case Field.TYPE_DOUBLE:
            return messages.float64(field.name).tolist()
        case Field.TYPE_SINT32:
            return messages.sint32(field.name).tolist()
        case Field.TYPE_INT32 | Field.TYPE_ENUM:
            return messages.int32(field.name).tolist()
        case Field.TYPE_UINT32 | Field.TYPE_FIXED32:
            return messages.int32(field.name).view(np.uint32).tolist()
        case Field.TYPE_BOOL:
            return (messages.uint64(field.name) != 0).tolist()
        case _:
            return messages.uint64(field.name).view(INTEGERS[field.type]).tolist()


def assert_equal(messages: Messages, expected: list[Any]) -> None:
    """Assert that every scalar field of every message is as protobuf has it, and present where it is."""
    assert len(messages) == len(expected)
    if not expected:
        return
    for field in expected[0].DESCRIPTOR.fields:
        if field.message_type is not None or field.is_repeated:
            continue
        wanted = [getattr(message, field.name) for message in expected]
        found = column(messages, field)
        if field.has_presence:
            there = messages.present(field.name).tolist()
            assert there == [message.HasField(field.name) for message in expected], field.name
            pairs = zip(wanted, there, found, strict=True)
            found = [value if is_there else want for want, is_there, value in pairs]
        assert repr(found) == repr(wanted), field.full_name


def assert_values(buffer: np.ndarray, values: Values, expected: list[Any]) -> None:
    raw = buffer.tobytes()
    for i, value in enumerate(expected):
        kind, bits = int(values.kind[i]), values.bits[i : i + 1]
        member = value.WhichOneof("value")
        number = value.DESCRIPTOR.fields_by_name[member].number if member else EMPTY
        assert kind == number
        if kind in {STRING, BYTES}:
            offset, length = values.text.offset[i], values.text.length[i]
            assert raw[offset : offset + length] == getattr(value, member)
        elif kind == DOUBLE:
            assert repr(bits.view(np.float64)[0].item()) == repr(value.double_value)
        elif member in {"bool_value", "int_value"}:
            found = bits[0] != 0 if member == "bool_value" else bits.view(np.int64)[0]
            assert found == getattr(value, member)


def assert_attributes(buffer: np.ndarray, attributes: Attributes, owners: list[Any]) -> None:
    """Assert that each owner has its attributes, in the order sent; the insides of composites are text's matter."""
    pairs = [pair for owner in owners for pair in owner]
    assert np.diff(attributes.first).tolist() == [len(owner) for owner in owners]
    raw = buffer.tobytes()
    keys = zip(attributes.key.offset, attributes.key.length, strict=True)
    assert [raw[o : o + n] for o, n in keys] == [pair.key for pair in pairs]
    assert_values(buffer, attributes.value, [pair.value for pair in pairs])


def levels(signal: Signal, body: bytes) -> tuple[Any, list[Any], list[Any]]:
    """Return what we decode, and protobuf's resource batches and scope batches."""
    decoded = DECODE[signal](body)
    message = twin_values.LENIENT[signal].FromString(body)
    (field,) = message.DESCRIPTOR.fields
    batches = list(getattr(message, field.name))
    name = "scope_spans" if signal is Signal.TRACES else f"scope_{signal}"
    scoped = [scope for batch in batches for scope in getattr(batch, name)]
    found = decoded.batches
    assert_equal(found.resource_batch, batches)
    assert_equal(found.resource, [batch.resource for batch in batches])
    resources = [batch.resource.attributes for batch in batches]
    assert_attributes(found.buffer, found.resource_attributes, resources)
    assert_equal(found.scope_batch, scoped)
    assert_equal(found.scope, [each.scope for each in scoped])
    scopes = [each.scope.attributes for each in scoped]
    assert_attributes(found.buffer, found.scope_attributes, scopes)
    owners = [number for number, batch in enumerate(batches) for _ in getattr(batch, name)]
    assert found.scope_resource.tolist() == owners
    return decoded, batches, scoped


def assert_spans(body: bytes) -> None:
    found, _, scoped = levels(Signal.TRACES, body)
    buffer = found.batches.buffer
    spans = [span for each in scoped for span in each.spans]
    assert_equal(found.span, spans)
    assert_equal(found.status, [span.status for span in spans])
    assert_attributes(buffer, found.attributes, [span.attributes for span in spans])
    for name, inner, attributes, owner in (
        ("events", found.event, found.event_attributes, found.event_span),
        ("links", found.link, found.link_attributes, found.link_span),
    ):
        expected = [each for span in spans for each in getattr(span, name)]
        assert_equal(inner, expected)
        assert_attributes(buffer, attributes, [each.attributes for each in expected])
        owners = [i for i, span in enumerate(spans) for _ in getattr(span, name)]
        assert owner.tolist() == owners


def assert_records(body: bytes) -> None:
    found, _, scoped = levels(Signal.LOGS, body)
    records = [record for each in scoped for record in each.log_records]
    assert_equal(found.record, records)
    assert_attributes(found.batches.buffer, found.attributes, [r.attributes for r in records])
    assert_values(found.batches.buffer, found.body, [record.body for record in records])


def assert_metrics(body: bytes) -> None:
    found, _, scoped = levels(Signal.METRICS, body)
    buffer = found.batches.buffer
    metrics = [metric for each in scoped for metric in each.metrics]
    assert_equal(found.metric, metrics)
    for points in found.points:
        data = [getattr(m, points.kind) if m.HasField(points.kind) else None for m in metrics]
        expected = [point for each in data if each for point in each.data_points]
        assert_equal(points.point, expected)
        assert_attributes(buffer, points.attributes, [point.attributes for point in expected])
        if points.exemplar is not None:
            exemplars = [each for point in expected for each in point.exemplars]
            assert_equal(points.exemplar, exemplars)
            pairs = [each.filtered_attributes for each in exemplars]
            assert_attributes(buffer, points.exemplar_attributes, pairs)


ASSERT = {
    Signal.TRACES: assert_spans,
    Signal.LOGS: assert_records,
    Signal.METRICS: assert_metrics,
}


@SIGNALS
def test_every_field(signal):
    """Arbitrary requests, written by protobuf or oddly: scalars, presence, attributes and owners of every level."""
    ASSERT[signal](otlp_examples.BODIES[signal])

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(otlp_strategies.bodies(signal))
    def property_(body):
        ASSERT[signal](body)

    property_()


@SIGNALS
def test_malformed_or_decoded(signal):
    """Decoding bytes that nobody checked raises Malformed or gives columns, never anything else."""
    body = otlp_examples.BODIES[signal]

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, len(body)), st.integers(0, 12), st.binary(max_size=12))
    def property_(at, size, new):
        try:
            DECODE[signal](body[:at] + new + body[at + size :])
        except Malformed as error:
            assert error.offset is None or 0 <= error.offset <= len(body) + 12  # noqa: PT017 - or not

    property_()


def delimited(number: int, inner: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(inner)) + inner


def stored(*values: bytes) -> bytes:
    """Return the text stored for one attribute whose value is sent as several AnyValues."""
    pair = delimited(1, b"k") + b"".join(delimited(2, value) for value in values)
    body = delimited(1, delimited(2, delimited(2, delimited(9, pair))))
    (row,) = rows_of(process([Request(Signal.TRACES, body, 1, 1)]))["otel_traces"]
    return row["SpanAttributes"][0][1]


def test_a_value_sent_twice():
    """The last scalar stands and an empty value changes nothing, as in protobuf; a composite replaces all."""
    text, number, reference = delimited(1, b"text"), b"\x18\x07", b"\x40\x01"
    one, two = (delimited(5, delimited(1, b"\x18" + n)) for n in (b"\x01", b"\x02"))
    assert stored(text, number) == b"7"
    assert stored(text + number) == b"7"
    assert stored(number, b"", text, b"") == b"text"
    assert stored(text, reference) == b""
    # Protobuf would merge the two arrays into one; no encoder writes one array in two pieces.
    assert stored(one, two) == stored(one + two) == b"[2]"


def test_a_body_sent_twice():
    """So it is with the body of a log record, which has no key."""
    for values, wanted in (
        ((b"\x18\x07", b""), b"7"),
        ((b"", delimited(1, b"x"), b"\x18\x07"), b"7"),
    ):
        record = b"".join(delimited(5, value) for value in values)
        body = delimited(1, delimited(2, delimited(2, record)))
        (row,) = rows_of(process([Request(Signal.LOGS, body, 1, 1)]))["otel_logs"]
        assert row["Body"] == wanted
