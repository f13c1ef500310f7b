"""The slow twin of the collector: the rows of every table by plain Python loops over protobuf's own objects.

It shares no decoding, deriving or encoding with the collector, only definitions: the fingerprint of an error, and the
dimensions by default. Strings are bytes throughout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import twin_uses
import twin_values as values

from headgate.collector.rules import Rules
from headgate.collector.signals import Signal
from headgate.store.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from native_rows import Row, Tables

    from headgate.collector.process import Request

KINDS = (b"Unspecified", b"Internal", b"Server", b"Client", b"Producer", b"Consumer")
STATUSES = (b"Unset", b"Ok", b"Error")
METRICS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def tables(requests: Sequence[Request], rules: Rules = Rules()) -> Tables:  # noqa: B008  # frozen
    """Return the rows that processing these requests together must insert into each table."""
    rows: Tables = {}

    def put(table: str, *more: Row) -> None:
        if more:
            rows.setdefault(table, []).extend(more)

    for signal in Signal:
        chosen = [request for request in requests if request.signal is signal]
        messages = [values.LENIENT[signal].FromString(request.body) for request in chosen]
        for message in messages:
            twin_uses.hash_users(message, rules.identity)
        uses = []
        for request, message in zip(chosen, messages, strict=True):
            for table, row, use in _ROWS[signal](message, request.arrival_ns, rules):
                put(table, row)
                uses += [use] if use else []
        for table, more in twin_uses.tables(uses).items():
            put(table, *more)
        put("ledger", *_ledger(signal, chosen, messages, rules))
    return rows


def _spans(request: Any, arrival_ns: int, rules: Rules) -> Iterator[tuple[str, Row, Row | None]]:
    for batch in request.resource_spans:
        resource = values.attributes(batch.resource.attributes)
        for scoped in batch.scope_spans:
            for span in scoped.spans:
                time_ns = twin_uses.believed(
                    rules, arrival_ns, span.start_time_unix_nano, span.end_time_unix_nano
                )
                row = {
                    "Timestamp": time_ns,
                    "TraceId": span.trace_id.hex().encode(),
                    "SpanId": span.span_id.hex().encode(),
                    "ParentSpanId": span.parent_span_id.hex().encode(),
                    "TraceState": span.trace_state,
                    "SpanName": span.name,
                    "SpanKind": KINDS[span.kind] if 0 <= span.kind < len(KINDS) else KINDS[0],
                    "ServiceName": values.first(resource, b"service.name"),
                    "ResourceAttributes": resource,
                    "ScopeName": scoped.scope.name,
                    "ScopeVersion": scoped.scope.version,
                    "SpanAttributes": values.attributes(span.attributes),
                    "Duration": twin_uses.duration(span, rules),
                    "StatusCode": STATUSES[span.status.code if span.status.code in {1, 2} else 0],
                    "StatusMessage": span.status.message,
                    "Events.Timestamp": [
                        values.timestamp(e.time_unix_nano, time_ns) for e in span.events
                    ],
                    "Events.Name": [e.name for e in span.events],
                    "Events.Attributes": [values.attributes(e.attributes) for e in span.events],
                    "Links.TraceId": [k.trace_id.hex().encode() for k in span.links],
                    "Links.SpanId": [k.span_id.hex().encode() for k in span.links],
                    "Links.TraceState": [k.trace_state for k in span.links],
                    "Links.Attributes": [values.attributes(k.attributes) for k in span.links],
                }
                yield (
                    "otel_traces",
                    row,
                    twin_uses.span_use(span, batch.resource.attributes, row, rules),
                )


def _logs(request: Any, arrival_ns: int, rules: Rules) -> Iterator[tuple[str, Row, Row | None]]:
    for batch in request.resource_logs:
        resource = values.attributes(batch.resource.attributes)
        for scoped in batch.scope_logs:
            for record in scoped.log_records:
                own = values.attributes(record.attributes)
                row = {
                    "Timestamp": twin_uses.believed(
                        rules, arrival_ns, record.time_unix_nano, record.observed_time_unix_nano
                    ),
                    "TraceId": record.trace_id.hex().encode(),
                    "SpanId": record.span_id.hex().encode(),
                    "TraceFlags": record.flags & 255,
                    "SeverityText": record.severity_text,
                    "SeverityNumber": min(max(record.severity_number, 0), 255),
                    "ServiceName": values.first(resource, b"service.name"),
                    "Body": values.text(record.body),
                    "ResourceSchemaUrl": batch.schema_url,
                    "ResourceAttributes": resource,
                    "ScopeSchemaUrl": scoped.schema_url,
                    "ScopeName": scoped.scope.name,
                    "ScopeVersion": scoped.scope.version,
                    "ScopeAttributes": values.attributes(scoped.scope.attributes),
                    "LogAttributes": own,
                    "EventName": record.event_name or values.first(own, b"event.name"),
                }
                yield (
                    "otel_logs",
                    row,
                    twin_uses.log_use(record, batch.resource.attributes, row, rules),
                )


def _points(request: Any, arrival_ns: int, rules: Rules) -> Iterator[tuple[str, Row, Row | None]]:
    for batch in request.resource_metrics:
        resource = values.attributes(batch.resource.attributes)
        for scoped in batch.scope_metrics:
            for metric in scoped.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind) if kind else None
                for point in data.data_points if data else ():
                    row = {
                        "ResourceAttributes": resource,
                        "ResourceSchemaUrl": batch.schema_url,
                        "ScopeName": scoped.scope.name,
                        "ScopeVersion": scoped.scope.version,
                        "ScopeAttributes": values.attributes(scoped.scope.attributes),
                        "ScopeDroppedAttrCount": scoped.scope.dropped_attributes_count,
                        "ScopeSchemaUrl": scoped.schema_url,
                        "ServiceName": values.first(resource, b"service.name"),
                        "MetricName": metric.name,
                        "MetricDescription": metric.description,
                        "MetricUnit": metric.unit,
                        "Attributes": values.attributes(point.attributes),
                        "StartTimeUnix": values.timestamp(point.start_time_unix_nano, 0),
                        "TimeUnix": twin_uses.believed(rules, arrival_ns, point.time_unix_nano),
                        "Flags": point.flags,
                        **_point(kind, data, point),
                    }
                    yield f"otel_metrics_{kind}", row, None


def _point(kind: str, data: Any, point: Any) -> Row:
    """Return the columns that only this kind of metric has."""
    row: Row = {}
    if kind not in {"gauge", "summary"}:
        row["AggregationTemporality"] = data.aggregation_temporality
    if kind != "summary":
        row |= {
            "Exemplars.FilteredAttributes": [
                values.attributes(e.filtered_attributes) for e in point.exemplars
            ],
            "Exemplars.TimeUnix": [values.timestamp(e.time_unix_nano, 0) for e in point.exemplars],
            "Exemplars.Value": [values.number(e) for e in point.exemplars],
            "Exemplars.SpanId": [e.span_id.hex().encode() for e in point.exemplars],
            "Exemplars.TraceId": [e.trace_id.hex().encode() for e in point.exemplars],
        }
    match kind:
        case "gauge":
            return row | {"Value": values.number(point)}
        case "sum":
            return row | {"Value": values.number(point), "IsMonotonic": data.is_monotonic}
        case "summary":
            return row | {
                "Count": point.count,
                "Sum": point.sum,
                "ValueAtQuantiles.Quantile": [q.quantile for q in point.quantile_values],
                "ValueAtQuantiles.Value": [q.value for q in point.quantile_values],
            }
    row |= {"Count": point.count, "Sum": point.sum, "Min": point.min, "Max": point.max}
    if kind == "histogram":
        return row | {
            "BucketCounts": list(point.bucket_counts),
            "ExplicitBounds": list(point.explicit_bounds),
        }
    return row | {
        "Scale": point.scale,
        "ZeroCount": point.zero_count,
        "PositiveOffset": point.positive.offset,
        "PositiveBucketCounts": list(point.positive.bucket_counts),
        "NegativeOffset": point.negative.offset,
        "NegativeBucketCounts": list(point.negative.bucket_counts),
    }


_ROWS = {Signal.TRACES: _spans, Signal.LOGS: _logs, Signal.METRICS: _points}


def _ledger(
    signal: Signal, requests: Sequence[Request], messages: Sequence[Any], rules: Rules
) -> list[Row]:
    """Count items and bytes by minute and service; bytes before a batch are the batch's, the last has the rest.

    Corrected times are counted in rows of their own.
    """
    corrected: dict[tuple[int, bytes], int] = {}
    counts: dict[tuple[int, bytes], list[int]] = {}
    held = 0
    entry = None
    for request, message in zip(requests, messages, strict=True):
        (field,) = message.DESCRIPTOR.fields
        end = 0
        for batch, stop in zip(getattr(message, field.name), batch_ends(request.body), strict=True):
            key = (
                request.arrival_ns // 60_000_000_000 * 60,
                values.first(values.attributes(batch.resource.attributes), b"service.name"),
            )
            entry = counts.setdefault(key, [0, 0])
            entry[0] += sum(map(_items, _scopes(batch)))
            entry[1] += held + stop - end
            for scoped in _scopes(batch):
                wrong = sum(
                    _is_corrected(item, request.arrival_ns, rules) for item in _each(scoped)
                )
                corrected[key] = corrected.get(key, 0) + wrong
            held, end = 0, stop
        held += len(request.body) - end
    if entry is None:
        return []
    entry[1] += held

    def row(minute: int, service: bytes, **counted: int) -> Row:
        nothing = dict.fromkeys((c.name for c in COLUMNS["ledger"]), 0)
        who = {"Time": minute, "Signal": signal.encode(), "ServiceName": service}
        return nothing | who | counted

    return [
        *(
            row(*key, Received=items, Stored=items, ReceivedBytes=size, StoredBytes=size)
            for key, (items, size) in counts.items()
        ),
        *(row(*key, Corrected=wrong) for key, wrong in corrected.items() if wrong),
    ]


def _is_corrected(item: Any, arrival_ns: int, rules: Rules) -> bool:
    """Return whether an item's time or duration is not stored as it came."""
    fields = item.DESCRIPTOR.fields_by_name
    if "start_time_unix_nano" in fields and "trace_id" in fields:
        start, end = item.start_time_unix_nano, item.end_time_unix_nano
        time_ns = twin_uses.believed(rules, arrival_ns, start, end)
        return time_ns != start or (twin_uses.duration(item, rules) == 0 and end != start)
    names = ("time_unix_nano", "observed_time_unix_nano")
    times = [getattr(item, name) for name in names if name in fields]
    return not any(twin_uses.believed(rules, arrival_ns, t) == t for t in times)


