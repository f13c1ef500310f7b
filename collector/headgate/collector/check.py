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
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from headgate.collector.errors import Malformed, TooLarge
from headgate.collector.kernel import as_buffer, i64, inlined, unchecked
from headgate.collector.layout import field_kind
from headgate.collector.memory import address, byte_at
from headgate.collector.signals import Signal
from headgate.collector.wire import (
    BYTES,
    MAX_DEPTH,
    MESSAGE,
    NUMBER,
    NUMBER64,
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


# What to do at a one-byte tag: nothing quick, or read past a number, a text, eight bytes, or into a message or a pair.
_SLOW, _NUMBER, _TEXT, _EIGHT, _ENTER, _PAIR = range(6)
_QUICK = {(NUMBER, 0): _NUMBER, (NUMBER64, 1): _EIGHT, (BYTES, 2): _TEXT, (MESSAGE, 2): _ENTER}
_TAGS = 128
MOST_ITEMS = 512_000
"""Most items of a request, of which eight parts count as one more: an item takes up to 940 bytes once decoded, whatever
its size, and a part 110. 64 MiB of ordinary spans have 430 000."""
_PARTS_AN_ITEM = 8


@cache
def _tables(
    signal: Signal,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return [type, field] -> (kind, type of the sub-message, identifies), which types are items, and what is quick.

    Type 0 is the request. The last is [type * 128 + tag] -> action + 8 * identifies + 16 * type of the sub-message.
    """
    found: list[Descriptor] = [REQUESTS[signal]]
    for descriptor in found:
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type not in found:
                found.append(field.message_type)
    widest = max(field.number for d in found for field in d.fields) + 1
    table = np.zeros((len(found), widest, 3), np.int64)
    quick = np.zeros(len(found) * _TAGS, np.int64)
    for number, descriptor in enumerate(found):
        for field in descriptor.fields:
            kind = field_kind(field)
            child = found.index(field.message_type) if field.message_type is not None else -1
            identifies = field.name in _ITEMS.get(descriptor.full_name, ())
            table[number, field.number] = (kind, child, identifies)
            for wire in range(3):
                tag = field.number << 3 | wire
                action = _QUICK.get((kind, wire), _SLOW)
                if child >= 0 and found[child] == KeyValue.DESCRIPTOR and action == _ENTER:
                    action = _PAIR
                if action and tag < _TAGS:
                    quick[number * _TAGS + tag] = action + 8 * identifies + 16 * max(child, 0)
    return table, np.array([d.full_name in _ITEMS for d in found]), quick


@inlined
def simple_pair(base: int, position: int, end: int) -> bool:
    """Return whether position..end, at address `base`, is a key and a value, a text or a number, and nothing else."""
    size = end - position
    if size < 4 or byte_at(base, position) != 0x0A:
        return False
    value = position + 2 + byte_at(base, position + 1)
    if byte_at(base, position + 1) >= 0x80 or end - value < 2 or byte_at(base, value) != 0x12:
        return False
    size = byte_at(base, value + 1)
    value += 2
    if size >= 0x80 or value + size != end or size < 2:
        return False
    tag = byte_at(base, value)
    if tag == 0x0A:
        return byte_at(base, value + 1) < 0x80 and value + 2 + byte_at(base, value + 1) == end
    if tag == 0x18 or tag == 0x10:
        return read_varint(base, value + 1, end)[0] == end
    return tag == 0x21 and size == 9


@unchecked
def walk(
    buffer: NDArray[np.uint8],
    table: NDArray[np.int64],
    is_item: NDArray[np.bool_],
    quick: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Return (offset of the first error or -1, number of items, how many of them have an id or a time, parts).

    Parts are what takes memory of its own once decoded: messages, pairs of key and value, elements of packed lists.
    Nesting deeper than protobuf allows is an error. What most requests are made of, one-byte tags and lengths of
    known fields, is walked by `quick`; everything else by the general rules below it.
    """
    base = address(buffer)
    identified_at = np.zeros(MAX_DEPTH + 1, np.bool_)
    identified = i64(0)
    ends = np.empty(MAX_DEPTH + 1, np.int64)
    types = np.empty(MAX_DEPTH + 1, np.int64)
    depth = 0
    end = i64(buffer.size)
    kind_of = i64(0)
    ends[0] = end
    types[0] = 0
    position = i64(0)
    items = i64(0)
    parts = i64(0)
    while True:
        while position == end:
            if depth == 0:
                return -1, items, identified, parts
            depth -= 1
            end = ends[depth]
            kind_of = types[depth]
        here = position
        tag = byte_at(base, position)
        if tag < 0x80:
            action = quick[(kind_of << 7) | tag]
            what = action & 7
            after = i64(-1)
            if what >= 4 or what == 2:
                if end - position >= 2:
                    size = byte_at(base, position + 1)
                    position += 2
                    if size >= 0x80 and end - position >= 1:
                        more = byte_at(base, position)
                        position += 1
                        size = (size & 0x7F) | (more << 7) if more < 0x80 else end
                    if size <= end - position:
                        after = position + size
            elif what == 3:
                if end - position >= 9:
                    after = position + 9
            elif what == 1:
                after, _ = read_varint(base, position + 1, end)
            if after >= 0:
                if action & 8 != 0 and not identified_at[depth]:
                    identified_at[depth] = True
                    identified += 1
                parts += what >= 4
                if what < 4 or (
                    what == 5 and depth < MAX_DEPTH - 1 and simple_pair(base, position, after)
                ):
                    position = after
                    continue
                if depth < MAX_DEPTH:
                    depth += 1
                    end = after
                    kind_of = action >> 4
                    ends[depth] = end
                    types[depth] = kind_of
                    identified_at[depth] = False
                    items += is_item[kind_of]
                    continue
            position = here
        position, field, wire = read_tag(base, position, end)
        if position < 0:
            return here, items, identified, parts
        kind = table[kind_of, field, 0] if field < table.shape[1] else i64(0)
        if kind != 0 and table[kind_of, field, 2] != 0 and not identified_at[depth]:
            identified_at[depth] = True
            identified += 1
        if kind == 5 and wire == 2:
            position, after = read_length(base, position, end)
            if position < 0 or depth == MAX_DEPTH:
                return here, items, identified, parts
            kind_of = table[kind_of, field, 1]
            parts += 1
            depth += 1
            end = after
            ends[depth] = end
            types[depth] = kind_of
            identified_at[depth] = False
            items += is_item[kind_of]
            continue
        if kind >= 6 and wire == 2:
            position, after = read_length(base, position, end)
            if position < 0:
                return here, items, identified, parts
            if kind == 6:
                if (after - position) % 8 != 0:
                    return here, items, identified, parts
                parts += (after - position) // 8
            else:
                while position < after:
                    parts += 1
                    position, _ = read_varint(base, position, after)
                    if position < 0:
                        return here, items, identified, parts
            position = after
            continue
        if wire == 3:
            position = skip_group(base, position, end, field, MAX_DEPTH - depth)
        else:
            position = skip_field(base, position, end, field, wire)
        if position < 0:
            return here, items, identified, parts


def examine(signal: Signal, body: bytes) -> tuple[int, bool]:
    """Return how many items (spans, log records, data points) a valid request has, and whether it is recognisable.

    A request is recognisable, when it comes again, if it has items and each has an id or a time. Raises Malformed, or
    TooLarge for one that would take many times its bytes in memory.
    """
    error, items, identified, parts = walk(as_buffer(body), *_tables(signal))
    if error >= 0:
        raise Malformed(f"the {signal} request is not valid OTLP protobuf", int(error))
    if items + parts // _PARTS_AN_ITEM > MOST_ITEMS:
        raise TooLarge(
            f"the {signal} request has {items} items and {parts} parts (attributes, events and the like), which"
            f" count as {items + parts // _PARTS_AN_ITEM} items, more than {MOST_ITEMS}; send smaller batches"
        )
    return int(items), 0 < items == identified


def check(signal: Signal, body: bytes) -> int:
    """Return the number of items of a valid request; raises Malformed."""
    return examine(signal, body)[0]
