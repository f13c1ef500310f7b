"""Sampling on the real path: requests through process, delivery and the store; what is counted never changes.

Traffic comes from fixed seeds; tolerances come from the variance that the stored weights themselves tell.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import otlp_strategies
import pytest
from hypothesis import HealthCheck, given, settings
from native_rows import rows_of, store_blocks
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sampling_traffic import BUSY, NOW, SECOND, busy, log_request, run, trace_request

from headgate.collector.check import check
from headgate.collector.law import Law
from headgate.collector.policy import Match, Policy
from headgate.collector.process import Request, process, process_sampled
from headgate.collector.rules import Rules
from headgate.collector.sample import NotChosen, Sampling
from headgate.collector.signals import Signal
from headgate.collector.states import States

SAMPLED = {"otel_traces", "otel_logs", "events", "ledger", "sampling_history"}


def test_what_is_counted_is_that_of_an_unsampled_run():
    """Rollups and users are the same to the byte, whatever sampling keeps, and so is what the ledger received."""
    segments = busy(np.random.default_rng(1))
    for made, requests in zip(run(segments), segments, strict=True):
        whole = process(requests)
        exact = [block for block in whole if block.table not in SAMPLED]
        assert {block.table for block in exact} >= {"usage_minute", "user_hour", "user_seen"}
        assert [block for block in made.blocks if block.table not in SAMPLED] == exact
        books = [Counter(), Counter()]
        for count, blocks in zip(books, (made.blocks, whole), strict=True):
            for row in rows_of(blocks)["ledger"]:
                key = row["Time"], row["Signal"], row["ServiceName"]
                count[key] += row["Received"]
                count[*key, "bytes"] += row["ReceivedBytes"]
        assert books[0] == books[1]
    assert made.sampled_out[Signal.TRACES] > 1000


def test_the_ledger_closes_and_agrees_with_what_is_stored(store):
    """Received = stored + sampled out, in items and bytes, for each service; stored items are rows in the tables."""
    for number, made in enumerate(run(busy(np.random.default_rng(2)))):
        store_blocks(store, f"s{number}", made.blocks)
    query = store.client().query
    rows = query(
        "SELECT Signal, ServiceName, sum(Received), sum(Stored), sum(SampledOut), sum(ReceivedBytes), sum(StoredBytes),"
        " sum(SampledOutBytes) FROM ledger GROUP BY ALL"
    ).result_rows
    assert {(signal, service) for signal, service, *_ in rows} == {
        ("traces", "shop"), ("traces", "stock"), ("logs", "shop"),
    }  # fmt: skip
    for signal, service, received, stored, out, *octets in rows:
        assert received == stored + out
        assert octets[0] == octets[1] + octets[2]
        assert 0 < out < received
        assert octets[2] / octets[0] == pytest.approx(out / received, abs=0.1)
        table = {"traces": "otel_traces", "logs": "otel_logs"}[signal]
        found = query(f"SELECT count() FROM {table} WHERE ServiceName = '{service}'").result_rows
        assert found == [(stored,)]
    calls = query("SELECT sum(Calls) FROM usage_minute WHERE Kind != 'Event'").result_rows
    assert calls == [(sum(row[2] for row in rows if row[0] == "traces"),)]


def test_weighted_rows_estimate_what_the_rollups_count(store):
    """Each operation's weighted count and duration lie within 4.5 cluster standard errors of the exact rollup."""
    for number, made in enumerate(run(busy(np.random.default_rng(3), segments=6))):
        store_blocks(store, f"s{number}", made.blocks)
    query = store.client().query
    exact = {
        row[:2]: row[2:]
        for row in query(
            "SELECT ServiceName, Operation, sum(Calls), sum(DurationSum) FROM usage_minute WHERE Kind != 'Event'"
            " GROUP BY ALL"
        ).result_rows
    }
    # The Horvitz-Thompson variance with traces as units: w (w - 1) y^2, y being a trace's total.
    estimates = query(
        "SELECT ServiceName, SpanName, sum(w * n), sum(w * d), sum(w * (w - 1) * n * n), sum(w * (w - 1) * d * d)"
        " FROM (SELECT ServiceName, SpanName, TraceId, any(Weight) AS w, count() AS n, sum(Duration) AS d"
        " FROM otel_traces GROUP BY ALL) GROUP BY ALL"
    ).result_rows
    assert {row[:2] for row in estimates} == set(exact)
    uncertain = 0
    for service, operation, calls, duration, calls_variance, duration_variance in estimates:
        truth = exact[service, operation]
        assert abs(calls - truth[0]) <= 4.5 * math.sqrt(calls_variance) + 1e-6
        assert abs(duration - truth[1]) <= 4.5 * math.sqrt(duration_variance) + 1e-3 * truth[1]
        uncertain += calls_variance > 0
    assert uncertain > 3