def _scopes(batch: Any) -> Any:
    """Return the one list of scopes that a resource batch has."""
    (name,) = (name for name in batch.DESCRIPTOR.fields_by_name if name.startswith("scope_"))
    return getattr(batch, name)


def _items(scoped: Any) -> int:
    return len(_each(scoped))


def _each(scoped: Any) -> list[Any]:
    if "spans" in scoped.DESCRIPTOR.fields_by_name:
        return list(scoped.spans)
    if "log_records" in scoped.DESCRIPTOR.fields_by_name:
        return list(scoped.log_records)
    kinds = [(metric, metric.WhichOneof("data")) for metric in scoped.metrics]
    return [point for metric, kind in kinds if kind for point in getattr(metric, kind).data_points]


def batch_ends(body: bytes) -> Iterator[int]:
    """Yield where each top-level field 1 of a valid request ends."""
    position = 0
    opened = []
    while position < len(body):
        tag, position = varint(body, position)
        match tag & 7:
            case 0:
                _, position = varint(body, position)
            case 1:
                position += 8
            case 2:
                size, position = varint(body, position)
                position += size
                if tag == 10 and not opened:
                    yield position
            case 3:
                opened.append(tag)
            case 4:
                opened.pop()
            case 5:
                position += 4


def varint(body: bytes, position: int) -> tuple[int, int]:
    """Return a varint and the position after it."""
    value = shift = 0
    while True:
        byte = body[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position
