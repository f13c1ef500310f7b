"""What OpenTelemetry's own Python SDK sends, over every transport, is what is stored: field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    InMemoryLogRecordExporter,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A value of every type, and the text it is stored as.
VALUES: dict[str, tuple[Any, str]] = {
    "is.string": ("naïve ☃ 'quoted' \n", "naïve ☃ 'quoted' \n"),
    "is.empty": ("", ""),
    "is.true": (True, "true"),
    "is.false": (False, "false"),
    "is.int": (-(2**63), "-9223372036854775808"),
    "is.zero": (0, "0"),
    "is.double": (0.1, "0.1"),
    "is.whole_double": (3.0, "3"),
    "is.large_double": (1e300, "1e+300"),
    "is.infinite": (float("-inf"), "-Infinity"),
    "is.bytes": (b"\x00\xff", "AP8="),
    "is.strings": (("a", 'b"'), '["a","b\\""]'),
    "is.ints": ((1, -2), "[1,-2]"),
    "is.doubles": ((0.5, 2.0), "[0.5,2]"),
    "is.bools": ((True, False), "[true,false]"),
    "is.mixed": (("a", 1, None, b"\x01"), '["a",1,null,"AQ=="]'),
    "is.nested": ({"a": {"b": [1, {"c": None}]}}, '{"a":{"b":[1,{"c":null}]}}'),
}
SENT = {key: value for key, (value, _) in VALUES.items()}
STORED = {key: text for key, (_, text) in VALUES.items()}

TRANSPORTS = ("grpc", "grpc-gzip", "http", "http-gzip")


def stored(attributes: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: STORED.get(key, value) for key, value in (attributes or {}).items()}


def iso(time_ns: int | None) -> str:
    """Return a time as ClickHouse prints DateTime64(9)."""
    seconds, ns = divmod(time_ns or 0, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ns:09}"


def exporters(server, transport: str) -> tuple[Any, Any, Any]:
    """Return the exporters of traces, metrics and logs."""
    protocol, _, compressed = transport.partition("-")
    if protocol == "grpc":
        packed = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
        how = {"endpoint": server.grpc, "insecure": True, "compression": packed}
        return GrpcSpans(**how), GrpcMetrics(**how), GrpcLogs(**how)
    packed = Compression.Gzip if compressed else Compression.NoCompression
    return tuple(
        made(endpoint=server.url(signal), compression=packed)
        for made, signal in ((HttpSpans, "traces"), (HttpMetrics, "metrics"), (HttpLogs, "logs"))
    )


def resource(transport: str) -> Resource:
    return Resource.create({"service.name": transport, **SENT}, "https://example.com/resource/1")


def send_spans(exporter: Any, transport: str) -> list[ReadableSpan]:
    seen = InMemorySpanExporter()
    provider = TracerProvider(resource=resource(transport))
    provider.add_span_processor(SimpleSpanProcessor(seen))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("scope", "1.2", "https://example.com/scope/1", SENT)
    upstream = SpanContext(
        0x0AF7651916CD43DD8448EB211C80319C,
        0x00F067AA0BA902B7,
        is_remote=True,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("ot", "th:4"), ("vendor", "a:b")]),
    )
    parent = trace.set_span_in_context(trace.NonRecordingSpan(upstream))
    with tracer.start_as_current_span("GET /cart", parent, SpanKind.SERVER, SENT) as span:
        span.add_event("first", SENT)
        span.add_event("second")
        span.set_status(Status(StatusCode.OK))
        for kind in (SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER):
            with tracer.start_as_current_span(kind.name.lower(), kind=kind):
                pass
    with pytest.raises(ValueError, match="no such cart"):  # noqa: SIM117
        with tracer.start_as_current_span(
            "fails", links=[Link(upstream, SENT), Link(span.context)]
        ):
            raise ValueError("no such cart")
    assert provider.force_flush()
    provider.shutdown()
    return list(seen.get_finished_spans())


def span_row(span: ReadableSpan) -> dict[str, Any]:
    context, scope = span.context, span.instrumentation_scope
    return {
        "Timestamp": iso(span.start_time),
        "TraceId": f"{context.trace_id:032x}",
        "SpanId": f"{context.span_id:016x}",
        "ParentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
        "TraceState": context.trace_state.to_header(),
        "SpanName": span.name,
        "SpanKind": span.kind.name.title(),
        "ServiceName": span.resource.attributes["service.name"],
        "ResourceAttributes": stored(span.resource.attributes),
        "ScopeName": scope.name,
        "ScopeVersion": scope.version,
        "SpanAttributes": stored(span.attributes),
        "Duration": span.end_time - span.start_time,
        "StatusCode": span.status.status_code.name.title(),
        "StatusMessage": span.status.description or "",
        "Events.Timestamp": [iso(event.timestamp) for event in span.events],
        "Events.Name": [event.name for event in span.events],
        "Events.Attributes": [stored(event.attributes) for event in span.events],
        "Links.TraceId": [f"{link.context.trace_id:032x}" for link in span.links],
        "Links.SpanId": [f"{link.context.span_id:016x}" for link in span.links],
        # The SDK's exporters send no trace state of a link.
        "Links.TraceState": ["" for _ in span.links],
        "Links.Attributes": [stored(link.attributes) for link in span.links],
        "Weight": 4 / 3 if "ot=th:4" in context.trace_state.to_header() else 1,
    }


class Recording(MetricExporter):
    """Passes on what it is given, and remembers it."""

    def __init__(self, exporter: MetricExporter) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)
        self.exporter = exporter
        self.seen: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> Any:
        self.seen.append(metrics_data)
        return self.exporter.export(metrics_data, timeout_millis)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self.exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        self.exporter.shutdown(timeout_millis)


def level(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(-7, SENT)]


def send_metrics(exporter: Any, transport: str) -> list[MetricsData]:
    exporter._preferred_temporality[Counter] = AggregationTemporality.DELTA
    recording = Recording(exporter)
    reader = PeriodicExportingMetricReader(recording, export_interval_millis=float("inf"))
    views = [
        View(instrument_name="sizes", aggregation=ExponentialBucketHistogramAggregation()),
        View(instrument_name="filtered", attribute_keys={"kept"}),
    ]
    provider = MeterProvider([reader], resource(transport), views=views)
    meter = provider.get_meter("scope", "1.2", "https://example.com/scope/1", SENT)
    meter.create_counter("orders", "{order}", "Orders taken").add(3, SENT)
    meter.create_up_down_counter("queue", "1", "Waiting").add(-2.5)
    meter.create_gauge("temperature", "Cel").set(21.5, SENT)
    meter.create_observable_gauge("level", [level])
    latency = meter.create_histogram(
        "latency", "ms", "How long", explicit_bucket_boundaries_advisory=[1.0, 5.0, 10.0]
    )
    sizes = meter.create_histogram("sizes", "By")
    filtered = meter.create_histogram("filtered")
    # Exemplars are taken from measurements within a sampled span.
    tracer = TracerProvider().get_tracer("of exemplars")
    with tracer.start_as_current_span("measured"):
        for value in (0.5, 5.0, 7.25, 1000.0):
            latency.record(value, SENT)
            sizes.record(value)
        sizes.record(0)
        filtered.record(4, {"kept": "yes", "dropped": "yes"})
    assert provider.force_flush()
    provider.shutdown()
    return recording.seen


KINDS = {
    "Gauge": "gauge",
    "Sum": "sum",
    "Histogram": "histogram",
    "ExponentialHistogram": "exponential_histogram",
}


def metric_rows(sent: list[MetricsData]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield (table, row) of every point."""
    for of_resource in (r for data in sent for r in data.resource_metrics):
        for of_scope in of_resource.scope_metrics:
            scope = of_scope.scope
            for metric in of_scope.metrics:
                kind = KINDS[type(metric.data).__name__]
                for point in metric.data.data_points:
                    yield (
                        f"otel_metrics_{kind}",
                        {
                            "ResourceAttributes": stored(of_resource.resource.attributes),
                            "ResourceSchemaUrl": of_resource.schema_url,
                            "ScopeName": scope.name,
                            "ScopeVersion": scope.version,
                            "ScopeAttributes": stored(scope.attributes),
                            "ScopeDroppedAttrCount": 0,
                            "ScopeSchemaUrl": of_scope.schema_url,
                            "ServiceName": of_resource.resource.attributes["service.name"],
                            "MetricName": metric.name,
                            "MetricDescription": metric.description or "",
                            "MetricUnit": metric.unit or "",
                            "Attributes": stored(point.attributes),
                            "StartTimeUnix": iso(point.start_time_unix_nano),
                            "TimeUnix": iso(point.time_unix_nano),
                            "Flags": 0,
                            **exemplars(point),
                            **values(kind, metric.data, point),
                        },
                    )