def test_named_events_and_metrics_are_never_thinned_by_trace_sampling(store):
    """Every named record is in otel_logs with weight 1, however few of the others are."""
    segments = busy(np.random.default_rng(4), logs=2000)
    for number, made in enumerate(run(segments, replace(BUSY, event_rows=1e9))):
        store_blocks(store, f"s{number}", made.blocks)
    query = store.client().query
    named = query("SELECT sum(Calls) FROM usage_minute WHERE Kind = 'Event'").result_rows[0][0]
    assert named > 500
    assert query(
        "SELECT count(), sum(Weight) FROM otel_logs WHERE EventName != ''"
    ).result_rows == [(named, named)]
    assert query("SELECT count() FROM events WHERE Kind = 'event'").result_rows == [(named,)]
    others = query("SELECT count(), sum(Weight) FROM otel_logs WHERE EventName = ''").result_rows
    assert others[0][0] < 2500


def test_whole_traces_are_kept_or_dropped():
    """Of a segment's traces either every span is stored or none, all with one threshold."""
    (requests,) = busy(np.random.default_rng(5), segments=1, traces=2000)
    sent = rows_of(process(requests))["otel_traces"]
    kept = rows_of(run([requests])[0].blocks)["otel_traces"]
    whole = Counter(row["TraceId"] for row in sent)
    found = Counter(row["TraceId"] for row in kept)
    assert 0 < len(found) < len(whole)
    assert all(count == whole[trace] for trace, count in found.items())
    states_ = {}
    for row in kept:
        assert states_.setdefault(row["TraceId"], row["TraceState"]) == row["TraceState"]


def test_the_switch_takes_effect_within_the_segment():
    """A segment that crosses the threshold is itself kept with the new probability: nothing that follows escapes it."""
    rng = np.random.default_rng(6)
    calm, rush = (
        [trace_request(rng, size, start_ns=NOW + at * SECOND)] for size, at in ((50, 0), (3000, 1))
    )
    before, after = run([calm, rush])
    assert before.sampled_out == {}
    (history,) = rows_of([after.chosen.history])["sampling_history"][:1]
    assert history["Probability"] == pytest.approx(0.1)
    assert history["ExpectedRequests"] == pytest.approx(0.1 * history["Requests"], rel=0.01)
    assert after.sampled_out[Signal.TRACES] > 0.8 * 9000


def test_a_backlog_is_sampled_by_when_each_request_arrived():
    """Requests of ten minutes in one segment do not count as the traffic of one."""
    rng = np.random.default_rng(7)
    requests = [
        trace_request(rng, 100, start_ns=NOW + minute * 61 * SECOND) for minute in range(10)
    ]
    (spread,) = run([requests])
    assert spread.sampled_out == {}
    at_once = [replace(request, arrival_ns=NOW) for request in requests]
    (bunched,) = run([at_once])
    assert bunched.sampled_out[Signal.TRACES] > 1000


def test_the_same_segment_twice_keeps_the_same_rows():
    """By what its plan has chosen a repeat makes the same blocks, byte for byte, from any state and by any policy."""
    segments = busy(np.random.default_rng(8))
    first = run(segments)
    for number, requests in enumerate(segments):
        chosen = first[number].chosen
        by_plan = Sampling(Policy(), 3, first[-1].states, f"segment {number}", chosen)
        again = process_sampled(requests, (), Rules(), by_plan)
        assert again.blocks == first[number].blocks
        assert again.sampled_out == first[number].sampled_out
    with pytest.raises(NotChosen):
        process_sampled(segments[1][:2], (), Rules(), by_plan)


def test_requests_of_nothing_are_sampled_too():
    """Empty requests, alone and among others, change nothing but the number of segments."""
    rng = np.random.default_rng(11)
    nothing = [Request(signal, b"", 0, NOW) for signal in Signal]
    some = [trace_request(rng, 50), log_request(rng, 20, named=1)]
    empty, mixed = run([nothing, [*nothing, *some, *nothing]])
    assert empty.blocks == []
    assert empty.states.sequence == 1
    assert len(rows_of(mixed.blocks)["otel_traces"]) == 150
    assert len(rows_of(mixed.blocks)["otel_logs"]) == 20


