"""Where the CPU of a span goes, stage by stage, beside the floor: the budget of `headgate bench ingest` in one thread.

Every stage is called by itself on the same segment, as the collector calls it; the least of several runs counts, in
microseconds a span. What is not here is what needs a socket or a disk: receiving, writing and syncing the journal,
inserting. Ratios are comparable between machines, absolute figures are not.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from headgate.cli.bench.baseline import cpu_us
from headgate.cli.bench.traffic import MESSAGES, trace_request
from headgate.collector.allocator import keep_freed_memory
from headgate.collector.check import examine
from headgate.collector.decode import decode_traces
from headgate.collector.derive import derive_spans, heap_of
from headgate.collector.dimension import dimensions_of
from headgate.collector.event_block import event_blocks
from headgate.collector.heap import intern
from headgate.collector.keyed import encode_map, key_attributes
from headgate.collector.native import encode_hex, encode_strings
from headgate.collector.process import Request, process
from headgate.collector.record import TRACES, Record, frame, pack
from headgate.collector.retransmission import digest
from headgate.collector.rollup_blocks import rollup_blocks
from headgate.collector.rules import Rules
from headgate.collector.shapes import shapes
from headgate.collector.signals import Signal
from headgate.collector.span_block import span_blocks
from headgate.collector.text import write_values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Stages = dict[str, "Callable[[], object]"]
KEY = bytes(16)


def receiving(bodies: Sequence[bytes]) -> Stages:
    """Return what is done before a request is acknowledged."""
    records = [Record(TRACES, 1, 1, b"", body) for body in bodies]
    packed = [pack(record) for record in records]
    return {
        "check": lambda: [examine(Signal.TRACES, body) for body in bodies],
        "digest": lambda: [digest("headgate", Signal.TRACES, body) for body in bodies],
        "compress for the journal (LZ4)": lambda: [pack(record) for record in records],
        "checksum": lambda: [frame(KEY, payload) for payload in packed],
    }


def deriving(segment: Sequence[Request]) -> Stages:
    """Return what is done with all spans of a segment before any of them is encoded."""
    heap = heap_of(segment)
    spans = decode_traces(heap.buffer)
    levels = [
        spans.batches.resource_attributes,
        spans.attributes,
        spans.event_attributes,
        spans.link_attributes,
    ]
    keyed = key_attributes(heap, levels)[1]
    codes = intern(heap, spans.attributes.key)[0]
    return {
        "join the requests": lambda: heap_of(segment),
        "decode": lambda: decode_traces(heap.buffer),
        "intern attribute keys": lambda: intern(heap, spans.attributes.key),
        "shapes of attributes": lambda: shapes(keyed.first, codes, keyed.keys.rank),
        "choose how values are written": lambda: write_values(heap, spans.attributes.value),
        "decode, keys and derive in all": lambda: derive_spans(segment, Rules()),
    }


def encoding(segment: Sequence[Request]) -> Stages:
    """Return what is done for what is stored: rollups of all, rows of what is kept."""
    derived = derive_spans(segment, Rules())
    heap, spans, uses = derived.rows.heap, derived.spans, derived.uses
    buffer, span = heap.buffer, spans.span
    blocks = process(segment)
    state = span.text("trace_state")
    resources = derived.rows.resource_row
    source = uses.source[uses.entry]
    scope = spans.batches.scope.text("name")
    dimensions = dimensions_of(
        heap, Rules().dimensions, derived.attributes, source, derived.resource, resources[source]
    )
    nobody = np.zeros(source.size, np.uint64)
    return {
        "dimensions": lambda: dimensions_of(
            heap,
            Rules().dimensions,
            derived.attributes,
            source,
            derived.resource,
            resources[source],
        ),
        "rollups": lambda: rollup_blocks(heap, uses, dimensions),
        "column TraceId": lambda: encode_hex(buffer, span.text("trace_id")),
        "column SpanId": lambda: encode_hex(buffer, span.text("span_id")),
        "column ScopeName": lambda: encode_strings(buffer, scope.take(spans.span_scope)),
        "column ResourceAttributes": lambda: encode_map(buffer, derived.resource, resources),
        "column SpanAttributes": lambda: encode_map(buffer, derived.attributes),
        "otel_traces in all": lambda: span_blocks(
            heap,
            spans,
            uses,
            derived.resource,
            derived.attributes,
            derived.event,
            derived.link,
            state,
        ),
        "events": lambda: event_blocks(heap, uses, derived.attributes, nobody, 0),
        "put the blocks together": lambda: [len(piece) for block in blocks for piece in block],
    }


def measure(spans_a_request: int, requests: int, repeat: int) -> dict[str, float]:
    """Return microseconds a span of every stage, in the order of a span's journey."""
    now_ns = time.time_ns()
    bodies = [trace_request(spans_a_request, seed, now_ns) for seed in range(requests)]
    segment = [Request(Signal.TRACES, body, spans_a_request, now_ns) for body in bodies]
    spans = spans_a_request * requests
    stages: Stages = {
        "floor: opentelemetry-proto parses": lambda: [
            MESSAGES[Signal.TRACES].FromString(body) for body in bodies
        ],
        **receiving(bodies),
        **deriving(segment),
        **encoding(segment),
        "process in all": lambda: process(segment),
    }
    return {name: cpu_us(action, spans, repeat) for name, action in stages.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--repeat", type=int, default=15, help="runs of a stage; the least counts")
    options = parser.parse_args()
    keep_freed_memory()
    cases = {
        f"{size} spans x {requests}": measure(size, requests, options.repeat)
        for size, requests in ((50, 400), (512, 120), (8192, 8))
    }
    if options.format == "json":
        print(json.dumps(cases, indent=2))
        return
    table = Table(title="CPU, microseconds a span (least of several runs)")
    table.add_column("stage")
    for name in cases:
        table.add_column(name, justify="right")
    for stage in next(iter(cases.values())):
        table.add_row(stage, *(f"{case[stage]:.3f}" for case in cases.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
