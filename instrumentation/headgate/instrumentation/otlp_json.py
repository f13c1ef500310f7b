"""OTLP protobuf messages as OTLP/JSON lines.

OTLP/JSON is protobuf's JSON mapping except that trace and span ids are hexadecimal instead of
base64, and enums are numbers. Bytes values of attributes stay base64.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped,unused-ignore]  # ships no types

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})
_LISTS = frozenset(
    {"resourceSpans", "scopeSpans", "spans", "links", "resourceLogs", "scopeLogs", "logRecords"}
)


def line(request: Any) -> bytes:
    """One export request as a JSON line, newline included."""
    document = MessageToDict(request, use_integers_for_enums=True)
    _hexadecimal(document)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _hexadecimal(node: dict[str, Any]) -> None:
    # Only the message's own structure is walked: an attribute may be called "traceId" too.
    for key, value in node.items():
        if key in _IDS:
            node[key] = base64.b64decode(value).hex()
        elif key in _LISTS:
            for item in value:
                _hexadecimal(item)
