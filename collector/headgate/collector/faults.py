"""Count the items of a request that are invalid as such, quickly: most requests have none.

What makes an item invalid is told, and done about it, in `headgate.collector.partial`; a test holds the two together.
The request must have passed `headgate.collector.check`: here nothing is checked but items, and only what contains them
is entered.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.check import REQUESTS
from headgate.collector.kernel import as_buffer, i64, inlined, unchecked
from headgate.collector.memory import address, byte_at
from headgate.collector.wire import read_length, read_tag, skip_field

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from numpy.typing import NDArray

    from headgate.collector.signals import Signal

# What a field says about its item.
_TRACE_ID, _SPAN_ID, _PARENT_ID, _BUCKETS, _BOUNDS, _LOG_TRACE_ID, _LOG_SPAN_ID = (
    1 << bit for bit in range(7)
)
_SAYS = {
    "opentelemetry.proto.trace.v1.Span.trace_id": _TRACE_ID,
    "opentelemetry.proto.trace.v1.Span.span_id": _SPAN_ID,
    "opentelemetry.proto.trace.v1.Span.parent_span_id": _PARENT_ID,
    "opentelemetry.proto.metrics.v1.HistogramDataPoint.bucket_counts": _BUCKETS,
    "opentelemetry.proto.metrics.v1.HistogramDataPoint.explicit_bounds": _BOUNDS,
    "opentelemetry.proto.logs.v1.LogRecord.trace_id": _LOG_TRACE_ID,
    "opentelemetry.proto.logs.v1.LogRecord.span_id": _LOG_SPAN_ID,
}
_HAS_IDS = _TRACE_ID | _SPAN_ID
_IS_BAD = _PARENT_ID | _LOG_TRACE_ID | _LOG_SPAN_ID
_DIVIDED = _BUCKETS | _BOUNDS
# Kinds of messages: what contains items, spans, other items.
_OUTER, _SPAN, _OTHER = 0, 1, 2
_TAGS, _ENTER = 128, 128
_LEVELS = 8


@cache
def _tables(signal: Signal) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return [type * 128 + tag] -> what it says + 128 * type to enter, and each type's kind; type 0 is the request.

    Tags are of one byte, and of length-delimited fields: all that we look at are.
    """
    found: list[Descriptor] = [REQUESTS[signal]]
    kinds = [_OUTER]
    table: list[int] = []
    for number, descriptor in enumerate(found):
        table += [0] * _TAGS
        for field in descriptor.fields:
            does = _SAYS.get(field.full_name, 0)
            inner = field.message_type
            if inner is not None and kinds[number] == _OUTER and _holds_items(inner):
                does = _ENTER * len(found)
                found.append(inner)
                kinds.append(_kind(inner))
            if does:
                table[number * _TAGS + (field.number << 3 | 2)] = does
    return np.array(table), np.array(kinds)


def _kind(descriptor: Descriptor) -> int:
    if not any(field.full_name in _SAYS for field in descriptor.fields):
        return _OUTER
    return _SPAN if descriptor.name == "Span" else _OTHER


def _holds_items(descriptor: Descriptor, depth: int = 4) -> bool:
    """Return whether what we look at lies in such a message, a few levels down at most."""
    return any(
        field.full_name in _SAYS
        or (
            depth > 0
            and field.message_type is not None
            and _holds_items(field.message_type, depth - 1)
        )
        for field in descriptor.fields
    )


@inlined
def _invalid(base: int, start: int, end: int, size: int) -> bool:
    """Return whether an id has another size or is all zeros."""
    for i in range(start, end):
        if byte_at(base, i) != 0:
            return end - start != size
    return True


@unchecked
def count(buffer: NDArray[np.uint8], table: NDArray[np.int64], kinds: NDArray[np.int64]) -> int:
    """Return how many items are invalid; a field that is there twice counts as it does the last time.

    Unchecked: every position comes from a request that has been checked whole, every type from the table.
    """
    base = address(buffer)
    ends = np.empty(_LEVELS, np.int64)
    types = np.empty(_LEVELS, np.int64)
    end = i64(buffer.size)
    type_ = i64(0)
    depth = i64(0)
    position = i64(0)
    faults = i64(0)
    state = i64(0)  # of the item that is open: items do not lie in items
    surplus = i64(0)  # of a histogram: buckets minus bounds
    while True:
        while position == end:
            kind = kinds[type_]
            if kind == _SPAN:
                faults += (state & (_HAS_IDS | _IS_BAD)) != _HAS_IDS
            elif kind == _OTHER:
                faults += (state & _IS_BAD) != 0 or ((state & _DIVIDED) != 0 and surplus != 1)
            if depth == 0:
                return faults
            depth -= 1
            end = ends[depth]
            type_ = types[depth]
        tag = byte_at(base, position)
        if tag < 0x80 and tag & 7 == 2:
            position += 1
        else:
            position, field, wire = read_tag(base, position, end)
            tag = i64(field << 3 | 2) if field < 16 else i64(0)
            if wire != 2:
                says = table[type_ << 7 | tag] & (_ENTER - 1)
                if says & _DIVIDED and wire == 1:
                    surplus += i64(1) if says == _BUCKETS else i64(-1)
                    state |= says
                position = skip_field(base, position, end, field, wire)
                continue
        does = table[type_ << 7 | tag]
        start, after = read_length(base, position, end)
        position = after
        if does == 0:
            continue
        if does >= _ENTER:
            ends[depth] = end
            types[depth] = type_
            depth += 1
            end = after
            type_ = does // _ENTER
            position = start
            state = i64(0)
            surplus = i64(0)
        elif does & _DIVIDED:
            number = (after - start) // 8
            surplus += number if does == _BUCKETS else -number
            state |= does if number > 0 else i64(0)
        else:
            state &= ~does
            if does == _TRACE_ID:
                holds = not _invalid(base, start, after, 16)
            elif does == _SPAN_ID:
                holds = not _invalid(base, start, after, 8)
            elif does == _PARENT_ID:
                holds = after > start and after - start != 8
            else:
                size = i64(16) if does == _LOG_TRACE_ID else i64(8)
                holds = after > start and _invalid(base, start, after, size)
            state |= does if holds else i64(0)


def faults(signal: Signal, body: bytes) -> int:
    """Return how many items of a valid request are invalid as such, or are log records with an invalid id."""
    return int(count(as_buffer(body), *_tables(signal)))
