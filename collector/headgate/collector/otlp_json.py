"""OTLP/JSON to OTLP protobuf, so that everything behind the receiver knows one encoding.

OTLP's JSON mapping is protobuf's own with exceptions. protobuf's own reader (`json_format`) knows
none of them, is laxer than either (it takes enum names, snake_case, "1_0", and 2^40 for an enum),
and was measured three times slower. So one walk along the protobuf schema checks a document and
turns it into constructor arguments; protobuf's C code builds and writes the message.

* Ids are hexadecimal in either case, not base64 (their length is the decoder's business).
* Enum values are integers, never names.
* Keys are lowerCamelCase; every other key, snake_case among them, is unknown and ignored.
* 64-bit integers are decimal strings or numbers; a double is a number or "NaN", "Infinity".
* Other bytes are base64 of either alphabet, padding optional. null is the same as absent.
* What has no single meaning is refused: duplicate keys, two members of a oneof, bare NaN.

Reference: OTLP specification 1.11, "JSON Protobuf Encoding"; protobuf's ProtoJSON format.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headgate.collector.errors import Malformed
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor

    Check = Callable[[Any, str], Any]
    Read = Callable[[Any, str, int], Any]

MAX_DEPTH = 100
"""Messages within messages; protobuf's own parsers stop here too."""

REQUESTS: dict[Signal, type[Any]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
"""The request message of each signal."""

_HEX_KEYS = frozenset({"traceId", "spanId", "parentSpanId"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}")
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_MAX_DOUBLE = sys.float_info.max
_DOUBLE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})


def to_protobuf(signal: Signal, text: bytes) -> bytes:
    """Return the protobuf encoding of a request given as OTLP/JSON.

    Raises Malformed for anything that is not a valid request of this signal; its message names the
    place, as in `resourceSpans[0].scopeSpans[1].spans[7].kind`.
    """
    return encode(signal, load(text))


def load(text: bytes) -> dict[str, Any]:
    """Return the JSON object that `text` is, so that its keys can be looked at before `encode`.

    Raises Malformed when it is not UTF-8, not JSON, or not an object.
    """
    try:
        document = json.loads(
            text.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except RecursionError as error:
        raise Malformed("not JSON that can be read: nested too deeply") from error
    except ValueError as error:
        raise Malformed(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Malformed(f"the request must be an object, not {_kind(document)}")
    return document


def encode(signal: Signal, document: dict[str, Any]) -> bytes:
    """Return the protobuf encoding of a request whose JSON `load` returned; raises Malformed."""
    request = REQUESTS[signal]
    arguments = _arguments(request.DESCRIPTOR, document, "", MAX_DEPTH)
    encoded: bytes = request(**arguments).SerializeToString()
    return encoded


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, refusing a key that stands twice."""
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f'{name} is not JSON; write "{name}" as a string')


def _arguments(descriptor: Descriptor, value: Any, place: str, depth: int) -> dict[str, Any]:
    """Return a JSON object as arguments of its message's constructor, nested ones as dicts."""
    if not isinstance(value, dict):
        raise Malformed(f"{place} must be an object, not {_kind(value)}")
    if not depth:
        raise Malformed(f"{place}: nested more than {MAX_DEPTH} messages deep")
    known = _fields(descriptor)
    chosen: set[str] = set()
    result = {}
    for key, item in value.items():
        field = known.get(key)
        if field is None or item is None:
            continue
        here = f"{place}.{key}" if place else key
        if field.oneof:
            if field.oneof in chosen:
                raise Malformed(f"{place} must have one {field.oneof}; {key} is a second")
            chosen.add(field.oneof)
        if not field.repeated:
            result[field.name] = field.read(item, here, depth)
        elif isinstance(item, list):
            result[field.name] = [field.read(x, f"{here}[{i}]", depth) for i, x in enumerate(item)]
        else:
            raise Malformed(f"{here} must be an array, not {_kind(item)}")
    return result


@dataclass(frozen=True, slots=True)
class _Field:
    """How the values of a JSON key are read: `read(value, place, depth)`."""

    name: str
    repeated: bool
    oneof: str
    read: Read


@functools.cache
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    """Return the fields of a message by their JSON keys."""
    return {
        field.json_name: _Field(
            name=field.name,
            repeated=field.is_repeated,
            oneof=_choice(field),
            read=_reader(field),
        )
        for field in descriptor.fields
    }


def _choice(field: FieldDescriptor) -> str:
    """Return the oneof that a field belongs to; "" for none, as for what is merely `optional`."""
    oneof = field.containing_oneof
    return oneof.name if oneof is not None and len(oneof.fields) > 1 else ""


def _reader(field: FieldDescriptor) -> Read:
    if field.message_type is not None:
        inner = field.message_type
        return lambda value, place, depth: _arguments(inner, value, place, depth - 1)
    check = _hexadecimal if field.json_name in _HEX_KEYS else _CHECKS[field.type]
    return lambda value, place, _depth: check(value, place)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _hexadecimal(value: Any, place: str) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Malformed(f"{place} must be hexadecimal digits, not {value!r:.60}")
    return bytes.fromhex(value)


def _base64(value: Any, place: str) -> bytes:
    digits = value.rstrip("=") if isinstance(value, str) and _BASE64.fullmatch(value) else "?"
    if len(digits) % 4 == 1:
        raise Malformed(f"{place} must be base64, not {value!r:.60}")
    return base64.urlsafe_b64decode(digits.replace("+", "-").replace("/", "_") + "==")


def _string(value: Any, place: str) -> str:
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise Malformed(f"{place} must be a string of Unicode characters, not {value!r:.60}")
    return value


def _boolean(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise Malformed(f"{place} must be true or false, not {value!r:.60}")
    return value


def _double(value: Any, place: str) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return float(value)
    number = float(value) if isinstance(value, str) and _DOUBLE.fullmatch(value) else value
    numeric = isinstance(number, int | float) and not isinstance(number, bool)
    if not numeric or abs(number) > _MAX_DOUBLE:
        raise Malformed(f"{place} must be a number that a double can hold, not {value!r:.60}")
    return float(number)


def _whole(value: Any, low: int, high: int, place: str) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or not low <= value <= high:
        raise Malformed(f"{place} must be an integer from {low} to {high}, not {value!r:.60}")
    return int(value)


def _integer(bits: int, *, signed: bool) -> Check:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def check(value: Any, place: str) -> int:
        digits = isinstance(value, str) and _INTEGER.fullmatch(value)
        return _whole(int(value) if digits else value, low, high, place)

    return check


def _enum(value: Any, place: str) -> int:
    return _whole(value, -(1 << 31), (1 << 31) - 1, place)


_CHECKS: dict[int, Check] = {
    FieldDescriptor.TYPE_BYTES: _base64,
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_ENUM: _enum,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_INT32: _integer(32, signed=True),
    FieldDescriptor.TYPE_SINT32: _integer(32, signed=True),
    FieldDescriptor.TYPE_UINT32: _integer(32, signed=False),
    FieldDescriptor.TYPE_FIXED32: _integer(32, signed=False),
    FieldDescriptor.TYPE_INT64: _integer(64, signed=True),
    FieldDescriptor.TYPE_SFIXED64: _integer(64, signed=True),
    FieldDescriptor.TYPE_UINT64: _integer(64, signed=False),
    FieldDescriptor.TYPE_FIXED64: _integer(64, signed=False),
}
