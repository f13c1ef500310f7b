"""Two collectors in a row, with what the first stored as the second's traffic: nested decisions, right weights.

Between them is what an OTLP exporter of the stored rows would send: ids, trace states and log attributes as stored.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from native_rows import rows_of
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sampling_traffic import NOW, log_request, request_of, run, states, trace_request

from headgate.collector.policy import Policy
from headgate.collector.sampler import Law
from headgate.collector.signals import Signal
from headgate.collector.threshold import MAX_THRESHOLD

FIRST = Policy(traces=Law(1000, 10_000, 0.3), logs=Law(700, 7000, 0.3))
SECOND = Policy(traces=Law(300, 3000, 0.1), logs=Law(300, 3000, 0.1))


def threshold_of(trace_state: bytes) -> int:
    """Return T of a trace state with at most one member, 0 without."""
    if not trace_state:
        return 0
    digits = trace_state.removeprefix(b"ot=th:").partition(b",")[0].partition(b";")[0]
    return int(digits.ljust(14, b"0"), 16)


def low56(trace_id: bytes) -> int:
    return int(trace_id, 16) % MAX_THRESHOLD


def exported_spans(rows):
    """Return the stored spans as a request again."""
    message = ExportTraceServiceRequest()
    scopes = {}
    for row in rows:
        service = row["ServiceName"].decode()
        if service not in scopes:
            batch = message.resource_spans.add()
            batch.resource.attributes.add(key="service.name").value.string_value = service
            scopes[service] = batch.scope_spans.add()
        scopes[service].spans.add(
            trace_id=bytes.fromhex(row["TraceId"].decode()),
            span_id=bytes.fromhex(row["SpanId"].decode()),
            parent_span_id=bytes.fromhex(row["ParentSpanId"].decode()),
            trace_state=row["TraceState"].decode(),
            name=row["SpanName"].decode(),
            kind={b"Server": 2, b"Client": 3}[row["SpanKind"]],
            start_time_unix_nano=row["Timestamp"],
            end_time_unix_nano=row["Timestamp"] + row["Duration"],
            status={"code": 2 if row["StatusCode"] == b"Error" else 0},
        )
    return request_of(Signal.TRACES, message, NOW)


def exported_logs(rows):
    """Return the stored records as a request again."""
    message = ExportLogsServiceRequest()
    batch = message.resource_logs.add()
    batch.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = batch.scope_logs.add()
    for row in rows:
        record = scope.log_records.add(
            time_unix_nano=row["Timestamp"],
            severity_number=row["SeverityNumber"],
            trace_id=bytes.fromhex(row["TraceId"].decode()),
            event_name=row["EventName"].decode(),
        )
        record.body.string_value = row["Body"].decode()
        for key, value in row["LogAttributes"]:
            record.attributes.add(key=key.decode()).value.string_value = value.decode()
    return request_of(Signal.LOGS, message, NOW)


def chain(rng, make, table, exported):
    """Return (rows that the first collector keeps, rows that the second keeps of them)."""
    (first,) = run([[make(rng)]], FIRST)
    kept = rows_of(first.blocks)[table]
    (second,) = run([[exported(kept)]], SECOND, states(900))
    return kept, rows_of(second.blocks)[table]


def test_decisions_about_traces_are_nested():
    """The second keeps whole traces of those that the first kept: those whose R passes a threshold that is greater."""
    rng = np.random.default_rng(1)
    kept, again = chain(rng, lambda r: trace_request(r, 3000), "otel_traces", exported_spans)
    before = {row["TraceId"]: threshold_of(row["TraceState"]) for row in kept}
    after = {row["TraceId"]: threshold_of(row["TraceState"]) for row in again}
    assert 0 < len(after) < len(before) / 2 < 1500
    for trace, threshold in after.items():
        assert low56(trace) >= threshold >= before[trace]
    # Nothing is missing of what passes the greatest threshold in use.
    greatest = max(after.values())
    assert {t for t in before if low56(t) >= greatest} <= set(after)
    sizes = Counter(row["TraceId"] for row in again)
    assert set(sizes.values()) == {3}


def totals(rows, weight, stratum):
    found = defaultdict(float)
    for row in rows:
        found[stratum(row)] += weight(row)
    return found


def renamed(request, rng):
    """Return the same spans under fresh trace ids."""
    message = ExportTraceServiceRequest.FromString(request.body)
    ids: dict[bytes, bytes] = {}
    for batch in message.resource_spans:
        for span in batch.scope_spans[0].spans:
            span.trace_id = ids.setdefault(span.trace_id, rng.bytes(16))
    return request_of(Signal.TRACES, message, NOW)


@pytest.mark.slow
def test_weights_behind_two_collectors_are_unbiased():
    """Over 25 draws of trace ids the mean of each operation's weighted count is the true one, within 4.5 errors."""
    rng = np.random.default_rng(100)
    request = trace_request(rng, 500)
    first_law, second_law = (
        replace(
            policy,
            traces=replace(policy.traces, low=policy.traces.low / 2, high=policy.traces.high / 2),
        )
        for policy in (FIRST, SECOND)
    )
    counts, truth = [], {}
    for _ in range(25):
        (first,) = run([[renamed(request, rng)]], first_law)
        stored = rows_of(b for b in first.blocks if b.table in {"otel_traces", "usage_minute"})
        (second,) = run([[exported_spans(stored["otel_traces"])]], second_law, states(900))
        again = rows_of(b for b in second.blocks if b.table == "otel_traces")["otel_traces"]
        counts.append(
            totals(
                again,
                lambda row: MAX_THRESHOLD / (MAX_THRESHOLD - threshold_of(row["TraceState"])),
                lambda row: row["SpanName"],
            )
        )
        truth = totals(
            stored["usage_minute"], lambda row: row["Calls"], lambda row: row["Operation"]
        )
    for operation, true in truth.items():
        draws = np.array([count[operation] for count in counts])
        assert abs(draws.mean() - true) <= 4.5 * draws.std(ddof=1) / math.sqrt(draws.size) + 1e-6


