"""OTLP/JSON becomes the protobuf that the specification says, or Malformed, never anything else."""

from __future__ import annotations

import base64
import json
import math

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.collector.errors import Malformed
from headgate.collector.otlp_json import MAX_DEPTH, REQUESTS, load, to_protobuf
from headgate.collector.signals import Signal

HEX_KEYS = {"traceId", "spanId", "parentSpanId"}

SCALARS = {
    FieldDescriptor.TYPE_STRING: st.text(max_size=8),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats(allow_nan=False) | st.just(math.nan),  # JSON has one NaN
    FieldDescriptor.TYPE_ENUM: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: st.integers(0, 2**64 - 1),
}


@st.composite
def arguments(draw, descriptor, depth=9):
    """Draw constructor arguments of an arbitrary message of this type."""
    fields = [f for f in descriptor.fields if depth or f.message_type is None]
    places = {place_of(f) for f in fields}
    few = min(len(places), 3)  # dense, or nothing would reach the attributes of a span
    picked = st.lists(st.sampled_from(fields), unique_by=place_of, min_size=few, max_size=5)
    result = {}
    for field in draw(picked) if fields else []:
        if field.message_type is None:
            value, sizes = SCALARS[field.type], (0, 2)
        else:
            value, sizes = arguments(field.message_type, depth - 1), (1, 2 if depth > 6 else 1)
        result[field.name] = draw(
            st.lists(value, min_size=sizes[0], max_size=sizes[1]) if field.is_repeated else value
        )
    return result


def place_of(field):
    return field.containing_oneof.full_name if field.containing_oneof else field.name


def with_hex_ids(node, key=""):
    """Rewrite protobuf's JSON into OTLP's: ids from base64 to hexadecimal."""
    if isinstance(node, dict):
        return {k: with_hex_ids(v, k) for k, v in node.items()}
    if isinstance(node, list):
        return [with_hex_ids(v) for v in node]
    return base64.b64decode(node).hex() if key in HEX_KEYS else node


def to_json(message) -> bytes:
    document = json_format.MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(with_hex_ids(document)).encode()


@pytest.mark.parametrize("signal", list(Signal))
def test_round_trip(signal):
    """Any message of the three signals, written by protobuf itself, comes back unchanged."""

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(arguments(REQUESTS[signal].DESCRIPTOR))
    def check(drawn):
        message = REQUESTS[signal](**drawn)
        found = to_protobuf(signal, to_json(message))
        assert found == message.SerializeToString()

    check()


def span_of(**keys):
    """Return what is stored of one span given by its JSON keys."""
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [keys]}]}]})
    request = REQUESTS[Signal.TRACES].FromString(to_protobuf(Signal.TRACES, text.encode()))
    return request.resource_spans[0].scope_spans[0].spans[0]


def value_of(**keys):
    return span_of(attributes=[{"key": "k", "value": keys}]).attributes[0].value


def test_example_of_the_specification():
    """A document shaped like the specification's own example gives every field it names."""
    span = span_of(
        traceId="5B8EFFF798038103D269B633813FC60C",
        spanId="eee19b7ec3c1b174",
        parentSpanId="EEE19B7EC3C1B173",
        name="I'm a server span",
        startTimeUnixNano="1544712660000000000",
        endTimeUnixNano=1544712661000000000,
        kind=2,
        attributes=[
            {"key": "n", "value": {"intValue": "-7"}},
            {"key": "l", "value": {"arrayValue": {"values": [{"boolValue": True}, {}]}}},
            {"key": "m", "value": {"kvlistValue": {"values": [{"key": "x", "value": {}}]}}},
        ],
        status={"code": 2, "message": "no"},
    )
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.span_id.hex() == "eee19b7ec3c1b174"
    assert span.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        1544712660000000000,
        1544712661000000000,
    )
    assert (span.kind, span.status.code, span.status.message) == (2, 2, "no")
    assert span.attributes[0].value.int_value == -7
    assert span.attributes[1].value.array_value.values[0].bool_value is True
    assert span.attributes[1].value.array_value.values[1].WhichOneof("value") is None
    assert span.attributes[2].value.kvlist_value.values[0].key == "x"


def test_unknown_keys_are_ignored():
    """Keys that OTLP does not know are skipped, protobuf's snake_case and extension names too."""
    span = span_of(name="a", trace_id="zz", span_name=3, **{"[x.y]": 1, "later": [{"deep": {}}]})
    assert span == type(span)(name="a")


def test_null_is_absent():
    """A null leaves its field unset, also as a second member of a oneof."""
    assert span_of(name=None, attributes=None, status=None) == span_of()
    assert value_of(intValue=None, stringValue="a").string_value == "a"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "1.5e3"}, 1500.0),
        ({"doubleValue": "Infinity"}, math.inf),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"intValue": 3.0}, 3),
        ({"intValue": "9223372036854775807"}, 2**63 - 1),
        ({"bytesValue": "+/8="}, b"\xfb\xff"),
        ({"bytesValue": "-_8"}, b"\xfb\xff"),
        ({"bytesValue": ""}, b""),
        ({"stringValue": ""}, ""),
        ({"stringValue": "\U0001f600"}, "\U0001f600"),
    ],
)
def test_accepted_spellings(keys, expected):
    """Each spelling of a value that ProtoJSON allows is read as what it means."""
    value = value_of(**keys)
    assert getattr(value, value.WhichOneof("value")) == expected


