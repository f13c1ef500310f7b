"""Partial success: take the good items of a request, leave the bad ones out, and say which and why.

What makes an item bad is what OTLP calls invalid and requires (trace.proto, metrics.proto, 1.11):

* a span whose trace id is not 16 bytes, or all zeros; whose span id is not 8 bytes, or all zeros; whose parent's id is
  neither 8 bytes nor empty;
* a histogram's data point that has bounds or buckets, but not one bucket more than it has bounds.

A log record with an invalid trace or span id is kept without it, as logs.proto demands, and said in a warning. Times,
values and attributes make no item bad: see docs/reference/bad-input.md.

Only the good items reach the journal, so that what is processed later, or after a crash, needs no second judgement.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
NO_TRACE_ID = "without a valid trace id (16 bytes, not all zeros)"
NO_SPAN_ID = "without a valid span id (8 bytes, not all zeros)"
BAD_PARENT = "with a parent span id that is neither 8 bytes nor empty"
BAD_BUCKETS = "with a number of buckets that is not the number of bounds plus one"
ODD_IDS = "log records were taken without their trace or span ids, which are not valid"
ITEMS = {Signal.TRACES: "spans", Signal.METRICS: "data points", Signal.LOGS: "log records"}


@dataclass(frozen=True, slots=True)
class Partial:
    """What was left out of a request: `rejected` items and why; (items, bytes) by service.

    With nothing rejected, `message` is a warning.
    """

    rejected: int
    message: str
    by_service: dict[bytes, tuple[int, int]]


def split(signal: Signal, body: bytes) -> tuple[bytes, Partial]:
    """Return a request, which must be valid protobuf, without its bad items, and what was left out.

    This is a loop over items in Python: the way of requests with faults only (`headgate.collector.check` finds them).
    """
    request = _REQUESTS[signal].FromString(body)
    reasons: Counter[str] = Counter()
    by_service: dict[bytes, tuple[int, int]] = {}
    odd = 0
    for batch in _only_list(request):
        service = _service(batch)
        for scope in _scopes(batch):
            for items in _item_lists(signal, scope):
                if signal is Signal.LOGS:
                    odd += sum(_clear_odd_ids(record) for record in items)
                    continue
                for i in reversed(range(len(items))):
                    reason = _fault(signal, items[i])
                    if reason:
                        count, size = by_service.get(service, (0, 0))
                        by_service[service] = count + 1, size + items[i].ByteSize()
                        reasons[reason] += 1
                        del items[i]
    good: bytes = request.SerializeToString()
    _add_framing(by_service, len(body) - len(good))
    return good, Partial(reasons.total(), _message(signal, reasons, odd), by_service)


def response(signal: Signal, partial: Partial) -> Message:
    """Return the Export*ServiceResponse that tells a client."""
    made: Any = _RESPONSES[signal]()
    made.partial_success.error_message = partial.message
    name = f"rejected_{ITEMS[signal].replace(' ', '_')}"
    setattr(made.partial_success, name, partial.rejected)
    message: Message = made
    return message


def _add_framing(by_service: dict[bytes, tuple[int, int]], size: int) -> None:
    """Let the sizes sum up to what the request has lost: lengths and tags around the items go to the first service."""
    if by_service:
        first = next(iter(by_service))
        count, own = by_service[first]
        by_service[first] = count, own + size - sum(octets for _, octets in by_service.values())


def _message(signal: Signal, reasons: Counter[str], odd: int) -> str:
    said = [f"{count} {reason}" for reason, count in sorted(reasons.items())]
    rejected = [f"{reasons.total()} {ITEMS[signal]} were not taken: {', '.join(said)}"]
    return "; ".join((rejected if said else []) + ([f"{odd} {ODD_IDS}"] if odd else []))


def _fault(signal: Signal, item: Any) -> str:
    """Return why an item is bad, or nothing."""
    if signal is Signal.TRACES:
        if not _valid(item.trace_id, _TRACE_ID_BYTES):
            return NO_TRACE_ID
        if not _valid(item.span_id, _SPAN_ID_BYTES):
            return NO_SPAN_ID
        return "" if len(item.parent_span_id) in {0, _SPAN_ID_BYTES} else BAD_PARENT
    if item.DESCRIPTOR.name == "HistogramDataPoint":
        buckets, bounds = len(item.bucket_counts), len(item.explicit_bounds)
        return BAD_BUCKETS if (buckets or bounds) and buckets != bounds + 1 else ""
    return ""


def _clear_odd_ids(record: Any) -> bool:
    """Remove ids that are not valid from a log record; return whether there were any."""
    odd = False
    for name, size in (("trace_id", _TRACE_ID_BYTES), ("span_id", _SPAN_ID_BYTES)):
        value = getattr(record, name)
        if value and not _valid(value, size):
            record.ClearField(name)
            odd = True
    return odd


def _valid(identity: bytes, size: int) -> bool:
    return len(identity) == size and any(identity)


def _service(batch: Any) -> bytes:
    """Return the last `service.name` of a resource, as the columns have it; empty where it is no string."""
    named = [
        pair.value.string_value for pair in batch.resource.attributes if pair.key == b"service.name"
    ]
    return named[-1] if named else b""


def _only_list(message: Any) -> Any:
    return getattr(message, message.DESCRIPTOR.fields[0].name)


def _scopes(batch: Any) -> Any:
    names = [field.name for field in batch.DESCRIPTOR.fields if field.name.startswith("scope_")]
    return getattr(batch, names[0])


def _item_lists(signal: Signal, scope: Any) -> Iterator[Any]:
    if signal is Signal.TRACES:
        yield scope.spans
    elif signal is Signal.LOGS:
        yield scope.log_records
    else:
        for metric in scope.metrics:
            kind = metric.WhichOneof("data")
            if kind:
                yield getattr(metric, kind).data_points


def _with_bytes() -> DescriptorPool:
    """Return OTLP's messages with bytes for strings: text that is not UTF-8 is taken as it comes."""
    pool = DescriptorPool()
    for module in (
        common_pb2, resource_pb2, trace_pb2, logs_pb2, metrics_pb2,
        trace_service_pb2, metrics_service_pb2, logs_service_pb2,
    ):  # fmt: skip
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        waiting = list(file.message_type)
        for message in waiting:
            waiting.extend(message.nested_type)
            for field in message.field:
                if field.type == FieldDescriptorProto.TYPE_STRING:
                    field.type = FieldDescriptorProto.TYPE_BYTES
        pool.Add(file)
    return pool


_POOL = _with_bytes()
_REQUESTS: dict[Signal, Any] = {
    signal: GetMessageClass(_POOL.FindMessageTypeByName(made.DESCRIPTOR.full_name))
    for signal, made in (
        (Signal.TRACES, trace_service_pb2.ExportTraceServiceRequest),
        (Signal.METRICS, metrics_service_pb2.ExportMetricsServiceRequest),
        (Signal.LOGS, logs_service_pb2.ExportLogsServiceRequest),
    )
}
_RESPONSES: dict[Signal, type[Message]] = {
    Signal.TRACES: trace_service_pb2.ExportTraceServiceResponse,
    Signal.METRICS: metrics_service_pb2.ExportMetricsServiceResponse,
    Signal.LOGS: logs_service_pb2.ExportLogsServiceResponse,
}
