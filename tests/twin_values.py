"""The slow twin of single values, and OTLP's messages as the twin reads them.

Messages are parsed by protobuf itself, from descriptors whose strings are bytes: OTLP text that is not UTF-8 is
stored as it came.
"""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from google.protobuf.message import Message


def _lenient() -> dict[Signal, type[Message]]:
    """Return OTLP's request classes with every string field turned into bytes."""
    pool = descriptor_pool.DescriptorPool()
    added = set()

    def add(file: Any) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for needed in file.dependencies:
            add(needed)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        messages = list(proto.message_type)
        for message in messages:
            messages += message.nested_type
            for field in message.field:
                if field.type == field.TYPE_STRING:
                    field.type = field.TYPE_BYTES
        pool.Add(proto)

    found = {}
    for signal, module, name in (
        (Signal.TRACES, trace_service_pb2, "ExportTraceServiceRequest"),
        (Signal.METRICS, metrics_service_pb2, "ExportMetricsServiceRequest"),
        (Signal.LOGS, logs_service_pb2, "ExportLogsServiceRequest"),
    ):
        add(module.DESCRIPTOR)
        full = f"{module.DESCRIPTOR.package}.{name}"
        found[signal] = message_factory.GetMessageClass(pool.FindMessageTypeByName(full))
    return found


LENIENT = _lenient()


def attributes(pairs: Any) -> list[list[bytes]]:
    """Return a Map column's pairs: sorted by key, all of a key in the order sent."""
    return sorted(([pair.key, text(pair.value)] for pair in pairs), key=lambda pair: pair[0])


def first(pairs: list[list[bytes]], key: bytes) -> bytes:
    """Return the first value of a key, empty when it is not there."""
    return next((value for name, value in pairs if name == key), b"")


def timestamp(*candidates: int) -> int:
    """Return the first time that is set and that a signed 64-bit number can hold."""
    return next((t for t in candidates if 0 < t < 2**63), candidates[-1])


def number(point: Any) -> float:
    """Return the value of a data point or exemplar, 0 when it has none."""
    kind = point.WhichOneof("value")
    return float(getattr(point, kind)) if kind else 0.0


def text(value: Any) -> bytes:  # noqa: PLR0911 - one return a case
    """Return an attribute's value as the Map columns hold it."""
    match value.WhichOneof("value"):
        case None | "string_value_strindex":
            return b""
        case "string_value":
            return value.string_value
        case "bool_value":
            return b"true" if value.bool_value else b"false"
        case "int_value":
            return b"%d" % value.int_value
        case "double_value":
            return double(value.double_value).encode()
        case "bytes_value":
            return base64.b64encode(value.bytes_value)
        case _:
            return as_json(value)


def as_json(value: Any) -> bytes:  # noqa: PLR0911 - one return a case
    """Return a value inside an array or a key/value list as JSON."""
    match value.WhichOneof("value"):
        case None | "string_value_strindex":
            return b"null"
        case "array_value":
            return b"[" + b",".join(as_json(item) for item in value.array_value.values) + b"]"
        case "kvlist_value":
            last = {pair.key: pair.value for pair in value.kvlist_value.values}
            pairs = [quoted(key) + b":" + as_json(last[key]) for key in sorted(last)]
            return b"{" + b",".join(pairs) + b"}"
        case "string_value":
            return quoted(value.string_value)
        case "bytes_value":
            return b'"' + text(value) + b'"'
        case "double_value" if not text(value)[-1:].isdigit():
            return b'"' + text(value) + b'"'
        case _:
            return text(value)


def quoted(raw: bytes) -> bytes:
    """Return a JSON string; bytes that are not UTF-8 stay as they are."""
    written = json.dumps(raw.decode(errors="surrogateescape"), ensure_ascii=False)
    return written.encode(errors="surrogateescape")


def double(x: float) -> str:  # noqa: PLR0911 - one return a case
    """Return a double as ECMAScript's Number::toString does (ECMA-262, 6.1.6.1.20), step by step."""
    if x != x:  # noqa: PLR0124 - NaN is the number that differs from itself
        return "NaN"
    if x < 0:
        return "-" + double(-x)
    if x == float("inf"):
        return "Infinity"
    if x == 0:
        return "0"
    _, digits, exponent = Decimal(repr(x)).normalize().as_tuple()
    s = "".join(map(str, digits))
    k = len(s)
    n = int(exponent) + k
    if k <= n <= 21:
        return s + "0" * (n - k)
    if 0 < n <= 21:
        return s[:n] + "." + s[n:]
    if -6 < n <= 0:
        return "0." + "0" * -n + s
    e = f"e{'+' if n > 0 else '-'}{abs(n - 1)}"
    return s + e if k == 1 else s[0] + "." + s[1:] + e
