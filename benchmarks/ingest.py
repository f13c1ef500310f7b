"""How much CPU a span costs the collector, stage by stage, beside the floor and the obvious way, in one run.

Floor: opentelemetry-proto parses the same bytes (compiled C) and nothing is done with the result.
Obvious way: walk the parsed objects, build a row a span, insert the rows with clickhouse-connect.
Ours: validate, decode, derive, roll up, encode as Native blocks; then insert them.

Run it with `make bench`. Ratios are comparable between machines, absolute figures are not.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.table import Table

from headgate.cli.bench.traffic import trace_request
from headgate.collector.check import check
from headgate.collector.decode import decode_traces
from headgate.collector.process import Request, process
from headgate.collector.signals import Signal
from headgate.collector.writer import insert_block
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.store import Store

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUSES = ("Unset", "Ok", "Error")


def cpu_per_span_us(action: Callable[[], object], spans: int, repeat: int) -> float:
    """Return the least process CPU time of `repeat` runs, in microseconds a span."""
    best = float("inf")
    for _ in range(repeat):
        before = time.process_time()
        action()
        best = min(best, time.process_time() - before)
    return best / spans * 1e6


def _text(value: Any) -> str:
    return str(getattr(value, value.WhichOneof("value")))


def obvious_rows(bodies: list[bytes]) -> list[list[Any]]:
    """Return a row a span, the way one writes it first."""
    rows = []
    for body in bodies:
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {pair.key: _text(pair.value) for pair in batch.resource.attributes}
            for scope in batch.scope_spans:
                rows += [_obvious_row(resource, scope.scope, span) for span in scope.spans]
    return rows


def _obvious_row(resource: dict[str, str], scope: Any, span: Any) -> list[Any]:
    return [
        span.start_time_unix_nano,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        span.name,
        KINDS[span.kind],
        resource.get("service.name", ""),
        resource,
        scope.name,
        scope.version,
        {pair.key: _text(pair.value) for pair in span.attributes},
        span.end_time_unix_nano - span.start_time_unix_nano,
        STATUSES[span.status.code],
        span.status.message,
        [event.time_unix_nano for event in span.events],
        [event.name for event in span.events],
        [{pair.key: _text(pair.value) for pair in event.attributes} for event in span.events],
    ]


OBVIOUS_COLUMNS = [
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind",
    "ServiceName", "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration",
    "StatusCode", "StatusMessage", "Events.Timestamp", "Events.Name", "Events.Attributes",
]  # fmt: skip


def insert_obvious(store: Store, bodies: list[bytes]) -> None:
    """Insert rows of Python objects."""
    store.client().insert("otel_traces", obvious_rows(bodies), column_names=OBVIOUS_COLUMNS)


def measure(store: Store, spans_per_request: int, requests: int, repeat: int) -> dict[str, float]:
    """Return CPU microseconds a span for each way."""
    now_ns = time.time_ns()
    bodies = [trace_request(spans_per_request, seed, now_ns) for seed in range(requests)]
    spans = spans_per_request * requests
    segment = [Request(Signal.TRACES, body, spans_per_request, now_ns) for body in bodies]
    joined = b"".join(bodies)
    blocks = process(segment)
    token = iter(range(10**9))

    def timed(action: Callable[[], object], times: int = repeat) -> float:
        return cpu_per_span_us(action, spans, times)

    return {
        "bytes": len(joined) / spans,
        "floor": timed(lambda: [ExportTraceServiceRequest.FromString(body) for body in bodies]),
        "check": timed(lambda: [check(Signal.TRACES, body) for body in bodies]),
        "decode": timed(lambda: decode_traces(joined)),
        "process": timed(lambda: process(segment)),
        "insert": timed(
            lambda: [insert_block(store, f"benchmark-{next(token)}", b) for b in blocks], 3
        ),
        "obvious": timed(lambda: obvious_rows(bodies), 2),
        "obvious insert": timed(lambda: insert_obvious(store, bodies), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--repeat", type=int, default=7, help="runs of each measurement; the least counts"
    )
    options = parser.parse_args()
    cases = []
    with tempfile.TemporaryDirectory() as directory:
        store = embedded_store(Path(directory))
        migrate(store)
        for spans_per_request, requests in ((50, 200), (512, 40), (8192, 3)):
            cost = measure(store, spans_per_request, requests, options.repeat)
            ours = cost["check"] + cost["process"]
            cases.append(
                {
                    "spans_per_request": spans_per_request,
                    **{
                        f"{name}_us" if name != "bytes" else "bytes_per_span": v
                        for name, v in cost.items()
                    },
                    "ratio_to_floor": cost["floor"] / ours,
                    "ratio_to_obvious": (cost["obvious insert"]) / (ours + cost["insert"]),
                }
            )
        store.close()
    if options.format == "json":
        print(json.dumps(cases, indent=2))
        return
    table = Table(title="collector CPU, microseconds a span (least of several runs)")
    for column in cases[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for case in cases:
        table.add_row(
            *(f"{value:.2f}" if isinstance(value, float) else str(value) for value in case.values())
        )
    Console().print(table)


if __name__ == "__main__":
    main()
