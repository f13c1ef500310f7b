"""Validate a whole request in one pass, before it is acknowledged.

After this pass nothing that follows can fail on the bytes: processing may run later, from the journal, and must not
find then that an acknowledged request is malformed.

It takes what protobuf's own parser takes, but for two things: text that is not UTF-8 is taken, and stored byte for
byte, since one bad string should not cost its whole request; and field number 0 is refused in skipped groups too.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headgate.collector.errors import Malformed
from headgate.collector.kernel import as_buffer, i64, kernel
from headgate.collector.layout import field_kind
from headgate.collector.signals import Signal
from headgate.collector.wire import (
    MAX_DEPTH,
    read_length,
    read_tag,
    read_varint,
    skip_field,
    skip_group,
)

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from numpy.typing import NDArray

REQUESTS: dict[Signal, Descriptor] = {
    Signal.TRACES: ExportTraceServiceRequest.DESCRIPTOR,
    Signal.METRICS: ExportMetricsServiceRequest.DESCRIPTOR,
    Signal.LOGS: ExportLogsServiceRequest.DESCRIPTOR,
}
# What is an item, and which of its fields make it unlike any other: an id or a time.
_ITEMS = {
    "opentelemetry.proto.trace.v1.Span": ("span_id",),
    "opentelemetry.proto.logs.v1.LogRecord": ("time_unix_nano", "observed_time_unix_nano"),
    "opentelemetry.proto.metrics.v1.NumberDataPoint": ("time_unix_nano",),
    "opentelemetry.proto.metrics.v1.HistogramDataPoint": ("time_unix_nano",),
    "opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint": ("time_unix_nano",),
    "opentelemetry.proto.metrics.v1.SummaryDataPoint": ("time_unix_nano",),
}


@cache
def _tables(signal: Signal) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return [type, field] -> (kind, type of the sub-message, identifies), and which types are items.

    Type 0 is the request.
    """
    found: list[Descriptor] = [REQUESTS[signal]]
    for descriptor in found:
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type not in found:
                found.append(field.message_type)
    widest = max(field.number for d in found for field in d.fields) + 1
    table = np.zeros((len(found), widest, 3), np.int64)
    for number, descriptor in enumerate(found):
        for field in descriptor.fields:
            child = found.index(field.message_type) if field.message_type is not None else -1
            identifies = field.name in _ITEMS.get(descriptor.full_name, ())
            table[number, field.number] = (field_kind(field), child, identifies)
    return table, np.array([d.full_name in _ITEMS for d in found])


@kernel
def walk(
    buffer: NDArray[np.uint8], table: NDArray[np.int64], is_item: NDArray[np.bool_]
) -> tuple[int, int, int]:
    """Return (offset of the first error or -1, number of items, how many of them have an id or a time).

    Nesting deeper than protobuf allows is an error.
    """
    identified_at = np.zeros(MAX_DEPTH + 1, np.bool_)
    identified = i64(0)
    ends = np.empty(MAX_DEPTH + 1, np.int64)
    types = np.empty(MAX_DEPTH + 1, np.int64)
    depth = 0
    ends[0] = buffer.size
    types[0] = 0
    position = i64(0)
    items = i64(0)
    while True:
        while position == ends[depth]:
            if depth == 0:
                return -1, items, identified
            depth -= 1
        here = position
        end = ends[depth]
        position, field, wire = read_tag(buffer, position, end)
        if position < 0:
            return here, items, identified
        kind = table[types[depth], field, 0] if field < table.shape[1] else i64(0)
        if kind != 0 and table[types[depth], field, 2] != 0 and not identified_at[depth]:
            identified_at[depth] = True
            identified += 1
        if kind == 5 and wire == 2:
            position, after = read_length(buffer, position, end)
            if position < 0 or depth == MAX_DEPTH:
                return here, items, identified
            child = table[types[depth], field, 1]
            depth += 1
            ends[depth] = after
            types[depth] = child
            identified_at[depth] = False
            items += is_item[child]
            continue
        if kind >= 6 and wire == 2:
            position, after = read_length(buffer, position, end)
            if position < 0:
                return here, items, identified
            if kind == 6:
                if (after - position) % 8 != 0:
                    return here, items, identified
            else:
                while position < after:
                    position, _ = read_varint(buffer, position, after)
                    if position < 0:
                        return here, items, identified
            position = after
            continue
        if wire == 3:
            position = skip_group(buffer, position, end, field, MAX_DEPTH - depth)
        else:
            position = skip_field(buffer, position, end, field, wire)
        if position < 0:
            return here, items, identified


def examine(signal: Signal, body: bytes) -> tuple[int, bool]:
    """Return how many items (spans, log records, data points) a valid request has, and whether it is recognisable.

    A request is recognisable, when it comes again, if it has items and each has an id or a time. Raises Malformed.
    """
    table, is_item = _tables(signal)
    error, items, identified = walk(as_buffer(body), table, is_item)
    if error >= 0:
        raise Malformed(f"the {signal} request is not valid OTLP protobuf", int(error))
    return int(items), 0 < items == identified


def check(signal: Signal, body: bytes) -> int:
    """Return the number of items of a valid request; raises Malformed."""
    return examine(signal, body)[0]
