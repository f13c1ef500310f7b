"""Derive from spans what is counted: operation, outcome, user, session, error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.fingerprints import fingerprints
from headgate.collector.heap import Heap, intern
from headgate.collector.identity import owners
from headgate.collector.keyed import Keyed, find, text_at
from headgate.collector.layout import Text
from headgate.collector.outcome import outcomes
from headgate.collector.threshold import adjusted_count
from headgate.collector.times import believed, durations
from headgate.collector.uses import (
    SPAN_KINDS,
    Names,
    Uses,
    first_present,
    integer_at,
    name_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.decode import Spans
    from headgate.collector.rules import Identity, Rules

SERVER, CONSUMER = SPAN_KINDS.index("Server"), SPAN_KINDS.index("Consumer")
STATUS_ERROR = 2
WANTED = (
    "error.type",
    "http.response.status_code",
    "http.status_code",
    "rpc.grpc.status_code",
    "headgate.track",
)
_ERROR_TYPE, _HTTP, _GRPC, _TRACK = 0, (1, 2), 3, 4


def _or(first: Text, second: Text) -> Text:
    """Return the first text of each row, the second where it is empty."""
    use_second = first.length == 0
    return Text(
        np.where(use_second, second.offset, first.offset),
        np.where(use_second, second.length, first.length),
    )


def exceptions(heap: Heap, spans: Spans, event: Keyed) -> tuple[Text, Text, Text]:
    """Return (type, stack trace, message) of each span's last exception event, empty where there is none."""
    codes, distinct = intern(heap, spans.event.text("name"))
    names = heap.read(distinct)
    last = np.full(len(spans), -1, np.int64)
    if b"exception" in names:
        found = np.flatnonzero(codes == names.index(b"exception"))
        last[spans.event_span[found]] = found
    wanted = find(event, ["exception.type", "exception.stacktrace", "exception.message"])
    texts = []
    for column in range(3):
        index = np.where(last >= 0, wanted[last, column], -1) if len(spans.event) else last
        texts.append(text_at(heap, event, index))
    return texts[0], texts[1], texts[2]


@dataclass(frozen=True, slots=True)
class SpanTimes:
    """When each span began and how long it took; `corrected` are those that did not say, or not believably."""

    time_ns: NDArray[np.int64]
    duration_ns: NDArray[np.uint64]
    corrected: NDArray[np.bool_]


def span_times(spans: Spans, arrival_ns: NDArray[np.int64], rules: Rules) -> SpanTimes:
    """Return the times of spans: the end where the start cannot be believed, the arrival where neither can."""
    start, end = spans.span.uint64("start_time_unix_nano"), spans.span.uint64("end_time_unix_nano")
    time_ns, _ = believed(arrival_ns, rules, start, end)
    duration_ns = durations(rules, start, end)
    other = (time_ns.view(np.uint64) != start) | ((duration_ns == 0) & (end != start))
    return SpanTimes(time_ns, duration_ns, other)


def span_uses(
    heap: Heap,
    spans: Spans,
    services: Names,
    times: SpanTimes,
    resource: Keyed,
    attributes: Keyed,
    event: Keyed,
    identity: Identity,
) -> Uses:
    """Derive one row a span; `services` is by resource."""
    resource_row = spans.batches.scope_resource[spans.span_scope]
    number = spans.span.int32("kind")
    kind = np.where((number < 0) | (number >= len(SPAN_KINDS)), 0, number).astype(np.uint8)
    failed = spans.status.int32("code") == STATUS_ERROR
    index = find(attributes, WANTED)
    rows = np.arange(len(spans))
    whose = owners(heap, identity, attributes, rows, resource, resource_row)
    entry = (
        (kind == SERVER)
        | (kind == CONSUMER)
        | (spans.span.text("parent_span_id").length == 0)
        | _is_true(attributes, index[:, _TRACK])
    )
    exception_type, stack, message = exceptions(heap, spans, event)
    error_type = _or(exception_type, text_at(heap, attributes, index[:, _ERROR_TYPE]))
    http = first_present(index, _HTTP)
    status = text_at(heap, attributes, np.where(failed, http, -1))
    error_type = _blank_unless(failed, _or(error_type, status))
    error_message = _blank_unless(failed, _or(message, spans.status.text("message")))
    fingerprint = np.zeros(len(spans), np.uint64)
    bad = np.flatnonzero(failed)
    if bad.size:
        fingerprint[bad] = fingerprints(
            heap, error_type.take(bad), stack.take(bad), error_message.take(bad)
        )
    return Uses(
        source=rows,
        time_ns=times.time_ns,
        service=services.take(resource_row),
        operation=name_of(heap, spans.span.text("name")),
        kind=kind,
        entry=entry,
        outcome=outcomes(
            heap,
            failed,
            error_type,
            integer_at(attributes, http),
            integer_at(attributes, index[:, _GRPC]),
        ),
        timed=True,
        duration_ns=times.duration_ns,
        adjusted=adjusted_count(heap.buffer, spans.span.text("trace_state")),
        user=whose.user,
        user_hash=whose.user_hash,
        session=whose.session,
        trace_id=spans.span.text("trace_id"),
        span_id=spans.span.text("span_id"),
        fingerprint=fingerprint,
        error_type=error_type,
        error_message=error_message,
        value=np.full(len(spans), np.nan),
    )


def _blank_unless(condition: NDArray[np.bool_], text: Text) -> Text:
    return Text(text.offset, np.where(condition, text.length, 0))


def _is_true(attributes: Keyed, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(attributes.value):
        return np.zeros(index.size, bool)
    true: NDArray[np.bool_] = (
        (index >= 0) & (attributes.value.kind[index] == 2) & (attributes.value.bits[index] != 0)
    )
    return true
