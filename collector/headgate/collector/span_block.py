"""Spans as blocks of `otel_traces`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.block import Block, make_block
from headgate.collector.heap import Heap, intern
from headgate.collector.keyed import Keyed, encode_lowcardinality, encode_map, expand
from headgate.collector.native import (
    Encoded,
    encode_array,
    encode_hex,
    encode_numbers,
    encode_strings,
)
from headgate.collector.times import batches_by_day, first_set
from headgate.collector.uses import SPAN_KINDS, Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.decode import Batches, Spans
    from headgate.collector.layout import Ranges, Text
    from headgate.collector.uses import Uses

STATUS_CODES = ("Unset", "Ok", "Error")


def encode_choice(codes: NDArray[Any], words: tuple[str, ...]) -> Encoded:
    """Encode codes that index a few fixed words as LowCardinality(String)."""
    return encode_words(codes.astype(np.int64), [word.encode() for word in words])


def encode_words(codes: NDArray[Any], words: Sequence[bytes]) -> Encoded:
    """Encode codes that index different words as LowCardinality(String)."""
    # The words have a buffer of their own: adding them to the heap would copy it.
    own = Heap(np.empty(0, np.uint8))
    texts = own.add_texts(words)
    return encode_lowcardinality(own.buffer, codes, texts)


def encode_names(heap: Heap, names: Names) -> Encoded:
    """Encode names as LowCardinality(String)."""
    return encode_lowcardinality(heap.buffer, names.code, names.distinct)


def encode_text_names(heap: Heap, text: Text) -> Encoded:
    """Encode strings with few distinct values as LowCardinality(String)."""
    return encode_lowcardinality(heap.buffer, *intern(heap, text))


def row_sizes(batches: Batches, rows: Ranges, resource_row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return about how many bytes each row will take: its own message and its resource's, written again for each."""
    resources = batches.resource_batch.children["resource"]
    resource = np.bincount(
        resources.row, resources.end - resources.start, len(batches.resource_batch)
    )
    return rows.end - rows.start + resource.astype(np.int64)[resource_row]


def span_blocks(  # one argument a level of OTLP
    heap: Heap,
    spans: Spans,
    uses: Uses,
    resource: Keyed,
    attributes: Keyed,
    event: Keyed,
    link: Keyed,
    trace_state: Text,
    keep: NDArray[np.int64] | None = None,
) -> list[Block]:
    """Encode the spans at `keep` (all, when None), in as many blocks as their days and bytes need.

    `trace_state` is by span: as it is to be stored.
    """
    if keep is None:
        keep = np.arange(len(spans))
    if not keep.size:
        return []
    resource_row = spans.batches.scope_resource[spans.span_scope]
    size = row_sizes(spans.batches, spans.batches.scope_batch.children["spans"], resource_row)
    blocks = []
    for batch in batches_by_day(uses.time_ns[keep], size[keep]):
        rows = keep if batch is None else keep[batch]
        # Of everything in its order nothing has to be picked, which would copy every column.
        pick = slice(None) if batch is None and keep.size == len(spans) else rows
        blocks.append(
            _block(
                heap,
                spans,
                uses,
                resource,
                attributes,
                event,
                link,
                trace_state,
                rows,
                pick,
                resource_row[pick],
            )
        )
    return blocks


def _block(
    heap: Heap,
    spans: Spans,
    uses: Uses,
    resource: Keyed,
    attributes: Keyed,
    event: Keyed,
    link: Keyed,
    trace_state: Text,
    rows: NDArray[np.int64],
    pick: NDArray[np.int64] | slice,
    resource_row: NDArray[np.int64],
) -> Block:
    span, scope_row = spans.span, spans.span_scope[pick]
    scope = spans.batches.scope
    status = spans.status.int32("code")[pick]
    status = np.where((status < 0) | (status >= len(STATUS_CODES)), 0, status)
    columns = {
        "Timestamp": encode_numbers(uses.time_ns[pick]),
        "TraceId": encode_hex(heap.buffer, span.text("trace_id").take(pick)),
        "SpanId": encode_hex(heap.buffer, span.text("span_id").take(pick)),
        "ParentSpanId": encode_hex(heap.buffer, span.text("parent_span_id").take(pick)),
        "TraceState": encode_strings(heap.buffer, trace_state.take(pick)),
        "SpanName": encode_names(heap, uses.operation.take(pick)),
        "SpanKind": encode_choice(uses.kind[pick], SPAN_KINDS),
        "ServiceName": encode_names(heap, uses.service.take(pick)),
        "ResourceAttributes": encode_map(heap.buffer, resource, resource_row),
        "ScopeName": encode_strings(heap.buffer, scope.text("name").take(scope_row)),
        "ScopeVersion": encode_strings(heap.buffer, scope.text("version").take(scope_row)),
        "SpanAttributes": encode_map(heap.buffer, attributes, rows),
        "Duration": encode_numbers(uses.duration_ns[pick]),
        "StatusCode": encode_choice(status, STATUS_CODES),
        "StatusMessage": encode_strings(heap.buffer, spans.status.text("message").take(pick)),
        **_events(heap, spans, uses, event, rows),
        **_links(heap, spans, link, rows),
    }
    return make_block("otel_traces", rows.size, columns, resource_row)


def _events(
    heap: Heap, spans: Spans, uses: Uses, event: Keyed, rows: NDArray[np.int64]
) -> dict[str, Encoded]:
    index, counts = expand(span_first(spans.event_span, len(spans)), rows)
    # An event without a time gets its span's.
    own = spans.event.uint64("time_unix_nano")[index]
    time_ns = first_set(0, own)
    time_ns = np.where(time_ns == 0, uses.time_ns[spans.event_span[index]], time_ns)
    codes, distinct = intern(heap, spans.event.text("name").take(index))
    return {
        "Events.Timestamp": encode_array(counts, encode_numbers(time_ns)),
        "Events.Name": encode_array(counts, encode_lowcardinality(heap.buffer, codes, distinct)),
        "Events.Attributes": encode_array(counts, encode_map(heap.buffer, event, index)),
    }


def _links(heap: Heap, spans: Spans, link: Keyed, rows: NDArray[np.int64]) -> dict[str, Encoded]:
    index, counts = expand(span_first(spans.link_span, len(spans)), rows)
    return {
        "Links.TraceId": encode_array(
            counts, encode_hex(heap.buffer, spans.link.text("trace_id").take(index))
        ),
        "Links.SpanId": encode_array(
            counts, encode_hex(heap.buffer, spans.link.text("span_id").take(index))
        ),
        "Links.TraceState": encode_array(
            counts, encode_strings(heap.buffer, spans.link.text("trace_state").take(index))
        ),
        "Links.Attributes": encode_array(counts, encode_map(heap.buffer, link, index)),
    }


def span_first(owner: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Return rows + 1 positions: the children of row r are first[r]..first[r + 1]; owners never decrease."""
    return np.searchsorted(owner, np.arange(rows + 1))
