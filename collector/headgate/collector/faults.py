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
from headgate.collector.kernel import as_buffer, i64, kernel
from headgate.collector.wire import MAX_DEPTH, read_length, read_tag, skip_field

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


@cache
def _tables(signal: Signal) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return [type, field] -> (type to enter or -1, what it says), and each type's kind; type 0 is the request."""
    found: list[Descriptor] = [REQUESTS[signal]]
    kinds = [_OUTER]
    entered: dict[tuple[int, int], int] = {}
    says: dict[tuple[int, int], int] = {}
    for number, descriptor in enumerate(found):
        for field in descriptor.fields:
            says[number, field.number] = _SAYS.get(field.full_name, 0)
            if (
                field.message_type is None
                or kinds[number] != _OUTER
                or not _holds_items(field.message_type)
            ):
                continue
            entered[number, field.number] = len(found)
            found.append(field.message_type)
            kinds.append(_kind(field.message_type))
    table = np.zeros((len(found), 1 + max(field for _, field in says), 2), np.int64)
    table[:, :, 0] = -1
    for place, child in entered.items():
        table[(*place, 0)] = child
    for place, said in says.items():
        table[(*place, 1)] = said
    return table, np.array(kinds)


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


@kernel
def _is_zero(buffer: NDArray[np.uint8], start: int, end: int) -> bool:
    for i in range(start, end):
        if buffer[i] != 0:
            return False
    return True


@kernel
def _invalid(buffer: NDArray[np.uint8], start: int, end: int, size: int) -> bool:
    return end - start != size or _is_zero(buffer, start, end)


@kernel
def count(buffer: NDArray[np.uint8], table: NDArray[np.int64], kinds: NDArray[np.int64]) -> int:
    """Return how many items are invalid; a field that is there twice counts as it does the last time."""
    ends = np.empty(MAX_DEPTH + 1, np.int64)
    types = np.empty(MAX_DEPTH + 1, np.int64)
    ends[0] = buffer.size
    types[0] = 0
    depth = 0
    position = i64(0)
    faults = i64(0)
    state = i64(0)  # of the item that is open: items do not lie in items
    surplus = i64(0)  # of a histogram: buckets minus bounds
    while True:
        while position == ends[depth]:
            if depth == 0:
                return faults
            kind = kinds[types[depth]]
            if kind == _SPAN:
                faults += (state & (_HAS_IDS | _IS_BAD)) != _HAS_IDS
            elif kind == _OTHER:
                faults += (state & _IS_BAD) != 0 or ((state & _DIVIDED) != 0 and surplus != 1)
            depth -= 1
        position, field, wire = read_tag(buffer, position, ends[depth])
        child = i64(-1)
        says = i64(0)
        if field < table.shape[1]:
            child = table[types[depth], field, 0]
            says = table[types[depth], field, 1]
        if child >= 0 and wire == 2:
            position, after = read_length(buffer, position, ends[depth])
            depth += 1
            ends[depth] = after
            types[depth] = child
            state = i64(0)
            surplus = i64(0)
            continue
        if says != 0 and wire == 2:
            start, after = read_length(buffer, position, ends[depth])
            if says & _DIVIDED:
                number = (after - start) // 8
                surplus += number if says == _BUCKETS else -number
                state |= says if number > 0 else i64(0)
            else:
                state &= ~says
                if says == _TRACE_ID:
                    good = not _invalid(buffer, start, after, 16)
                    state |= says if good else i64(0)
                elif says == _SPAN_ID:
                    good = not _invalid(buffer, start, after, 8)
                    state |= says if good else i64(0)
                elif after > start:
                    if says == _PARENT_ID:
                        bad = after - start != 8
                    else:
                        bad = _invalid(buffer, start, after, 16 if says == _LOG_TRACE_ID else 8)
                    state |= says if bad else i64(0)
            position = after
            continue
        if says & _DIVIDED and wire == 1:
            surplus += i64(1) if says == _BUCKETS else i64(-1)
            state |= says
        position = skip_field(buffer, position, ends[depth], field, wire)


def faults(signal: Signal, body: bytes) -> int:
    """Return how many items of a valid request are invalid as such, or are log records with an invalid id."""
    return int(count(as_buffer(body), *_tables(signal)))
