"""Turn the requests of one segment into blocks: decode, derive, roll up, encode. Pure: same bytes, same blocks.

Requests of one signal are decoded together, since OTLP requests written one after the other are again a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.decode import Batches, decode_logs, decode_traces
from headgate.collector.dimension import Dimension, dimensions_of
from headgate.collector.heap import Heap
from headgate.collector.keyed import Keyed, key_attributes
from headgate.collector.ledger import Entry, ledger_block, ledger_entries
from headgate.collector.log_block import log_blocks
from headgate.collector.log_uses import event_names, log_uses
from headgate.collector.metrics import decode_metrics, metric_blocks
from headgate.collector.rules import Rules
from headgate.collector.signals import Signal
from headgate.collector.span_block import span_blocks
from headgate.collector.span_uses import span_uses
from headgate.collector.times import first_set
from headgate.collector.use_blocks import use_blocks
from headgate.collector.uses import Uses, service_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.block import Block


@dataclass(frozen=True, slots=True)
class Request:
    """One valid OTLP request as protobuf bytes; `items` are its spans, log records or data points."""

    signal: Signal
    body: bytes
    items: int
    arrival_ns: int


def process(
    requests: Sequence[Request],
    rejected: Sequence[Entry] = (),
    rules: Rules = Rules(),  # noqa: B008  # frozen
) -> list[Block]:
    """Return the blocks to insert for these requests, in the order to insert them, the ledger last.

    `rejected` are ledger entries of requests that were refused meanwhile.
    """
    blocks: list[Block] = []
    entries = list(rejected)
    for signal in Signal:
        chosen = [request for request in requests if request.signal is signal]
        if chosen:
            made, counted = _STAGES[signal](chosen, rules)
            blocks += made
            entries += counted
    return [*blocks, *ledger_block(entries)]


def _arrival_ns(requests: Sequence[Request]) -> int:
    """Return the time that stands in for missing ones."""
    return requests[0].arrival_ns


def _heap(requests: Sequence[Request]) -> Heap:
    return Heap.joined([request.body for request in requests])


def _dimensions(
    heap: Heap,
    rules: Rules,
    uses: Uses,
    attributes: Keyed,
    resource: Keyed,
    owner: NDArray[np.int64],
) -> list[Dimension]:
    """Return the dimensions of the entries among `uses`; `owner` is the resource of each row of the signal."""
    source = uses.source[uses.entry]
    return dimensions_of(heap, rules.dimensions, attributes, source, resource, owner[source])


def _process_traces(requests: Sequence[Request], rules: Rules) -> tuple[list[Block], list[Entry]]:
    heap = _heap(requests)
    spans = decode_traces(heap.buffer)
    batches = spans.batches
    resource, attributes, event, link = key_attributes(
        heap,
        [
            batches.resource_attributes,
            spans.attributes,
            spans.event_attributes,
            spans.link_attributes,
        ],
    )
    services = service_names(heap, resource)
    uses = span_uses(heap, spans, services, attributes, event, _arrival_ns(requests))
    owner = batches.scope_resource[spans.span_scope]
    dimensions = _dimensions(heap, rules, uses, attributes, resource, owner)
    blocks = [
        *span_blocks(heap, spans, uses, resource, attributes, event, link),
        *use_blocks(heap, uses, attributes, dimensions),
    ]
    items = np.bincount(owner, minlength=len(batches.resource_batch))
    return blocks, ledger_entries(heap, Signal.TRACES, requests, batches, services, items)


def _process_logs(requests: Sequence[Request], rules: Rules) -> tuple[list[Block], list[Entry]]:
    heap = _heap(requests)
    logs = decode_logs(heap.buffer)
    batches: Batches = logs.batches
    resource, scope, attributes = key_attributes(
        heap, [batches.resource_attributes, batches.scope_attributes, logs.attributes]
    )
    services = service_names(heap, resource)
    time_ns = first_set(
        _arrival_ns(requests),
        logs.record.uint64("time_unix_nano"),
        logs.record.uint64("observed_time_unix_nano"),
    )
    names = event_names(heap, logs, attributes)
    uses = log_uses(heap, logs, services, attributes, names, time_ns)
    owner = batches.scope_resource[logs.record_scope]
    dimensions = _dimensions(heap, rules, uses, attributes, resource, owner)
    blocks = [
        *log_blocks(heap, logs, services, resource, scope, attributes, names, time_ns),
        *use_blocks(heap, uses, attributes, dimensions),
    ]
    items = np.bincount(owner, minlength=len(batches.resource_batch))
    return blocks, ledger_entries(heap, Signal.LOGS, requests, batches, services, items)


def _process_metrics(
    requests: Sequence[Request],
    rules: Rules,  # noqa: ARG001  # as the other stages
) -> tuple[list[Block], list[Entry]]:
    heap = _heap(requests)
    metrics = decode_metrics(heap.buffer)
    blocks, services, items = metric_blocks(heap, metrics, _arrival_ns(requests))
    return blocks, ledger_entries(heap, Signal.METRICS, requests, metrics.batches, services, items)


_STAGES = {
    Signal.TRACES: _process_traces,
    Signal.METRICS: _process_metrics,
    Signal.LOGS: _process_logs,
}
