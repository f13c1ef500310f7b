"""Write values that hold others, arrays and key/value lists, as JSON; and doubles, which look the same everywhere.

Keys are sorted, the last of equal ones stands, bytes are base64, `NaN` and the infinities are strings, as the stock
exporter's encoder does. They are read by protobuf itself: the whole request was checked before, so that this cannot
fail, given that its strings are read as bytes. OTLP strings that are not UTF-8 are stored as they came.
"""

from __future__ import annotations

import base64
import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1 import common_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message


def _with_bytes() -> DescriptorPool:
    """Return OTLP's common messages with bytes for strings."""
    file = FileDescriptorProto()
    common_pb2.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        for field in message.field:
            if field.type == FieldDescriptorProto.TYPE_STRING:
                field.type = FieldDescriptorProto.TYPE_BYTES
    pool = DescriptorPool()
    pool.Add(file)
    return pool


def _class(pool: DescriptorPool, name: str) -> type[Message]:
    return GetMessageClass(pool.FindMessageTypeByName(name))


_POOL = _with_bytes()
_ARRAY = _class(_POOL, common_pb2.ArrayValue.DESCRIPTOR.full_name)
_KVLIST = _class(_POOL, common_pb2.KeyValueList.DESCRIPTOR.full_name)


def array_json(raw: bytes) -> bytes:
    """Return an ArrayValue message as JSON."""
    return _encoded(_array(_ARRAY.FromString(raw)))


def kvlist_json(raw: bytes) -> bytes:
    """Return a KeyValueList message as JSON."""
    return _encoded(_kvlist(_KVLIST.FromString(raw)))


def format_double(value: float) -> str:
    """Return the text of any double: ECMAScript's Number::toString (see headgate.collector.text)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _quoted(raw: bytes) -> str:
    return json.dumps(raw.decode(errors="surrogateescape"), ensure_ascii=False)


def _array(array: Any) -> str:
    return f"[{','.join(_value(value) for value in array.values)}]"


def _kvlist(pairs: Any) -> str:
    last = {pair.key: pair.value for pair in pairs.values}
    return f"{{{','.join(f'{_quoted(key)}:{_value(last[key])}' for key in sorted(last))}}}"


def _value(value: Any) -> str:
    kind = value.WhichOneof("value")
    return _TEXT[kind](getattr(value, kind)) if kind in _TEXT else "null"


def _double(value: float) -> str:
    text = format_double(value)
    return text if math.isfinite(value) else f'"{text}"'


_TEXT: dict[str, Callable[[Any], str]] = {
    "string_value": _quoted,
    "bool_value": lambda value: "true" if value else "false",
    "int_value": str,
    "double_value": _double,
    "array_value": _array,
    "kvlist_value": _kvlist,
    "bytes_value": lambda value: f'"{base64.b64encode(value).decode()}"',
}
