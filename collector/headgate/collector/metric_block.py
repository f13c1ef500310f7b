"""Encode data points as blocks: one table for each of the five kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.block import Block, make_block
from headgate.collector.identity import hashed
from headgate.collector.keyed import Keyed, encode_map, expand, key_attributes
from headgate.collector.metrics import BUCKETS, QUANTILE, Metrics, Points
from headgate.collector.native import (
    Encoded,
    encode_array,
    encode_hex,
    encode_numbers,
    encode_strings,
)
from headgate.collector.packed import unpack64, unpack_varint
from headgate.collector.span_block import encode_names, encode_text_names, row_sizes, span_first
from headgate.collector.times import batches_by_day, believed, first_set
from headgate.collector.uses import Names, service_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from headgate.collector.heap import Heap
    from headgate.collector.layout import Messages, Ranges
    from headgate.collector.rules import Rules


def metric_blocks(
    heap: Heap,
    metrics: Metrics,
    arrivals: Callable[[Ranges], NDArray[np.int64]],
    rules: Rules,
) -> tuple[list[Block], Names, NDArray[np.int64], NDArray[np.int64]]:
    """Return the blocks; by resource batch the service, the number of points, and of those with a corrected time.

    `arrivals` tells when the messages of some ranges arrived.
    """
    batches = metrics.batches
    levels = [batches.resource_attributes, batches.scope_attributes]
    for points in metrics.points:
        levels += [points.attributes, points.exemplar_attributes]
    resource, scope, *keyed = hashed(heap, rules.identity, key_attributes(heap, levels))
    services = service_names(heap, resource)
    items, corrected = np.zeros((2, len(batches.resource_batch)), np.int64)
    blocks = []
    for number, points in enumerate(metrics.points):
        if not len(points.point):
            continue
        resource_row = batches.scope_resource[metrics.metric_scope[points.metric]]
        items += np.bincount(resource_row, minlength=items.size)
        time_ns, doubted = believed(
            arrivals(points.place), rules, points.point.uint64("time_unix_nano")
        )
        corrected += np.bincount(resource_row[doubted], minlength=items.size)
        size = row_sizes(batches, points.place, resource_row)
        for batch in batches_by_day(time_ns, size):
            rows = np.arange(len(points.point)) if batch is None else batch
            columns = {
                **_common(heap, metrics, points, services, resource, scope, rows),
                "Attributes": encode_map(heap.buffer, keyed[2 * number], rows),
                "TimeUnix": encode_numbers(time_ns[rows]),
                **_KIND_COLUMNS[points.kind](points, rows),
            }
            if points.exemplar is not None:
                columns |= _exemplars(heap, points, points.exemplar, keyed[2 * number + 1], rows)
            blocks.append(
                make_block(f"otel_metrics_{points.kind}", rows.size, columns, resource_row[rows])
            )
    return blocks, services, items, corrected


def _common(
    heap: Heap,
    metrics: Metrics,
    points: Points,
    services: Names,
    resource: Keyed,
    scope: Keyed,
    rows: NDArray[np.int64],
) -> dict[str, Encoded]:
    batches = metrics.batches
    metric = points.metric[rows]
    scopes = metrics.metric_scope[metric]
    resources = batches.scope_resource[scopes]
    start = points.point.uint64("start_time_unix_nano")[rows]

    def text(messages: Messages, name: str, index: NDArray[np.int64]) -> Encoded:
        return encode_strings(heap.buffer, messages.text(name).take(index))

    return {
        "ResourceAttributes": encode_map(heap.buffer, resource, resources),
        "ResourceSchemaUrl": text(batches.resource_batch, "schema_url", resources),
        "ScopeName": text(batches.scope, "name", scopes),
        "ScopeVersion": text(batches.scope, "version", scopes),
        "ScopeAttributes": encode_map(heap.buffer, scope, scopes),
        "ScopeDroppedAttrCount": encode_numbers(
            batches.scope.int32("dropped_attributes_count")[scopes].view(np.uint32)
        ),
        "ScopeSchemaUrl": text(batches.scope_batch, "schema_url", scopes),
        "ServiceName": encode_names(heap, services.take(resources)),
        "MetricName": encode_text_names(heap, metrics.metric.text("name").take(metric)),
        "MetricDescription": text(metrics.metric, "description", metric),
        "MetricUnit": text(metrics.metric, "unit", metric),
        "StartTimeUnix": encode_numbers(first_set(0, start)),
        "Flags": encode_numbers(points.point.int32("flags")[rows].view(np.uint32)),
    }


def _number(messages: Messages) -> NDArray[np.float64]:
    """Return as_double, or as_int as a double (the stock column is Float64), or 0 where there is neither."""
    integer = messages.uint64("as_int").view(np.int64).astype(np.float64)
    value = np.where(messages.present("as_int"), integer, 0.0)
    return np.where(messages.present("as_double"), messages.float64("as_double"), value)


def _exemplars(
    heap: Heap, points: Points, exemplar: Messages, attributes: Keyed, rows: NDArray[np.int64]
) -> dict[str, Encoded]:
    index, counts = expand(span_first(points.exemplar_point, len(points.point)), rows)
    time_ns = first_set(0, exemplar.uint64("time_unix_nano")[index])
    ids = {"SpanId": "span_id", "TraceId": "trace_id"}
    return {
        "Exemplars.FilteredAttributes": encode_array(
            counts, encode_map(heap.buffer, attributes, index)
        ),
        "Exemplars.TimeUnix": encode_array(counts, encode_numbers(time_ns)),
        "Exemplars.Value": encode_array(counts, encode_numbers(_number(exemplar)[index])),
        **{
            f"Exemplars.{column}": encode_array(
                counts, encode_hex(heap.buffer, exemplar.text(field).take(index))
            )
            for column, field in ids.items()
        },
    }


def _gauge(points: Points, rows: NDArray[np.int64]) -> dict[str, Encoded]:
    return {"Value": encode_numbers(_number(points.point)[rows])}


def _temporality(points: Points, rows: NDArray[np.int64]) -> dict[str, Encoded]:
    temporality = points.data.int32("aggregation_temporality")
    return {"AggregationTemporality": encode_numbers(temporality[points.metric[rows]])}


def _sum(points: Points, rows: NDArray[np.int64]) -> dict[str, Encoded]:
    monotonic = (points.data.uint64("is_monotonic") != 0).astype(np.uint8)
    return {
        **_gauge(points, rows),
        **_temporality(points, rows),
        "IsMonotonic": encode_numbers(monotonic[points.metric[rows]]),
    }


def _ragged(
    values: tuple[NDArray[np.uint64], NDArray[np.int64]], rows: NDArray[np.int64], dtype: Any
) -> Encoded:
    """Encode an array column from all rows' values and the number each row has."""
    flat, counts = values
    index, taken = expand(np.concatenate([[0], np.cumsum(counts)]), rows)
    return encode_array(taken, encode_numbers(flat[index].view(dtype)))


