"""Decode OTLP requests into columns over the request's own bytes.

Requests are protobuf messages with one repeated field, and such messages, written one after the other, are again a
message of their type. The bytes of a whole segment are therefore decoded at once, as one big request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from headgate.collector.attributes import Attributes, Values, read_values
from headgate.collector.check import REQUESTS
from headgate.collector.kernel import as_buffer
from headgate.collector.layout import Layout, Messages, Ranges, message_type
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESOURCE = Layout(resource_pb2.Resource.DESCRIPTOR)
SCOPE = Layout(common_pb2.InstrumentationScope.DESCRIPTOR)
SPAN = Layout(trace_pb2.Span.DESCRIPTOR)
STATUS = Layout(trace_pb2.Status.DESCRIPTOR)
EVENT = Layout(trace_pb2.Span.Event.DESCRIPTOR)
LINK = Layout(trace_pb2.Span.Link.DESCRIPTOR)
LOG_RECORD = Layout(logs_pb2.LogRecord.DESCRIPTOR)


@dataclass(frozen=True, slots=True)
class Batches:
    """The two upper levels that all signals share: resources, and below them scopes.

    `resource_batch` and `scope_batch` hold the schema URLs and where the batch lies; row s of `scope` belongs to row
    `scope_resource[s]` of `resource`.
    """

    buffer: NDArray[np.uint8]
    resource_batch: Messages
    resource_range: Ranges
    resource: Messages
    resource_attributes: Attributes
    scope_batch: Messages
    scope: Messages
    scope_attributes: Attributes
    scope_resource: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans and what belongs to them; `span_scope`, `event_span` and `link_span` are row numbers one level up."""

    batches: Batches
    span: Messages
    span_scope: NDArray[np.int64]
    status: Messages
    attributes: Attributes
    event: Messages
    event_span: NDArray[np.int64]
    event_attributes: Attributes
    link: Messages
    link_span: NDArray[np.int64]
    link_attributes: Attributes

    def __len__(self) -> int:
        return len(self.span)


@dataclass(frozen=True, slots=True)
class LogRecords:
    """Log records; `record_scope` is the row of each record's scope."""

    batches: Batches
    record: Messages
    record_scope: NDArray[np.int64]
    body: Values
    attributes: Attributes

    def __len__(self) -> int:
        return len(self.record)


class BatchLayouts:
    """The layouts of one signal's request, resource batch and scope batch, found along the request's fields."""

    def __init__(self, signal: Signal) -> None:
        request = REQUESTS[signal]
        (batches,) = request.fields
        self.repeated = batches.name
        resource_batch = message_type(batches)
        (scopes,) = (field for field in resource_batch.fields if field.name.startswith("scope_"))
        self.scopes = scopes.name
        self.request = Layout(request)
        self.resource_batch = Layout(resource_batch)
        self.scope_batch = Layout(message_type(scopes))


TRACES = BatchLayouts(Signal.TRACES)
LOGS = BatchLayouts(Signal.LOGS)


def decode_batches(layouts: BatchLayouts, body: bytes | NDArray[np.uint8]) -> Batches:
    """Decode the resource and scope levels of a request; raises Malformed."""
    buffer = as_buffer(body) if isinstance(body, bytes) else body
    whole = Ranges(np.zeros(1, np.int64), np.zeros(1, np.int64), np.full(1, buffer.size))
    request = layouts.request.read(buffer, whole, 1)
    ranges = request.children[layouts.repeated]
    resource_batch = layouts.resource_batch.read_each(buffer, ranges)
    rows = len(resource_batch)
    resource = RESOURCE.read(buffer, resource_batch.children["resource"], rows)
    scopes = resource_batch.children[layouts.scopes]
    scope_batch = layouts.scope_batch.read_each(buffer, scopes)
    scope = SCOPE.read(buffer, scope_batch.children["scope"], len(scope_batch))
    return Batches(
        buffer=buffer,
        resource_batch=resource_batch,
        resource_range=ranges,
        resource=resource,
        resource_attributes=resource.attributes,
        scope_batch=scope_batch,
        scope=scope,
        scope_attributes=scope.attributes,
        scope_resource=scopes.row,
    )


def decode_traces(body: bytes | NDArray[np.uint8]) -> Spans:
    """Decode an ExportTraceServiceRequest, or several written one after the other; raises Malformed."""
    batches = decode_batches(TRACES, body)
    buffer = batches.buffer
    spans = batches.scope_batch.children["spans"]
    span = SPAN.read_each(buffer, spans)
    event = EVENT.read_each(buffer, span.children["events"])
    link = LINK.read_each(buffer, span.children["links"])
    return Spans(
        batches=batches,
        span=span,
        span_scope=spans.row,
        status=STATUS.read(buffer, span.children["status"], len(span)),
        attributes=span.attributes,
        event=event,
        event_span=span.children["events"].row,
        event_attributes=event.attributes,
        link=link,
        link_span=span.children["links"].row,
        link_attributes=link.attributes,
    )


def decode_logs(body: bytes | NDArray[np.uint8]) -> LogRecords:
    """Decode an ExportLogsServiceRequest, or several written one after the other; raises Malformed."""
    batches = decode_batches(LOGS, body)
    buffer = batches.buffer
    records = batches.scope_batch.children["log_records"]
    record = LOG_RECORD.read_each(buffer, records)
    return LogRecords(
        batches=batches,
        record=record,
        record_scope=records.row,
        body=read_values(buffer, record.children["body"], len(record)),
        attributes=record.attributes,
    )