def exemplars(point: Any) -> dict[str, Any]:
    found = point.exemplars
    return {
        "Exemplars.FilteredAttributes": [stored(e.filtered_attributes) for e in found],
        "Exemplars.TimeUnix": [iso(e.time_unix_nano) for e in found],
        "Exemplars.Value": [e.value for e in found],
        "Exemplars.SpanId": [f"{e.span_id:016x}" for e in found],
        "Exemplars.TraceId": [f"{e.trace_id:032x}" for e in found],
    }


def values(kind: str, data: Any, point: Any) -> dict[str, Any]:
    if kind == "gauge":
        return {"Value": point.value}
    temporality = {"AggregationTemporality": data.aggregation_temporality.value}
    if kind == "sum":
        return {"Value": point.value, "IsMonotonic": data.is_monotonic, **temporality}
    spread = {"Count": point.count, "Sum": point.sum, "Min": point.min, "Max": point.max}
    if kind == "histogram":
        buckets = {
            "BucketCounts": list(point.bucket_counts),
            "ExplicitBounds": list(point.explicit_bounds),
        }
        return {**spread, **buckets, **temporality}
    return {
        **spread,
        "Scale": point.scale,
        "ZeroCount": point.zero_count,
        "PositiveOffset": point.positive.offset,
        "PositiveBucketCounts": list(point.positive.bucket_counts),
        "NegativeOffset": point.negative.offset,
        "NegativeBucketCounts": list(point.negative.bucket_counts),
        **temporality,
    }


