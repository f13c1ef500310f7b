"""Synthetic OTLP traffic for measurements: seeded, one in five spans an entry span, about 430 bytes a span."""

from __future__ import annotations

import random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

RESOURCE = {
    "service.name": "checkout",
    "service.version": "1.2.3",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.1",
    "host.name": "node-17",
    "process.pid": 4242,
}
OPERATIONS = ("list items", "read item", "add to cart", "check out", "search")
SPANS_PER_TRACE = 5


def _pair(key: str, value: str | float) -> KeyValue:
    match value:
        case int():
            return KeyValue(key=key, value=AnyValue(int_value=value))
        case float():
            return KeyValue(key=key, value=AnyValue(double_value=value))
        case _:
            return KeyValue(key=key, value=AnyValue(string_value=value))


def trace_request(spans: int, seed: int, now_ns: int, error_rate: float = 0.02) -> bytes:
    """Return one request of `spans` spans in traces of five, ten attributes a span, seven a resource."""
    draw = random.Random(seed)
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    batch.resource.attributes.extend(_pair(key, value) for key, value in RESOURCE.items())
    scope = batch.scope_spans.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.flask", "0.66b1"
    for number in range(spans):
        entry = number % SPANS_PER_TRACE == 0
        if entry:
            trace_id, parent_id = draw.randbytes(16), b""
        span = scope.spans.add(
            trace_id=trace_id,
            span_id=draw.randbytes(8),
            parent_span_id=parent_id,
            kind=2 if entry else 3,
            name=OPERATIONS[number % len(OPERATIONS)],
            start_time_unix_nano=now_ns - draw.randrange(10**9),
        )
        parent_id = parent_id or span.span_id
        span.end_time_unix_nano = span.start_time_unix_nano + int(draw.lognormvariate(16, 1))
        attributes = {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "http.route": "/api/items/{item_id}/reviews",
            "server.address": "shop.example.com",
            "server.port": 8080,
            "session.id": f"session-{draw.randrange(5000)}",
            "url.scheme": "https",
            "user.id": f"user-{draw.randrange(1000)}",
            "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
            "cart.value": draw.randrange(10000) / 100,
        }
        span.attributes.extend(_pair(key, value) for key, value in attributes.items())
        if draw.random() < error_rate:
            span.status.code = 2
            exception = span.events.add(name="exception", time_unix_nano=now_ns)
            stack = "\n".join(
                f'  File "/srv/app/module_{depth}.py", line {draw.randrange(900)}, in step_{depth}\n    call()'
                for depth in range(8)
            )
            details = {
                "exception.type": "OutOfStock",
                "exception.message": f"item {draw.randrange(10**6)} is out of stock",
                "exception.stacktrace": f"Traceback (most recent call last):\n{stack}\nOutOfStock: item",
            }
            exception.attributes.extend(_pair(key, value) for key, value in details.items())
    return request.SerializeToString()
