"""OTLP requests for property tests: drawn densely along protobuf's descriptors, and written in every legal way.

A drawn request is a tree of constructor arguments (dicts, lists, scalars): protobuf makes messages of it, and
`written_oddly` makes bytes that few encoders would, of the same meaning or one that protobuf's merging defines.
"""

from __future__ import annotations

import functools
import math
import struct
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor as Field
from hypothesis import strategies as st

from headgate.collector.check import REQUESTS, check
from headgate.collector.process import Request

if TYPE_CHECKING:
    import random

    from google.protobuf.descriptor import Descriptor

    from headgate.collector.signals import Signal

BASE_NS = 1_790_000_000_000_000_000
ARRIVAL_NS = BASE_NS + 86_400_000_000_000

# Every attribute that means something to the collector, and some that do not.
KEYS = (
    *("user.id", "enduser.id", "session.id", "service.name", "event.name", "headgate.track"),
    *("error.type", "exception.type", "exception.stacktrace", "exception.message"),
    *("http.response.status_code", "http.status_code", "rpc.grpc.status_code"),
    *("headgate.project", "service.namespace", "http.route", "deployment.environment"),
    *("headgate.event.value", "", "k", "K", "k.2", "\u00e9", "\U0001f600"),
)
WORDS = (
    *("", "shop", "cart", "exception", "GET /", "TimeoutError", "DEADLINE_EXCEEDED", "KeyError"),
    *("u1", "u2", "a user whose name has more than thirty-two bytes", "\u00fc" * 100, '"\\\n\x00'),
)
STATES = (
    *("", "ot=th:8", "ot=th:0", "ot=th:fd70a4", "ot=th:ffffffffffffff", "ot=th:fffffffffffffff"),
    *("ot=th:C", "ot=th:", "ot=rv:0123456789abcd;th:c ", "a=b, ot=p:1;th:8;x:1,c=d", "ot=", "ot=x"),
    *("rot=th:8", "ot=th:8,ot=th:c", "ot=rv:1,ot=th:c", "th:8", "ot=rv:1; th:8", " ,,\tot=th:e\t"),
)
DOUBLES = (
    0.0,
    -0.0,
    5e-324,
    -2.5e-310,
    1e-6,
    9.999e-7,
    1e21,
    999999999999999.9,
    2.0**53,
    0.1,
    1e15,
)
INTEGERS = (0, 1, -1, 4, 200, 408, 504, 2**31, 2**53 + 1, 2**63 - 1, -(2**63))

_words = st.sampled_from(WORDS) | st.text(max_size=6)
_times = (
    st.integers(BASE_NS, BASE_NS + 10**13)
    | st.integers(0, 90).map(lambda day: BASE_NS + day * 86_400_000_000_000)
    | st.sampled_from((0, 1, 2**32 * 10**9, 2**63 - 1, 2**63, 2**64 - 1))
)
_doubles = st.sampled_from((*DOUBLES, math.inf, -math.inf, math.nan)) | st.floats()
_int64 = st.sampled_from(INTEGERS) | st.integers(-(2**63), 2**63 - 1)
_uint64 = st.integers(0, 300) | st.integers(0, 2**64 - 1)
_int32 = st.integers(-2, 7) | st.integers(-(2**31), 2**31 - 1)
_uint32 = st.integers(0, 300) | st.integers(0, 2**32 - 1)
_BY_TYPE = {
    Field.TYPE_STRING: _words,
    Field.TYPE_BYTES: st.sampled_from((b"", b"\x00" * 8, b"\xab" * 16)) | st.binary(max_size=20),
    Field.TYPE_BOOL: st.booleans(),
    Field.TYPE_DOUBLE: _doubles,
    Field.TYPE_ENUM: _int32,
    Field.TYPE_INT32: _int32,
    Field.TYPE_SINT32: _int32,
    Field.TYPE_UINT32: _uint32,
    Field.TYPE_FIXED32: _uint32,
    Field.TYPE_INT64: _int64,
    Field.TYPE_SFIXED64: _int64,
    Field.TYPE_UINT64: _uint64,
    Field.TYPE_FIXED64: _uint64,
}
_BY_NAME = {
    "key": st.sampled_from((*KEYS, *KEYS, *WORDS)),
    "trace_state": st.sampled_from(STATES) | _words,
}
_MOST = {"attributes": 6, "filtered_attributes": 2, "values": 3, "spans": 4, "log_records": 4}
# Where everything else hangs: these are never left out, only empty at times.
_SPINE = {
    *("resource_spans", "resource_logs", "resource_metrics", "scope_spans", "scope_logs"),
    *("scope_metrics", "spans", "log_records", "metrics", "data", "data_points"),
    *("attributes", "key", "name"),
}
_ANY = "opentelemetry.proto.common.v1.AnyValue"
_COMPOSITE = {"ArrayValue", "KeyValueList"}