def send_logs(exporter: Any, transport: str) -> list[ReadableLogRecord]:
    seen = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource(transport))
    provider.add_log_record_processor(SimpleLogRecordProcessor(seen))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("scope", "1.2", "https://example.com/scope/1", SENT)
    now = 4102444800_123456789  # 2100-01-01
    for key, body in SENT.items():
        logger.emit(
            LogRecord(
                timestamp=now,
                observed_timestamp=now + 1,
                severity_number=SeverityNumber.WARN2,
                severity_text="WARN",
                body=body,
                attributes={"body": key},
            )
        )
    with TracerProvider().get_tracer("of logs").start_as_current_span("logging"):
        logger.emit(
            LogRecord(
                observed_timestamp=now,
                body="bought",
                attributes={"body": "event", **SENT},
                event_name="cart.bought",
            )
        )
    assert provider.force_flush()
    provider.shutdown()
    return list(seen.get_finished_logs())


def log_row(readable: ReadableLogRecord) -> dict[str, Any]:
    record, scope = readable.log_record, readable.instrumentation_scope
    body = record.attributes["body"]
    return {
        "Timestamp": iso(record.timestamp or record.observed_timestamp),
        "TraceId": f"{record.trace_id:032x}" if record.trace_id else "",
        "SpanId": f"{record.span_id:016x}" if record.span_id else "",
        "TraceFlags": int(record.trace_flags or 0),
        "SeverityText": record.severity_text or "",
        "SeverityNumber": record.severity_number.value if record.severity_number else 0,
        "ServiceName": readable.resource.attributes["service.name"],
        "Body": STORED.get(body, record.body),
        "ResourceSchemaUrl": readable.resource.schema_url,
        "ResourceAttributes": stored(readable.resource.attributes),
        "ScopeSchemaUrl": scope.schema_url,
        "ScopeName": scope.name,
        "ScopeVersion": scope.version,
        "ScopeAttributes": stored(scope.attributes),
        "LogAttributes": stored(record.attributes),
        "EventName": record.event_name or "",
    }


