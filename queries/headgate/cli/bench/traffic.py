"""Synthetic OTLP traffic for measurements: seeded, ten attributes an item, seven a resource.

Of spans one in five is an entry span, two in a hundred are errors with a stack trace; they take about 420 bytes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headgate.collector.layout import Text

RESOURCE: dict[str, str | float] = {
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


def _attributes(draw: random.Random) -> list[KeyValue]:
    attributes: dict[str, str | float] = {
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
    return [_pair(key, value) for key, value in attributes.items()]


def trace_request(spans: int, seed: int, now_ns: int, error_rate: float = 0.02) -> bytes:
    """Return one request of `spans` spans in traces of five, ten attributes a span, seven a resource."""
    draw = random.Random(seed)  # noqa: S311  # no secret
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
        span.attributes.extend(_attributes(draw))
        if draw.random() < error_rate:
            span.status.code = 2  # type: ignore[assignment]  # an enum is an int on the wire
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


def log_request(records: int, seed: int, now_ns: int) -> bytes:
    """Return one request of log records, one in five of them a named event."""
    draw = random.Random(seed)  # noqa: S311  # no secret
    request = ExportLogsServiceRequest()
    batch = request.resource_logs.add()
    batch.resource.attributes.extend(_pair(key, value) for key, value in RESOURCE.items())
    scope = batch.scope_logs.add()
    scope.scope.name = "shop.checkout"
    for number in range(records):
        record = scope.log_records.add(
            time_unix_nano=now_ns - draw.randrange(10**9),
            severity_number=9,
            severity_text="INFO",
            trace_id=draw.randbytes(16),
            span_id=draw.randbytes(8),
            event_name="item added" if number % 5 == 0 else "",
            attributes=_attributes(draw),
        )
        record.body.string_value = (
            f"reserved item {draw.randrange(10**6)} in warehouse north for the cart"
        )
    return request.SerializeToString()


def metric_request(points: int, seed: int, now_ns: int) -> bytes:
    """Return one request of data points, of eight sums and eight gauges."""
    draw = random.Random(seed)  # noqa: S311  # no secret
    request = ExportMetricsServiceRequest()
    batch = request.resource_metrics.add()
    batch.resource.attributes.extend(_pair(key, value) for key, value in RESOURCE.items())
    scope = batch.scope_metrics.add()
    scope.scope.name = "shop.checkout"
    metrics = []
    for number in range(16):
        metric = scope.metrics.add(
            name=f"shop.measure_{number}", unit="1", description="of the shop"
        )
        metrics.append(metric.sum if number % 2 else metric.gauge)
    for number in range(points):
        point = metrics[number % 16].data_points.add(
            start_time_unix_nano=now_ns - 10**10,
            time_unix_nano=now_ns - draw.randrange(10**9),
            as_double=draw.randrange(10**6) / 8,
            attributes=_attributes(draw),
        )
        point.exemplars.add(
            time_unix_nano=now_ns, trace_id=draw.randbytes(16), span_id=draw.randbytes(8), as_int=1
        )
    return request.SerializeToString()


REQUESTS: dict[Signal, Callable[[int, int, int], bytes]] = {
    Signal.TRACES: trace_request,
    Signal.LOGS: log_request,
    Signal.METRICS: metric_request,
}


MESSAGES: dict[Signal, type[Any]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}


class Template:
    """A request that can be sent again and again, each time with other ids, so that it is no retransmission."""

    def __init__(self, signal: Signal, items: int, seed: int, now_ns: int) -> None:
        self.items = items
        self._body = np.frombuffer(REQUESTS[signal](items, seed, now_ns), np.uint8).copy()
        ids = _ids(signal, self._body.tobytes())
        self._places = {
            size: np.array([at for at, n in ids if n == size])[:, None] + np.arange(size)
            for size in (8, 16)
        }

    def fresh(self, rng: np.random.Generator) -> memoryview:
        """Return the request with new ids; traces stay traces, and parents parents. Valid until the next call."""
        for size, places in self._places.items():
            self._body[places] ^= rng.integers(1, 256, size, np.uint8)
        return self._body.data


def _ids(signal: Signal, body: bytes) -> list[tuple[int, int]]:
    """Return where the ids of a request lie, and how long they are."""
    from headgate.collector.decode import decode_logs, decode_traces
    from headgate.collector.metrics import decode_metrics

    match signal:
        case Signal.TRACES:
            span = decode_traces(body).span
            return _found(span.text(name) for name in ("trace_id", "span_id", "parent_span_id"))
        case Signal.LOGS:
            record = decode_logs(body).record
            return _found(record.text(name) for name in ("trace_id", "span_id"))
        case Signal.METRICS:
            exemplars = [points.exemplar for points in decode_metrics(body).points]
            return _found(e.text(n) for e in exemplars if e for n in ("trace_id", "span_id"))


def _found(texts: Iterable[Text]) -> list[tuple[int, int]]:
    return [
        (at, size)
        for text in texts
        for at, size in zip(text.offset.tolist(), text.length.tolist(), strict=True)
    ]