def _distribution(points: Points, rows: NDArray[np.int64]) -> dict[str, Encoded]:
    point = points.point
    return {
        "Count": encode_numbers(point.uint64("count")[rows]),
        **{
            name.title(): encode_numbers(point.float64(name)[rows])
            for name in ("sum", "min", "max")
        },
        **_temporality(points, rows),
    }


def _histogram(points: Points, rows: NDArray[np.int64]) -> dict[str, Encoded]:
    point, total = points.point, len(points.point)
    counts = unpack64(point.buffer, point.children["bucket_counts"], total)
    bounds = unpack64(point.buffer, point.children["explicit_bounds"], total)
    return {
        **_distribution(points, rows),
        "BucketCounts": _ragged(counts, rows, np.uint64),
        "ExplicitBounds": _ragged(bounds, rows, np.float64),
    }


def _exponential_histogram(points: Points, rows: NDArray[np.int64]) -> dict[str, Encoded]:
    point = points.point
    columns = {
        **_distribution(points, rows),
        "Scale": encode_numbers(point.sint32("scale")[rows]),
        "ZeroCount": encode_numbers(point.uint64("zero_count")[rows]),
    }
    for sign in ("positive", "negative"):
        buckets = BUCKETS.read(point.buffer, point.children[sign], len(point))
        counts = unpack_varint(point.buffer, buckets.children["bucket_counts"], len(point))
        columns[f"{sign.title()}Offset"] = encode_numbers(buckets.sint32("offset")[rows])
        columns[f"{sign.title()}BucketCounts"] = _ragged(counts, rows, np.uint64)
    return columns


def _summary(points: Points, rows: NDArray[np.int64]) -> dict[str, Encoded]:
    point = points.point
    quantiles = QUANTILE.read_each(point.buffer, point.children["quantile_values"])
    index, counts = expand(span_first(point.children["quantile_values"].row, len(point)), rows)
    return {
        "Count": encode_numbers(point.uint64("count")[rows]),
        "Sum": encode_numbers(point.float64("sum")[rows]),
        "ValueAtQuantiles.Quantile": encode_array(
            counts, encode_numbers(quantiles.float64("quantile")[index])
        ),
        "ValueAtQuantiles.Value": encode_array(
            counts, encode_numbers(quantiles.float64("value")[index])
        ),
    }


_KIND_COLUMNS = {
    "gauge": _gauge,
    "sum": _sum,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}