@functools.cache
def messages(descriptor: Descriptor, depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """Draw constructor arguments of a message; values nest `depth` more levels of arrays and lists."""
    depth -= descriptor.full_name == _ANY
    rivals: dict[str, list[Field]] = {}
    for field in descriptor.fields:
        if not (depth < 0 and field.message_type and field.message_type.name in _COMPOSITE):
            place = field.containing_oneof.name if field.containing_oneof else field.name
            rivals.setdefault(place, []).append(field)
    parts = [
        st.one_of(
            *(st.fixed_dictionaries({f.name: _values(f, depth)}) for f in members),
            *([] if place in _SPINE else [st.just({})]),
        )
        for place, members in rivals.items()
    ]
    return st.tuples(*parts).map(lambda found: {k: v for part in found for k, v in part.items()})


def _values(field: Field, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        value = st.deferred(lambda: messages(field.message_type, depth))
    elif field.name in _BY_NAME:
        value = _BY_NAME[field.name]
    else:
        value = _times if field.name.endswith("time_unix_nano") else _BY_TYPE[field.type]
    if field.is_repeated:
        few = 0 if field.name in _SPINE else 1
        return st.lists(value, min_size=few, max_size=_MOST.get(field.name, 2))
    return value


@st.composite
def bodies(draw: st.DrawFn, signal: Signal) -> bytes:
    """Draw a valid request as protobuf writes it, or as hardly anybody would."""
    tree = draw(messages(REQUESTS[signal]))
    if draw(st.booleans()):
        return canonical(REQUESTS[signal], tree)
    return written_oddly(REQUESTS[signal], tree, draw(st.randoms(use_true_random=True)))


@st.composite
def requests(draw: st.DrawFn, signal: Signal) -> list[Request]:
    """Draw the requests of one signal in a segment, a moment or minutes apart."""
    arrivals = st.sampled_from((ARRIVAL_NS, ARRIVAL_NS + 1, ARRIVAL_NS + 120_000_000_000))
    return [
        Request(signal, body, check(signal, body), draw(arrivals))
        for body in draw(st.lists(bodies(signal), min_size=1, max_size=3))
    ]


def canonical(descriptor: Descriptor, tree: dict[str, Any]) -> bytes:
    """Return what protobuf itself writes."""
    return descriptor._concrete_class(**tree).SerializeToString()


def written_oddly(descriptor: Descriptor, tree: dict[str, Any], rng: random.Random) -> bytes:
    """Return a legal encoding of `tree` with every liberty that protobuf grants a writer.

    Fields in any order, unknown fields and groups between them, numbers longer than needed, packed fields unpacked or
    in pieces, scalars and oneof members that are overwritten later, messages in two pieces that must be merged.
    """
    places: list[list[bytes]] = []
    for name, value in tree.items():
        field = descriptor.fields_by_name[name]
        if field.is_repeated:
            places += [pieces] if (pieces := _repeated(field, value, rng)) else []
        elif field.message_type is not None:
            places.append(_message(field, value, rng))
        else:
            places.append([_scalar(field, value, rng)])
            if rng.random() < 0.2:
                places[-1].insert(0, _overwritten(field, rng))
    pieces: list[bytes] = []
    while places:
        place = rng.choice(places)
        pieces.append(place.pop(0))
        if not place:
            places.remove(place)
        if rng.random() < 0.1:
            pieces.append(_unknown(rng))
    return b"".join(pieces)


def _repeated(field: Field, values: list[Any], rng: random.Random) -> list[bytes]:
    if field.message_type is not None:
        inner = [written_oddly(field.message_type, value, rng) for value in values]
        return [_tag(field.number, 2, rng) + _delimited(each, rng) for each in inner]
    if field.type in {Field.TYPE_STRING, Field.TYPE_BYTES} or rng.random() < 0.3:
        return [_scalar(field, value, rng) for value in values]
    cut = rng.randint(0, len(values))
    packed = [
        b"".join(_number(field, value, rng)[1] for value in part)
        for part in (values[:cut], values[cut:])
    ]
    return [_tag(field.number, 2, rng) + _delimited(each, rng) for each in packed]


def _message(field: Field, tree: dict[str, Any], rng: random.Random) -> list[bytes]:
    """Write a message whole, or as two that protobuf merges (see test_decode on values sent twice)."""
    names = list(tree)
    cut = len(names)
    if field.message_type.name not in {*_COMPOSITE, "AnyValue"} and rng.random() < 0.3:
        cut = rng.randint(0, len(names))
    parts = [{name: tree[name] for name in part} for part in (names[:cut], names[cut:])]
    if cut == len(names) and not (field.message_type.name == "AnyValue" and rng.random() < 0.2):
        parts.pop()
    pieces = [
        _tag(field.number, 2, rng) + _delimited(written_oddly(field.message_type, part, rng), rng)
        for part in parts
    ]
    if field.containing_oneof and rng.random() < 0.3:
        others = [f for f in field.containing_oneof.fields if f.message_type and f is not field]
        rival = _tag(rng.choice(others).number, 2, rng) + b"\x02\x0a\x00"  # of one empty element
        pieces.insert(rng.randrange(len(pieces)), rival)
    return pieces


def _overwritten(field: Field, rng: random.Random) -> bytes:
    """Write a scalar that a later one replaces: of the same field, or of a rival in its oneof."""
    rivals = field.containing_oneof.fields if field.containing_oneof else [field]
    scalars = [rival for rival in rivals if rival.message_type is None]
    rival = rng.choice(scalars)
    junk: dict[Any, Any] = {
        Field.TYPE_STRING: "junk",
        Field.TYPE_BYTES: b"junk",
        Field.TYPE_DOUBLE: 1.5,
    }
    return _scalar(rival, junk.get(rival.type, 1), rng)


def _scalar(field: Field, value: Any, rng: random.Random) -> bytes:
    if field.type in {Field.TYPE_STRING, Field.TYPE_BYTES}:
        raw = value.encode() if isinstance(value, str) else value
        return _tag(field.number, 2, rng) + _delimited(raw, rng)
    wire, raw = _number(field, value, rng)
    return _tag(field.number, wire, rng) + raw


def _number(field: Field, value: Any, rng: random.Random) -> tuple[int, bytes]:
    match field.type:
        case Field.TYPE_DOUBLE:
            return 1, struct.pack("<d", value)
        case Field.TYPE_FIXED64 | Field.TYPE_SFIXED64:
            return 1, (value % 2**64).to_bytes(8, "little")
        case Field.TYPE_FIXED32:
            return 5, value.to_bytes(4, "little")
        case Field.TYPE_SINT32:
            return 0, varint(value * 2 if value >= 0 else -value * 2 - 1, rng.choice((1, 1, 10)))
        case _:
            return 0, varint(int(value) % 2**64, rng.choice((1, 1, 10)))


def _unknown(rng: random.Random) -> bytes:
    """Write a field that OTLP does not have."""
    number = rng.choice((99, 15 << 10, 2**29 - 1))
    inner = rng.choice((b"", varint(8) + varint(7), varint(7 << 3 | 2) + b"\x01x"))
    return rng.choice(
        (
            varint(number << 3) + varint(rng.getrandbits(64)),
            varint(number << 3 | 1) + bytes(8),
            varint(number << 3 | 2) + varint(3) + b"\xff\xff\xff",
            varint(number << 3 | 5) + bytes(4),
            varint(number << 3 | 3) + inner + varint(number << 3 | 4),
            varint(1 << 3 | 3) + inner + varint(1 << 3 | 4),
        )
    )


def _tag(number: int, wire: int, rng: random.Random) -> bytes:
    return varint(number << 3 | wire, rng.choice((1, 1, 1, 5)))


def _delimited(raw: bytes, rng: random.Random) -> bytes:
    return varint(len(raw), rng.choice((1, 1, 1, 5))) + raw


def varint(value: int, at_least: int = 1) -> bytes:
    """Write a varint of at least so many bytes."""
    out = bytearray()
    while value > 127 or len(out) + 1 < at_least:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
