"""Work out from requests of one signal what is counted, sampled and stored: columns by row, nothing encoded yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.decode import LogRecords, Spans, decode_logs, decode_traces
from headgate.collector.fields import Fields
from headgate.collector.heap import Heap
from headgate.collector.identity import hashed
from headgate.collector.keyed import Keyed, find, key_attributes, text_at
from headgate.collector.log_uses import event_names, log_uses
from headgate.collector.outcome import OUTCOMES
from headgate.collector.sampler import (
    read_ids,
    read_randomness,
    read_thresholds,
    read_trace_state,
)
from headgate.collector.sampler.log_attributes import RANDOMNESS_KEY, THRESHOLD_KEY
from headgate.collector.sampler.thresholds import weight_of
from headgate.collector.span_uses import span_times, span_uses
from headgate.collector.times import believed
from headgate.collector.uses import Names, name_of, service_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.decode import Batches
    from headgate.collector.process import Request
    from headgate.collector.references import Ranges, Text
    from headgate.collector.rules import Rules
    from headgate.collector.uses import Uses

SEVERITIES = ("unspecified", "trace", "debug", "info", "warn", "error", "fatal")


@dataclass(frozen=True, slots=True)
class Rows:
    """What sampling wants to know of the rows of a signal, and what all signals have in common.

    `upstream` and `randomness` are T and R as they came, -1 where nothing came; `size` is each row's share of the
    requests' bytes, `corrected` those whose times could not be believed as they came.
    """

    heap: Heap
    batches: Batches
    services: Names
    resource_row: NDArray[np.int64]
    fields: Fields
    size: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    corrected: NDArray[np.bool_]
    trace_hi: NDArray[np.uint64]
    trace_lo: NDArray[np.uint64]
    upstream: NDArray[np.int64]
    randomness: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.resource_row.size)


@dataclass(frozen=True, slots=True)
class DerivedSpans:
    """Spans and what was derived of them."""

    rows: Rows
    spans: Spans
    uses: Uses
    resource: Keyed
    attributes: Keyed
    event: Keyed
    link: Keyed


@dataclass(frozen=True, slots=True)
class DerivedLogs:
    """Log records and what was derived of them; `names` are event names, empty for what is no event."""

    rows: Rows
    logs: LogRecords
    uses: Uses
    resource: Keyed
    scope: Keyed
    attributes: Keyed
    names: Text
    time_ns: NDArray[np.int64]


def heap_of(requests: Sequence[Request]) -> Heap:
    """Return the requests as one."""
    return Heap.joined([request.body for request in requests])


def derive_spans(requests: Sequence[Request], rules: Rules) -> DerivedSpans:
    """Derive the spans of requests, at least one; raises Malformed."""
    heap = heap_of(requests)
    spans = decode_traces(heap.buffer)
    batches = spans.batches
    levels = key_attributes(
        heap,
        [
            batches.resource_attributes,
            spans.attributes,
            spans.event_attributes,
            spans.link_attributes,
        ],
    )
    resource, attributes, event, link = hashed(heap, rules.identity, levels)
    services = service_names(heap, resource)
    ranges = batches.scope_batch.children["spans"]
    arrival_ns = arrivals(requests, ranges)
    times = span_times(spans, arrival_ns, rules)
    uses = span_uses(heap, spans, services, times, resource, attributes, event, rules.identity)
    resource_row = batches.scope_resource[spans.span_scope]
    derived = {
        "service": uses.service,
        "operation": uses.operation,
        "outcome": Names(uses.outcome, _words(heap, OUTCOMES)),
    }
    trace_hi, trace_lo = read_ids(batches.buffer, uses.trace_id)
    upstream, randomness = read_trace_state(batches.buffer, spans.span.text("trace_state"))
    rows = Rows(
        heap, batches, services, resource_row,
        Fields(heap, derived, attributes, resource, resource_row),
        _sizes(ranges), arrival_ns, times.corrected, trace_hi, trace_lo, upstream, randomness,
    )  # fmt: skip
    return DerivedSpans(rows, spans, uses, resource, attributes, event, link)


def derive_logs(requests: Sequence[Request], rules: Rules) -> DerivedLogs:
    """Derive the log records of requests, at least one; raises Malformed."""
    heap = heap_of(requests)
    logs = decode_logs(heap.buffer)
    batches = logs.batches
    levels = key_attributes(
        heap, [batches.resource_attributes, batches.scope_attributes, logs.attributes]
    )
    resource, scope, attributes = hashed(heap, rules.identity, levels)
    services = service_names(heap, resource)
    ranges = batches.scope_batch.children["log_records"]
    arrival_ns = arrivals(requests, ranges)
    time_ns, corrected = believed(
        arrival_ns,
        rules,
        logs.record.uint64("time_unix_nano"),
        logs.record.uint64("observed_time_unix_nano"),
    )
    names = event_names(heap, logs, attributes)
    uses = log_uses(heap, logs, services, resource, attributes, names, time_ns, rules.identity)
    resource_row = batches.scope_resource[logs.record_scope]
    severity = np.clip((logs.record.int32("severity_number") + 3) // 4, 0, len(SEVERITIES) - 1)
    derived = {
        "service": services.take(resource_row),
        "severity": Names(severity, _words(heap, SEVERITIES)),
        "scope": name_of(heap, batches.scope.text("name")).take(logs.record_scope),
    }
    trace_hi, trace_lo = read_ids(batches.buffer, logs.record.text("trace_id"))
    index = find(attributes, [THRESHOLD_KEY, RANDOMNESS_KEY])
    upstream = read_thresholds(heap.buffer, text_at(heap, attributes, index[:, 0]))
    uses = replace(uses, adjusted=weight_of(np.maximum(upstream[uses.source], 0)))
    rows = Rows(
        heap, batches, services, resource_row,
        Fields(heap, derived, attributes, resource, resource_row),
        _sizes(ranges), arrival_ns, corrected, trace_hi, trace_lo,
        upstream,
        read_randomness(heap.buffer, text_at(heap, attributes, index[:, 1])),
    )  # fmt: skip
    return DerivedLogs(rows, logs, uses, resource, scope, attributes, names, time_ns)


def _words(heap: Heap, words: Sequence[str]) -> Text:
    return heap.add_texts([word.encode() for word in words])


def _sizes(messages: Ranges) -> NDArray[np.int64]:
    """Return the bytes of each message with its tag and its length."""
    size = messages.end - messages.start
    digits = np.searchsorted(np.array([1 << 7, 1 << 14, 1 << 21, 1 << 28]), size, side="right") + 1
    return size + digits + 1


def arrivals(requests: Sequence[Request], messages: Ranges) -> NDArray[np.int64]:
    """Return when the request that holds each message arrived."""
    ends = np.cumsum([len(request.body) for request in requests])
    arrival_ns = np.array([request.arrival_ns for request in requests], np.int64)
    # An empty message may begin where its request ends.
    return arrival_ns[np.searchsorted(ends, messages.start, side="left")]