@pytest.fixture(scope="module")
def exchange(start, read):
    """Send all three signals over all transports to one server; return what was sent and what it stored."""
    server = start(config={"max_ahead_minutes": 52_000_000})  # some times are of the year 2100
    sent: dict[str, Any] = {}
    for transport in TRANSPORTS:
        spans, metrics, logs = exporters(server, transport)
        sent[transport] = {
            "traces": send_spans(spans, transport),
            "metrics": send_metrics(metrics, transport),
            "logs": send_logs(logs, transport),
        }
    assert server.stop() == 0
    assert server.errors() == ""
    tables = ["otel_traces", "otel_logs", *(f"otel_metrics_{kind}" for kind in KINDS.values())]
    return sent, read(server.data, **{table: f"SELECT * FROM {table}" for table in tables})


def rows_of(stored_rows: dict[str, list[dict[str, Any]]], table: str, transport: str) -> list[Any]:
    return [row for row in stored_rows[table] if row["ServiceName"] == transport]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_spans_are_stored_as_the_sdk_sent_them(exchange, transport):
    """Ids, times, kinds, status, trace state, events, links, resource and every type of attribute arrive unchanged."""
    sent, found = exchange
    expected = {row["SpanId"]: row for row in map(span_row, sent[transport]["traces"])}
    stored_rows = rows_of(found, "otel_traces", transport)
    for row in stored_rows:
        assert row == expected[row["SpanId"]]
    assert len(stored_rows) == len(expected) == 6


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_log_records_are_stored_as_the_sdk_sent_them(exchange, transport):
    """Bodies and attributes of every type, severity, trace context and event name arrive unchanged."""
    sent, found = exchange
    expected = {row["LogAttributes"]["body"]: row for row in map(log_row, sent[transport]["logs"])}
    stored_rows = rows_of(found, "otel_logs", transport)
    for row in stored_rows:
        assert row.pop("Weight") == 1
        assert row == expected[row["LogAttributes"]["body"]]
    assert len(stored_rows) == len(expected) == len(VALUES) + 1


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_points_are_stored_as_the_sdk_sent_them(exchange, transport, kind):
    """Values, times, temporality, buckets of both kinds of histogram and exemplars arrive unchanged."""
    sent, found = exchange
    table = f"otel_metrics_{kind}"
    points = [row for name, row in metric_rows(sent[transport]["metrics"]) if name == table]
    expected = {row["MetricName"]: row for row in points}
    stored_rows = rows_of(found, table, transport)
    for row in stored_rows:
        assert row == expected[row["MetricName"]]
    assert len(stored_rows) == len(expected) > 0


def test_the_sdk_made_what_this_module_is_about(exchange):
    """Exemplars with filtered attributes, negative and integer values and both temporalities were among the points."""
    sent, _ = exchange
    points = [row for _, row in metric_rows(sent["grpc"]["metrics"])]
    kept = [value for p in points for value in p.get("Exemplars.FilteredAttributes", [])]
    assert {"dropped": "yes"} in kept
    assert {p.get("AggregationTemporality") for p in points} == {None, 1, 2}
    assert {p["Value"] for p in points if "Value" in p} == {3, -2.5, 21.5, -7}
    assert next(p for p in points if p["MetricName"] == "sizes")["ZeroCount"] == 1