def test_decisions_about_log_records_are_nested_and_tell_their_randomness():
    """Records with a trace go by its id; others carry the R they were drawn with, so that the next draws the same."""
    rng = np.random.default_rng(2)
    kept, again = chain(rng, lambda r: log_request(r, 4000), "otel_logs", exported_logs)
    bodies = {row["Body"]: dict(row["LogAttributes"]) for row in kept}
    assert 0 < len(again) < len(kept) * 0.75 < 3000
    thinned = 0
    for row in again:
        attributes, before = dict(row["LogAttributes"]), bodies[row["Body"]]
        assert attributes[b"zone"] == b"a"
        threshold = int(attributes.get(b"sampling.threshold", b"0").ljust(14, b"0"), 16)
        earlier = int(before.get(b"sampling.threshold", b"0").ljust(14, b"0"), 16)
        if row["EventName"]:
            assert (threshold, earlier) == (0, 0)
            continue
        assert threshold >= earlier
        thinned += threshold > earlier
        if row["TraceId"]:
            assert b"sampling.randomness" not in attributes
            assert low56(row["TraceId"]) >= threshold
        elif earlier:
            drawn = attributes[b"sampling.randomness"]
            assert drawn == before[b"sampling.randomness"]
            assert int(drawn, 16) >= threshold
    assert thinned > 100
    names = [row["LogAttributes"] for row in again]
    assert all([key for key, _ in pairs] == sorted({key for key, _ in pairs}) for pairs in names)


@pytest.mark.slow
def test_weighted_log_records_are_unbiased():
    """Over 30 draws the weighted counts by severity, of both collectors, have the true ones as their mean."""
    counts = {0: [], 1: []}
    truth = Counter()
    for seed in range(30):
        request = log_request(np.random.default_rng(1000 + seed), 1000, named=0)
        (first,) = run([[request]], FIRST, states(seed * 7 + 1))
        (kept,) = (rows_of([b])["otel_logs"] for b in first.blocks if b.table == "otel_logs")
        (second,) = run([[exported_logs(kept)]], SECOND, states(seed * 7 + 4))
        (again,) = (rows_of([b])["otel_logs"] for b in second.blocks if b.table == "otel_logs")
        sent = Counter()
        message = ExportLogsServiceRequest.FromString(request.body)
        for record in message.resource_logs[0].scope_logs[0].log_records:
            sent[record.severity_number] += 1
        truth.update(sent)
        for stage, rows in enumerate((kept, again)):
            found = totals(rows, _log_weight, lambda row: row["SeverityNumber"])
            counts[stage].append({s: found[s] - sent[s] for s in sent})
    for stage in counts.values():
        for severity in truth:
            errors = np.array([count.get(severity, 0.0) for count in stage])
            spread = errors.std(ddof=1) / math.sqrt(errors.size)
            assert abs(errors.mean()) <= 4.5 * spread + 1e-6


def _log_weight(row) -> float:
    digits = dict(row["LogAttributes"]).get(b"sampling.threshold", b"0")
    return MAX_THRESHOLD / (MAX_THRESHOLD - int(digits.ljust(14, b"0"), 16))


def test_a_threshold_of_records_without_known_randomness_is_believed():
    """A record outside any trace that says it was thinned to a half, without R, has weight 2: it did pass."""
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add().scope_logs.add()
    for number in range(2000):
        record = scope.log_records.add(time_unix_nano=NOW + number)
        record.attributes.add(key="sampling.threshold").value.string_value = "8"
    (made,) = run([[request_of(Signal.LOGS, message, NOW)]], Policy(logs=Law(500, 5000, 0.1)))
    rows = rows_of(made.blocks)["otel_logs"]
    weights = np.array([_log_weight(row) for row in rows])
    assert weights.min() >= 2
    assert len(rows) < 1000
    assert weights.sum() == pytest.approx(
        4000, abs=4.5 * math.sqrt((weights * (weights - 1)).sum())
    )


def test_a_contradicted_threshold_is_erased_and_counts_as_one():
    """A span whose R does not pass its own `th` was not sampled by it: stored without, and counted as one call."""
    rng = np.random.default_rng(6)
    request = trace_request(rng, 300, upstream="ot=th:8,vendor=x")
    (made,) = run([[request]], Policy())
    rows = rows_of(made.blocks)
    weights = 0
    for row in rows["otel_traces"]:
        passes = low56(row["TraceId"]) >= 1 << 55
        assert row["TraceState"] == (b"ot=th:8,vendor=x" if passes else b"vendor=x")
        weights += 2 if passes else 1
    assert sum(row["CallsAdjusted"] for row in rows["usage_minute"]) == weights
    assert {row["UpstreamWeight"] for row in rows["events"]} == {1.0, 2.0}
