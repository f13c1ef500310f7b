"""Metrics: decode data points of all five kinds into columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from opentelemetry.proto.metrics.v1 import metrics_pb2

from headgate.collector.attributes import Attributes, no_attributes
from headgate.collector.decode import Batches, BatchLayouts, decode_batches
from headgate.collector.layout import Layout, Messages, Ranges
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray


METRICS = BatchLayouts(Signal.METRICS)
METRIC = Layout(metrics_pb2.Metric.DESCRIPTOR)
EXEMPLAR = Layout(metrics_pb2.Exemplar.DESCRIPTOR)
BUCKETS = Layout(metrics_pb2.ExponentialHistogramDataPoint.Buckets.DESCRIPTOR)
QUANTILE = Layout(metrics_pb2.SummaryDataPoint.ValueAtQuantile.DESCRIPTOR)
KINDS = {
    kind: (Layout(message.DESCRIPTOR), Layout(point.DESCRIPTOR))
    for kind, message, point in (
        ("gauge", metrics_pb2.Gauge, metrics_pb2.NumberDataPoint),
        ("sum", metrics_pb2.Sum, metrics_pb2.NumberDataPoint),
        ("histogram", metrics_pb2.Histogram, metrics_pb2.HistogramDataPoint),
        (
            "exponential_histogram",
            metrics_pb2.ExponentialHistogram,
            metrics_pb2.ExponentialHistogramDataPoint,
        ),
        ("summary", metrics_pb2.Summary, metrics_pb2.SummaryDataPoint),
    )
}


@dataclass(frozen=True, slots=True)
class Points:
    """Data points of one kind: `metric` is each point's row of `Metrics.metric`, `exemplar_point` likewise."""

    kind: str
    data: Messages
    point: Messages
    place: Ranges
    metric: NDArray[np.int64]
    attributes: Attributes
    exemplar: Messages | None
    exemplar_point: NDArray[np.int64]
    exemplar_attributes: Attributes


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics and their points by kind; `metric_scope` is the row of each metric's scope."""

    batches: Batches
    metric: Messages
    metric_scope: NDArray[np.int64]
    points: list[Points]


def decode_metrics(body: bytes | NDArray[np.uint8]) -> Metrics:
    """Decode an ExportMetricsServiceRequest, or several written one after the other; raises Malformed."""
    batches = decode_batches(METRICS, body)
    buffer = batches.buffer
    ranges = batches.scope_batch.children["metrics"]
    metric = METRIC.read_each(buffer, ranges)
    points = []
    chosen = _last_kind(metric)
    for kind, (data_layout, point_layout) in KINDS.items():
        data = data_layout.read(buffer, chosen[kind], len(metric))
        found = data.children["data_points"]
        point = point_layout.read_each(buffer, found)
        exemplar = None
        owners = np.empty(0, np.int64)
        exemplar_attributes = no_attributes()
        if "exemplars" in point.children:
            exemplar = EXEMPLAR.read_each(buffer, point.children["exemplars"])
            owners = point.children["exemplars"].row
            exemplar_attributes = exemplar.attributes
        points.append(
            Points(
                kind=kind,
                data=data,
                point=point,
                place=found,
                metric=found.row,
                attributes=point.attributes,
                exemplar=exemplar,
                exemplar_point=owners,
                exemplar_attributes=exemplar_attributes,
            )
        )
    return Metrics(batches, metric, ranges.row, points)


def _last_kind(metric: Messages) -> dict[str, Ranges]:
    """Return the messages of each kind; a metric that holds several has, as protobuf says, only its last kind."""
    ranges = [metric.children[kind] for kind in KINDS]
    start = np.concatenate([each.start for each in ranges])
    order = np.argsort(start)
    row = np.concatenate([each.row for each in ranges])[order]
    again = row[1:] == row[:-1]
    if not again.any():
        return metric.children
    kind = np.repeat(np.arange(len(ranges)), [len(each) for each in ranges])[order]
    valid_from = np.zeros(len(metric), np.int64)
    replaced = np.flatnonzero(again & (kind[1:] != kind[:-1]))
    valid_from[row[replaced]] = start[order][replaced + 1]  # the last of a row stays
    chosen = {}
    for name, each in zip(KINDS, ranges, strict=True):
        keep = each.start >= valid_from[each.row]
        chosen[name] = Ranges(each.row[keep], each.start[keep], each.end[keep])
    return chosen
