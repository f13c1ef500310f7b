"""Of a request with bad items, exactly the good ones are taken: judged by the slow twin, on any legal encoding."""

from __future__ import annotations

from collections import Counter

import otlp_strategies
import pytest
import twin_values
from hypothesis import given, settings
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headgate.collector.check import check
from headgate.collector.faults import faults
from headgate.collector.partial import split
from headgate.collector.signals import Signal

ID, SPAN = b"\x01" * 16, b"\x02" * 8


def is_id(value: bytes, size: int) -> bool:
    return len(value) == size and value != bytes(size)


def judged(signal, body):
    """Return (service, item without invalid log ids, whether it is good) of every item, in order."""
    found = []
    request = twin_values.LENIENT[signal].FromString(body)
    (batches,) = (field.name for field in request.DESCRIPTOR.fields)
    for batch in getattr(request, batches):
        names = [a.value for a in batch.resource.attributes if a.key == b"service.name"]
        service = names[-1].string_value if names else b""
        for scope in getattr(batch, batches.replace("resource", "scope")):
            found += [(service, *judge(item)) for item in JUDGED[signal](scope)]
    return found


def points(scope):
    for metric in scope.metrics:
        kind = metric.WhichOneof("data")
        yield from getattr(metric, kind).data_points if kind else ()


JUDGED = {
    Signal.TRACES: lambda scope: scope.spans,
    Signal.LOGS: lambda scope: scope.log_records,
    Signal.METRICS: points,
}


def judge(item):
    """Return the item, without its invalid ids if it is a log record, and whether it is good."""
    match item.DESCRIPTOR.name:
        case "Span":
            fine = is_id(item.trace_id, 16) and is_id(item.span_id, 8)
            return item, fine and len(item.parent_span_id) in {0, 8}
        case "HistogramDataPoint":
            sizes = len(item.bucket_counts), len(item.explicit_bounds)
            return item, sizes == (0, 0) or sizes[0] == sizes[1] + 1
        case "LogRecord":
            for name, size in (("trace_id", 16), ("span_id", 8)):
                if not is_id(getattr(item, name), size):
                    item.ClearField(name)
    return item, True


@pytest.mark.parametrize("signal", list(Signal))
def test_exactly_the_good_items_are_left(signal):
    """The rest of the request is as it was; counts are exact by service, and bytes add up to what was sent."""

    @settings(max_examples=150, deadline=None)
    @given(otlp_strategies.bodies(signal))
    def property_(body):
        good, partial = split(signal, body)
        items = judged(signal, body)
        kept = judged(signal, good)
        assert [item for _, item, fine in items if fine] == [item for _, item, _ in kept]
        bad = Counter(service for service, _, fine in items if not fine)
        assert {s: count for s, (count, _) in partial.by_service.items()} == bad
        assert partial.rejected == bad.total()
        assert faults(signal, good) == 0
        assert bool(faults(signal, body)) == bool(partial.message)
        if signal is not Signal.LOGS:
            assert faults(signal, body) == partial.rejected

    property_()


def spans(**fields):
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    batch.resource.attributes.add(key="service.name").value.string_value = "shop"
    made = batch.scope_spans.add().spans
    made.add(trace_id=ID, span_id=SPAN, name="good")
    made.add(**{"trace_id": ID, "span_id": SPAN, **fields})
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b""}, "1 without a valid trace id (16 bytes, not all zeros)"),
        ({"trace_id": ID[:15]}, "1 without a valid trace id (16 bytes, not all zeros)"),
        ({"trace_id": ID + b"\x01"}, "1 without a valid trace id (16 bytes, not all zeros)"),
        ({"trace_id": bytes(16)}, "1 without a valid trace id (16 bytes, not all zeros)"),
        ({"span_id": SPAN[:7]}, "1 without a valid span id (8 bytes, not all zeros)"),
        ({"span_id": bytes(8)}, "1 without a valid span id (8 bytes, not all zeros)"),
        ({"parent_span_id": b"\x01"}, "1 with a parent span id that is neither 8 bytes nor empty"),
    ],
)
def test_what_makes_a_span_bad_is_said(fields, reason):
    """One sentence with how many and why; the size that is missing is the bad span's, with its frame."""
    body = spans(**fields)
    good, partial = split(Signal.TRACES, body)
    assert partial.message == f"1 spans were not taken: {reason}"
    assert partial.by_service == {b"shop": (1, len(body) - len(good))}
    assert check(Signal.TRACES, good) == 1


def test_no_span_is_bad_for_anything_else():
    """Zero and reversed times, an empty name, links and attributes of any kind: taken."""
    body = spans(
        parent_span_id=bytes(8),
        start_time_unix_nano=2**64 - 1,
        end_time_unix_nano=1,
        kind=99,
        links=[{"trace_id": b"?"}],
        attributes=[{"key": "k"}, {"key": "k"}],
    )
    assert faults(Signal.TRACES, body) == 0
    assert split(Signal.TRACES, body) == (body, split(Signal.TRACES, body)[1])


def test_a_histogram_has_one_bucket_more_than_bounds():
    """A data point for which that does not hold is bad; one with neither is good."""
    request = ExportMetricsServiceRequest()
    points = request.resource_metrics.add().scope_metrics.add().metrics.add().histogram.data_points
    for buckets, bounds in ((0, 0), (1, 0), (3, 2), (2, 2), (0, 1), (1, 2)):
        points.add(bucket_counts=[1] * buckets, explicit_bounds=[1.0] * bounds)
    good, partial = split(Signal.METRICS, request.SerializeToString())
    assert partial.rejected == 3
    assert partial.message.startswith("3 data points were not taken: 3 with a number of buckets")
    assert check(Signal.METRICS, good) == 3


def test_a_log_record_is_kept_without_ids_that_are_none():
    """logs.proto: treat an invalid id as absent. The sender is warned, and nothing is rejected."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(trace_id=ID, span_id=SPAN)
    records.add(trace_id=ID[:5], span_id=SPAN)
    records.add(trace_id=bytes(16))
    good, partial = split(Signal.LOGS, request.SerializeToString())
    kept = ExportLogsServiceRequest.FromString(good).resource_logs[0].scope_logs[0].log_records
    assert [(r.trace_id, r.span_id) for r in kept] == [(ID, SPAN), (b"", SPAN), (b"", b"")]
    assert (partial.rejected, partial.by_service) == (0, {})
    assert partial.message.startswith("2 log records were taken without")
