"""Load every kernel before a port opens, so that no first request waits for a compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    KeyValue,
    KeyValueList,
)

from headgate.collector.inspect import inspect
from headgate.collector.kernel import CACHE_DIRECTORY
from headgate.collector.policy import Policy
from headgate.collector.process import process_sampled
from headgate.collector.rules import Rules
from headgate.collector.sample import Sampling
from headgate.collector.sampler import Law
from headgate.collector.signals import Signal
from headgate.collector.states import States

if TYPE_CHECKING:
    from google.protobuf.message import Message


_LAW = Law(low=1, high=2, rate=0.25)
_BUSY = Policy(traces=_LAW, logs=_LAW, event_rows=1)
_KEPT = "ffffffffffffff"  # the greatest randomness, which passes every threshold


def _attributes() -> list[KeyValue]:
    values = (
        AnyValue(string_value="warm-up"),
        AnyValue(int_value=1),
        AnyValue(double_value=0.5),
        AnyValue(bool_value=True),
        AnyValue(bytes_value=b"1"),
        AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1)])),
        AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a")])),
        AnyValue(),
    )
    return [KeyValue(key=key, value=value) for key, value in zip("hgfedcba", values, strict=True)]


def _traces() -> Message:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    span = spans.add(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        name="warm-up",
        trace_state=f"ot=th:8;rv:{_KEPT},a=b",
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
    for number in range(20):
        state = f"ot=rv:{_KEPT}" if number % 2 else ""
        trace_id, span_id = bytes([number]) * 16, bytes([number + 1]) * 8
        spans.add(trace_id=trace_id, span_id=span_id, name="busy", trace_state=state)
    spans.add(trace_id=b"too short")
    return request


def _logs() -> Message:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    record = records.add(event_name="warm-up", attributes=_attributes())
    record.body.string_value = "warm-up"
    record.attributes.add(key="sampling.randomness").value.string_value = _KEPT
    for number in range(20):
        records.add(attributes=_attributes()).body.int_value = number
    records.add(trace_id=b"too short")
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


def compiled() -> bool:
    """Return whether an earlier process compiled these kernels and kept them: else it takes half a minute."""
    return CACHE_DIRECTORY is not None and any(CACHE_DIRECTORY.rglob("*.nbc"))


def warm_up() -> None:
    """Run requests of every signal through all stages but the insert: whole and in part, sampled and not."""
    requests = []
    for signal, message in (
        (Signal.TRACES, _traces()),
        (Signal.LOGS, _logs()),
        (Signal.METRICS, _metrics()),
    ):
        body = message.SerializeToString()
        requests += [inspect("warm-up", signal, body, at).request for at in (1, 2)]
    states = States.new(lambda: f"{1:032x}")
    for sampling in (None, Sampling(_BUSY, 1, states, "warm-up")):
        process_sampled(requests, (), Rules(), sampling)
