"""Log records as blocks of `otel_logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.block import Block, make_block
from headgate.collector.keyed import Keyed, encode_map
from headgate.collector.native import encode_hex, encode_numbers, encode_strings
from headgate.collector.span_block import encode_names, encode_text_names, row_sizes
from headgate.collector.text import value_text
from headgate.collector.times import batches_by_day

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.decode import LogRecords
    from headgate.collector.heap import Heap
    from headgate.collector.layout import Text
    from headgate.collector.uses import Names


def log_blocks(
    heap: Heap,
    logs: LogRecords,
    services: Names,
    resource: Keyed,
    scope: Keyed,
    attributes: Keyed,
    names: Text,
    time_ns: NDArray[np.int64],
    keep: NDArray[np.int64] | None = None,
) -> list[Block]:
    """Encode the records at `keep` (all, when None), in as many blocks as their days and bytes need.

    `names` are the event names.
    """
    if keep is None:
        keep = np.arange(len(logs))
    if not keep.size:
        return []
    body = value_text(heap, logs.body)
    resource_row = logs.batches.scope_resource[logs.record_scope]
    size = row_sizes(logs.batches, logs.batches.scope_batch.children["log_records"], resource_row)
    blocks = []
    for batch in batches_by_day(time_ns[keep], size[keep]):
        rows = keep if batch is None else keep[batch]
        scopes, resources = logs.record_scope[rows], resource_row[rows]
        record, batches = logs.record, logs.batches
        severity = np.clip(record.int32("severity_number")[rows], 0, 255)
        columns = {
            "Timestamp": encode_numbers(time_ns[rows]),
            "TraceId": encode_hex(heap.buffer, record.text("trace_id").take(rows)),
            "SpanId": encode_hex(heap.buffer, record.text("span_id").take(rows)),
            "TraceFlags": encode_numbers(record.uint64("flags")[rows].astype(np.uint8)),
            "SeverityText": encode_text_names(heap, record.text("severity_text").take(rows)),
            "SeverityNumber": encode_numbers(severity.astype(np.uint8)),
            "ServiceName": encode_names(heap, services.take(resources)),
            "Body": encode_strings(heap.buffer, body.take(rows)),
            "ResourceSchemaUrl": encode_text_names(
                heap, batches.resource_batch.text("schema_url").take(resources)
            ),
            "ResourceAttributes": encode_map(heap.buffer, resource, resources),
            "ScopeSchemaUrl": encode_text_names(
                heap, batches.scope_batch.text("schema_url").take(scopes)
            ),
            "ScopeName": encode_strings(heap.buffer, batches.scope.text("name").take(scopes)),
            "ScopeVersion": encode_text_names(heap, batches.scope.text("version").take(scopes)),
            "ScopeAttributes": encode_map(heap.buffer, scope, scopes),
            "LogAttributes": encode_map(heap.buffer, attributes, rows),
            "EventName": encode_strings(heap.buffer, names.take(rows)),
        }
        blocks.append(make_block("otel_logs", rows.size, columns, resources))
    return blocks