def test_segments_are_deterministic():
    """The same segments from the same state give the same blocks and the same states, however often."""
    segments = busy(np.random.default_rng(9), segments=3)
    one, other = run(segments), run(segments)
    assert [made.blocks for made in one] == [made.blocks for made in other]
    assert one[-1].states.to_bytes() == other[-1].states.to_bytes()
    assert States.from_bytes(one[-1].states.to_bytes()).to_bytes() == one[-1].states.to_bytes()


def test_rules_keep_and_drop_whole_traces(store):
    """A health check is dropped, a debug header kept with weight 1, and keep wins; counts know nothing of rules."""
    rng = np.random.default_rng(10)
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for number in range(4000):
        span = spans.add(
            trace_id=rng.bytes(16), span_id=rng.bytes(8), name="GET", kind=2,
            start_time_unix_nano=NOW, end_time_unix_nano=NOW + 5,
        )  # fmt: skip
        path = "/healthz" if number % 4 == 0 else "/shop/7"
        span.attributes.add(key="url.path").value.string_value = path
        if number % 10 == 0:
            span.attributes.add(key="debug").value.string_value = "yes"
    body = message.SerializeToString()
    policy = replace(
        BUSY,
        keep=(Match("debug", ("*",)),),
        drop=(Match("url.path", ("/healthz", "/internal/*")),),
    )
    (made,) = run([[Request(Signal.TRACES, body, 4000, NOW)]], policy)
    store_blocks(store, "s", made.blocks)
    query = store.client().query
    by = "SpanAttributes['url.path'] AS path, SpanAttributes['debug'] AS debug"
    rows = query(f"SELECT {by}, count(), sum(Weight) FROM otel_traces GROUP BY ALL").result_rows
    found = {row[:2]: row[2:] for row in rows}
    assert ("/healthz", "") not in found
    assert found["/healthz", "yes"] == (200, 200.0)
    assert found["/shop/7", "yes"] == (200, 200.0)
    kept, weight = found["/shop/7", ""]
    assert 0 < kept < 1000
    assert weight == pytest.approx(2800, rel=5 * math.sqrt(1 / kept))
    assert query("SELECT sum(Calls) FROM usage_minute").result_rows == [(4000,)]


EVERYTHING_ONCE = replace(
    BUSY, traces=Law(low=1, high=2, rate=0.4), logs=Law(low=1, high=2, rate=0.4), event_rows=3
)


@pytest.mark.parametrize("signal", [Signal.TRACES, Signal.LOGS])
def test_arbitrary_requests_are_sampled_without_a_loss(signal):
    """Whatever is valid OTLP: what is kept is among what came, rollups are of all of it, and the ledger closes."""
    table = {Signal.TRACES: "otel_traces", Signal.LOGS: "otel_logs"}[signal]
    changed = {"TraceState", "LogAttributes"}  # where the threshold is written

    def plain(rows):
        return Counter(repr([(k, v) for k, v in row.items() if k not in changed]) for row in rows)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(otlp_strategies.requests(signal))
    def property_(requests):
        requests = [replace(request, items=check(signal, request.body)) for request in requests]
        (made,) = run([requests], EVERYTHING_ONCE)
        found, whole = rows_of(made.blocks), rows_of(process(requests))
        assert plain(found.get(table, [])) <= plain(whole.get(table, []))
        out = len(whole.get(table, [])) - len(found.get(table, []))
        assert made.sampled_out[signal] == out
        for name in ("user_hour", "user_seen"):
            assert found.get(name) == whole.get(name)
        usage = [rows.get("usage_minute", []) for rows in (found, whole)]
        for mine, other in zip(*usage, strict=True):
            assert mine | {"CallsAdjusted": 0} == other | {"CallsAdjusted": 0}
        books = found.get("ledger", [])
        assert sum(row["Received"] for row in books) == sum(request.items for request in requests)
        assert sum(row["SampledOut"] for row in books) == out
        for row in books:
            assert row["ReceivedBytes"] == row["StoredBytes"] + row["SampledOutBytes"]
        for row in found.get("events", []):
            assert row["Weight"] >= row["UpstreamWeight"] >= 1
        chosen = Sampling(Policy(), 1, made.states, "segment 0", made.chosen)
        assert process_sampled(requests, (), Rules(), chosen).blocks == made.blocks

    property_()
