"""Load every kernel before a port opens, so that no first request waits for a compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from headgate.collector.check import check
from headgate.collector.process import Request, process
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from google.protobuf.message import Message


def _attributes() -> list[KeyValue]:
    values = (
        AnyValue(string_value="warm-up"),
        AnyValue(int_value=1),
        AnyValue(double_value=0.5),
        AnyValue(bool_value=True),
    )
    return [KeyValue(key=key, value=value) for key, value in zip("dcba", values, strict=True)]


def _traces() -> Message:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    span = spans.add(
        trace_id=bytes(16),
        span_id=bytes(8),
        name="warm-up",
        trace_state="ot=th:8",
        attributes=_attributes(),
    )
    span.attributes.add(
        key="user.id"
    ).value.string_value = "warm-up user with a name of over thirty-two bytes"
    span.status.code = 2  # type: ignore[assignment]  # an enum is an int on the wire
    span.events.add(name="exception").attributes.add(
        key="exception.type"
    ).value.string_value = "TimeoutError"
    span.links.add(trace_id=bytes(16), span_id=bytes(8))
    return request


def _logs() -> Message:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    record = records.add(event_name="warm-up", attributes=_attributes())
    record.body.string_value = "warm-up"
    return request


def _metrics() -> Message:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    point = metrics.add(name="warm-up").gauge.data_points.add(
        as_double=1.0, attributes=_attributes()
    )
    point.exemplars.add(as_int=1)
    metrics.add(name="warm-up").histogram.data_points.add(
        bucket_counts=[1, 2], explicit_bounds=[0.5]
    )
    exponential = metrics.add(name="warm-up").exponential_histogram.data_points.add()
    exponential.positive.bucket_counts.append(1)
    metrics.add(name="warm-up").summary.data_points.add().quantile_values.add(
        quantile=0.5, value=1.0
    )
    return request


def warm_up() -> None:
    """Run a request of every signal through all stages but the insert."""
    for signal, message in (
        (Signal.TRACES, _traces()),
        (Signal.LOGS, _logs()),
        (Signal.METRICS, _metrics()),
    ):
        body = message.SerializeToString()
        process([Request(signal, body, check(signal, body), 0)])
