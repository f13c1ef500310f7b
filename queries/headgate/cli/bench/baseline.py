"""What the collector's cost is compared with, measured in this process and in the same run.

The floor: `opentelemetry-proto` parses the same bytes (compiled C), and nothing is done with the result. The obvious
way: walk the parsed objects, build a row an item, insert the rows with clickhouse-connect.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from headgate.cli.bench.traffic import MESSAGES, REQUESTS
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headgate.store import Store

_ITEMS = 20_000
_BODIES = 4
_REPEAT = 3
_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES = ("Unset", "Ok", "Error")


def cpu_us(action: Callable[[], object], items: int, repeat: int = _REPEAT) -> float:
    """Return the least process CPU time of `repeat` runs, in microseconds an item."""
    best = float("inf")
    for _ in range(repeat):
        before = time.process_time()
        action()
        best = min(best, time.process_time() - before)
    return best / items * 1e6


def bodies_of(signal: Signal, items: int) -> list[bytes]:
    """Return requests of `items` items, about twenty thousand in all."""
    now_ns = time.time_ns()
    return [REQUESTS[signal](items, seed, now_ns) for seed in range(max(1, _ITEMS // items))]


class Floor:
    """What parsing costs, measured bit by bit while something else runs, so that both find the machine alike.

    A core that shares its caches and its memory with a busy one takes up to twice the time for the same work.
    """

    def __init__(self, signal: Signal, items: int) -> None:
        self._message = MESSAGES[signal]
        self._bodies = bodies_of(signal, items)[:_BODIES]
        self._items = items * len(self._bodies)
        self._costs_us: list[float] = []

    def sample(self) -> None:
        """Measure once; takes some milliseconds."""
        once = cpu_us(
            lambda: [self._message.FromString(body) for body in self._bodies], self._items, 1
        )
        self._costs_us.append(once)

    @property
    def us(self) -> float:
        """The median, in microseconds an item."""
        return median(self._costs_us)


def obvious_us(signal: Signal, items: int, store: Store) -> float:
    """Return what parsing, building rows and inserting them costs, in microseconds an item of CPU of this process."""
    bodies = bodies_of(signal, items)
    message = MESSAGES[signal]
    rows_of = {
        Signal.TRACES: _span_rows,
        Signal.LOGS: _log_rows,
        Signal.METRICS: _point_rows,
    }[signal]
    table, columns = _TABLES[signal]

    def insert() -> None:
        rows = [row for body in bodies for row in rows_of(message.FromString(body))]
        store.client().insert(table, rows, column_names=columns)

    return cpu_us(insert, items * len(bodies))


def _text(value: Any) -> str:
    return str(getattr(value, value.WhichOneof("value")))


def _map(pairs: Any) -> dict[str, str]:
    return {pair.key: _text(pair.value) for pair in pairs}


def _span_rows(request: Any) -> Iterator[list[Any]]:
    for batch in request.resource_spans:
        resource = _map(batch.resource.attributes)
        for scope in batch.scope_spans:
            for span in scope.spans:
                yield [
                    span.start_time_unix_nano, span.trace_id.hex(), span.span_id.hex(),
                    span.parent_span_id.hex(), span.trace_state, span.name, _KINDS[span.kind],
                    resource.get("service.name", ""), resource, scope.scope.name,
                    scope.scope.version, _map(span.attributes),
                    span.end_time_unix_nano - span.start_time_unix_nano,
                    _STATUSES[span.status.code], span.status.message,
                    [event.time_unix_nano for event in span.events],
                    [event.name for event in span.events],
                    [_map(event.attributes) for event in span.events],
                ]  # fmt: skip


def _log_rows(request: Any) -> Iterator[list[Any]]:
    for batch in request.resource_logs:
        resource = _map(batch.resource.attributes)
        for scope in batch.scope_logs:
            for record in scope.log_records:
                yield [
                    record.time_unix_nano, record.trace_id.hex(), record.span_id.hex(),
                    record.severity_text, record.severity_number, resource.get("service.name", ""),
                    _text(record.body), resource, scope.scope.name, _map(record.attributes),
                    record.event_name,
                ]  # fmt: skip


def _point_rows(request: Any) -> Iterator[list[Any]]:
    for batch in request.resource_metrics:
        resource = _map(batch.resource.attributes)
        for scope in batch.scope_metrics:
            for metric in scope.metrics:
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    yield [
                        resource, scope.scope.name, resource.get("service.name", ""), metric.name,
                        metric.description, metric.unit, _map(point.attributes),
                        point.start_time_unix_nano, point.time_unix_nano, point.as_double,
                        [exemplar.time_unix_nano for exemplar in point.exemplars],
                        [float(exemplar.as_int) for exemplar in point.exemplars],
                        [exemplar.span_id.hex() for exemplar in point.exemplars],
                        [exemplar.trace_id.hex() for exemplar in point.exemplars],
                        [_map(exemplar.filtered_attributes) for exemplar in point.exemplars],
                    ]  # fmt: skip


_TABLES = {
    Signal.TRACES: (
        "otel_traces",
        [
            "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind",
            "ServiceName", "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes",
            "Duration", "StatusCode", "StatusMessage", "Events.Timestamp", "Events.Name",
            "Events.Attributes",
        ],
    ),
    Signal.LOGS: (
        "otel_logs",
        [
            "Timestamp", "TraceId", "SpanId", "SeverityText", "SeverityNumber", "ServiceName",
            "Body", "ResourceAttributes", "ScopeName", "LogAttributes", "EventName",
        ],
    ),
    Signal.METRICS: (
        "otel_metrics_gauge",
        [
            "ResourceAttributes", "ScopeName", "ServiceName", "MetricName", "MetricDescription",
            "MetricUnit", "Attributes", "StartTimeUnix", "TimeUnix", "Value", "Exemplars.TimeUnix",
            "Exemplars.Value", "Exemplars.SpanId", "Exemplars.TraceId",
            "Exemplars.FilteredAttributes",
        ],
    ),
}  # fmt: skip