def test_nan_is_a_string():
    """NaN is written in quotation marks."""
    assert math.isnan(value_of(doubleValue="NaN").double_value)


ATTRIBUTE = "attributes[0].value"


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"traceId": "W47/95gDgQPSabYzgT/GDA=="}, "traceId"),
        ({"traceId": "abc"}, "traceId"),
        ({"spanId": "aa bb"}, "spanId"),
        ({"parentSpanId": 12}, "parentSpanId"),
        ({"kind": "SPAN_KIND_SERVER"}, "kind"),
        ({"kind": "2"}, "kind"),
        ({"kind": True}, "kind"),
        ({"kind": 1.5}, "kind"),
        ({"kind": 2**40}, "kind"),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, "status.code"),
        ({"status": []}, "status"),
        ({"name": 7}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"attributes": {}}, "attributes"),
        ({"attributes": [None]}, "attributes[0]"),
        ({"attributes": ["k"]}, "attributes[0]"),
        ({"startTimeUnixNano": -1}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 2**64}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "9" * 5000}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "1_000"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": " 1"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "\u0661"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 0.5}, "startTimeUnixNano"),
        ({"startTimeUnixNano": True}, "startTimeUnixNano"),
        ({"attributes": [{"value": {"boolValue": 1}}]}, f"{ATTRIBUTE}.boolValue"),
        ({"attributes": [{"value": {"boolValue": "true"}}]}, f"{ATTRIBUTE}.boolValue"),
        ({"attributes": [{"value": {"bytesValue": "a"}}]}, f"{ATTRIBUTE}.bytesValue"),
        ({"attributes": [{"value": {"bytesValue": "a-_/"}}]}, f"{ATTRIBUTE}.bytesValue"),
        ({"attributes": [{"value": {"doubleValue": "inf"}}]}, f"{ATTRIBUTE}.doubleValue"),
        ({"attributes": [{"value": {"doubleValue": "1e999"}}]}, f"{ATTRIBUTE}.doubleValue"),
        ({"attributes": [{"value": {"doubleValue": 10**400}}]}, f"{ATTRIBUTE}.doubleValue"),
        ({"attributes": [{"value": {"doubleValue": True}}]}, f"{ATTRIBUTE}.doubleValue"),
        ({"attributes": [{"value": {"intValue": 1, "boolValue": True}}]}, ATTRIBUTE),
    ],
)
def test_refused_with_its_place(keys, place):
    """What OTLP/JSON forbids is Malformed, and the message begins with where it stands."""
    with pytest.raises(Malformed) as caught:
        span_of(**keys)
    assert str(caught.value).startswith(f"resourceSpans[0].scopeSpans[0].spans[0].{place} must ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"[]", "must be an object, not an array"),
        (b"null", "must be an object, not null"),
        (b'{"a":1,"a":2}', "'a' stands twice"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"x":' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"resourceSpans":{}}', "resourceSpans must be an array, not an object"),
        (b'{"resourceSpans":["abc"]}', "resourceSpans[0] must be an object, not a string"),
    ],
)
def test_no_request(text, words):
    """Text that is no JSON object, or an ambiguous one, is Malformed in words that say so."""
    with pytest.raises(Malformed) as caught:
        to_protobuf(Signal.TRACES, text)
    assert words in str(caught.value)


@pytest.mark.parametrize("signal", list(Signal))
def test_empty_request(signal):
    """An object without known keys is the empty request, with a byte order mark or not."""
    assert to_protobuf(signal, b"{}") == b""
    assert to_protobuf(signal, b'\xef\xbb\xbf {"other": 1}') == b""


def nested(levels: int) -> dict:
    value: dict = {}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    return {"attributes": [{"value": value}]}


def test_depth():
    """Values are read as deep as protobuf reads them back, and refused one message deeper."""
    deepest = (MAX_DEPTH - 6) // 2  # request to attribute value is six messages, a level is two
    value = span_of(**nested(deepest)).attributes[0].value
    for _ in range(deepest):
        value = value.array_value.values[0]
    assert value.WhichOneof("value") is None
    with pytest.raises(Malformed, match="nested more than"):
        span_of(**nested(deepest + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("resourceSpans", "scopeSpans", "spans", "resource", "attributes", "value"),
                    *("traceId", "kind", "status", "links", "arrayValue", "values", "x"),
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON.map(json.dumps).map(str.encode) | st.binary(max_size=200), st.sampled_from(Signal))
def test_garbage(text, signal):
    """Whatever arrives, the result is a message that protobuf can read, or Malformed."""
    try:
        encoded = to_protobuf(signal, text)
    except Malformed:
        return
    REQUESTS[signal].FromString(encoded)


def test_load_keeps_keys():
    """`load` returns the document itself, so that a file's reader can see which signal it holds."""
    assert load(b'{"resourceLogs": [], "x": 1}') == {"resourceLogs": [], "x": 1}
