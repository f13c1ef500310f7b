"""A hundred thousand spans of three days: every rollup in the engine holds the numbers that were put in, exactly."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
import twin_uses
import xxhash
from native_rows import store_blocks
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from otlp_strategies import BASE_NS

from headgate.collector.check import check
from headgate.collector.process import Request, process
from headgate.collector.signals import Signal

SPANS, REQUESTS = 100_000, 40
SERVICES = ("shop", "cart", "payment")
OPERATIONS = tuple(f"GET /{i}" for i in range(12))
KINDS = {1: "Internal", 2: "Server", 3: "Client"}
USERS = 3000
STATES = ("", "ot=th:8", "ot=th:c")
KEYS = ("service", "operation", "kind", "entry", "outcome")


@dataclass(frozen=True)
class Span:
    """What is known of a span before it is sent."""

    start_ns: int
    duration_ns: int
    service: str
    operation: str
    kind: str
    entry: bool
    outcome: str
    user: str
    weight: int


def traffic() -> tuple[list[Span], list[Request]]:
    """Return spans, and the requests that carry them: each of one service, a minute after its last span."""
    rng = np.random.default_rng(20_260_923)
    start = np.sort(rng.integers(0, 3 * 86_400, SPANS)) * 10**9 + BASE_NS
    # Multiples of 16 ns, at most 2^26: the sums of their squares are exact in doubles, in any order.
    duration = np.clip(rng.lognormal(10, 1.5, SPANS).astype(int), 0, 2**26) // 16 * 16
    columns = {
        "operation": rng.integers(0, len(OPERATIONS), SPANS),
        "kind": rng.integers(1, 4, SPANS),
        "root": rng.random(SPANS) < 0.1,
        "outcome": rng.choice(3, SPANS, p=(0.9, 0.07, 0.03)),
        "user": rng.integers(-500, USERS, SPANS),
        "state": rng.choice(3, SPANS, p=(0.8, 0.1, 0.1)),
    }
    rows = zip(
        start.tolist(), duration.tolist(), *(c.tolist() for c in columns.values()), strict=True
    )
    spans, requests = [], []
    message = ExportTraceServiceRequest()
    for i, (begin, length, operation, kind, root, outcome, user, state) in enumerate(rows):
        number, within = divmod(i, SPANS // REQUESTS)
        service = SERVICES[number % 3]
        if within == 0:
            message = ExportTraceServiceRequest()
            batch = message.resource_spans.add()
            batch.resource.attributes.append(text("service.name", service))
            scoped = batch.scope_spans.add()
        attributes = [text("user.id", f"u{user}")] if user >= 0 else []
        attributes += [text("error.type", "ReadTimeout")] if outcome == 2 else []
        scoped.spans.add(
            trace_id=i.to_bytes(16, "big"),
            span_id=i.to_bytes(8, "big"),
            parent_span_id=b"" if root else b"\x01" * 8,
            trace_state=STATES[state],
            name=OPERATIONS[operation],
            kind=kind,
            start_time_unix_nano=begin,
            end_time_unix_nano=begin + length,
            attributes=attributes,
            status={"code": 2 if outcome else 0},
        )
        spans.append(
            Span(
                start_ns=begin,
                duration_ns=length,
                service=service,
                operation=OPERATIONS[operation],
                kind=KINDS[kind],
                entry=root or kind == 2,
                outcome=("ok", "error", "timeout")[outcome],
                user=f"u{user}" if user >= 0 else "",
                weight=(1, 2, 4)[state],
            )
        )
        if within == SPANS // REQUESTS - 1:
            body = message.SerializeToString()
            items = check(Signal.TRACES, body)
            arrival_ns = begin + 60 * 10**9
            requests.append(Request(Signal.TRACES, body, items, arrival_ns))
    return spans, requests


def user_hash(user: str) -> int:
    return xxhash.xxh64_intdigest(user.encode())


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


@pytest.fixture
def stored(store):
    """Return the spans, the requests, and a function that queries what became of them in the engine."""
    spans, requests = traffic()
    for number in range(4):
        segment = requests[number * REQUESTS // 4 : (number + 1) * REQUESTS // 4]
        store_blocks(store, f"segment-{number}", process(segment))
    return spans, requests, lambda sql: store.client().query(sql).result_rows


@pytest.mark.slow
def test_every_number(stored):
    """Usage by minute, quarter and day, users by hour and day, who was seen, and the ledger: all exact."""
    spans, requests, query = stored
    assert len(spans) == SPANS
    for table, unit_s in (("usage_minute", 60), ("usage_quarter", 900), ("usage_day", 86_400)):
        assert usage_in(query, table) == usage_of(spans, unit_s), table
    for table, unit_s in (("user_hour", 3600), ("user_day", 86_400)):
        assert users_in(query, table) == users_of(spans, unit_s), table
    assert seen_in(query) == seen_of(spans)
    assert ledger_in(query) == ledger_of(requests)
    assert query("SELECT count(), sum(Weight) FROM otel_traces") == [
        (SPANS, float(sum(span.weight for span in spans)))
    ]
    assert query("SELECT count() FROM events") == [(sum(span.entry for span in spans),)]


def usage_in(query, table: str) -> dict:
    rows = query(
        "SELECT toUnixTimestamp(Time), ServiceName, Operation, Kind, Entry, Outcome, sum(Calls),"
        " sum(CallsAdjusted), sum(DurationSum), sum(DurationSumSquares), min(DurationMin),"
        f" max(DurationMax), sumMap(DurationBuckets) FROM {table} GROUP BY ALL"
    )
    return {row[:6]: row[6:] for row in rows}


def usage_of(spans: list[Span], unit_s: int) -> dict:
    cells = defaultdict(list)
    for span in spans:
        time = span.start_ns // 10**9 // unit_s * unit_s
        cells[time, *(getattr(span, name) for name in KEYS)].append(span)
    found = {}
    for key, members in cells.items():
        durations = [span.duration_ns for span in members]
        found[key] = (
            len(members),
            float(sum(span.weight for span in members)),
            float(sum(durations)),
            float(sum(d * d for d in durations)),
            min(durations),
            max(durations),
            dict(Counter(map(twin_uses.bucket, durations))),
        )
    return found


def users_in(query, table: str) -> dict:
    rows = query(
        "SELECT toUnixTimestamp(Time), ServiceName, Operation, UserHash, sum(Calls), sum(Errors)"
        f" FROM {table} GROUP BY ALL"
    )
    return {row[:4]: row[4:] for row in rows}


def users_of(spans: list[Span], unit_s: int) -> dict:
    cells = defaultdict(lambda: (0, 0))
    for span in spans:
        if span.entry and span.user:
            time = span.start_ns // 10**9 // unit_s * unit_s
            key = (time, span.service, span.operation, user_hash(span.user))
            calls, errors = cells[key]
            cells[key] = (calls + 1, errors + (span.outcome != "ok"))
    return dict(cells)


def seen_in(query) -> dict:
    rows = query(
        "SELECT UserHash, toUnixTimestamp(min(FirstSeen)), toUnixTimestamp(max(LastSeen))"
        " FROM user_seen GROUP BY UserHash"
    )
    return {row[0]: row[1:] for row in rows}


def seen_of(spans: list[Span]) -> dict:
    times = defaultdict(list)
    for span in spans:
        if span.entry and span.user:
            times[user_hash(span.user)].append(span.start_ns // 10**9)
    return {user: (min(at), max(at)) for user, at in times.items()}


def ledger_in(query) -> dict:
    rows = query(
        "SELECT toUnixTimestamp(Time), Signal, ServiceName, sum(Received), sum(Stored),"
        " sum(SampledOut + Rejected + Duplicate), sum(ReceivedBytes), sum(StoredBytes)"
        " FROM ledger GROUP BY ALL"
    )
    return {row[:3]: row[3:] for row in rows}


def ledger_of(requests: list[Request]) -> dict:
    found = {}
    for number, request in enumerate(requests):
        time = request.arrival_ns // 60_000_000_000 * 60
        items, size = SPANS // REQUESTS, len(request.body)
        before = found.get((time, "traces", SERVICES[number % 3]), (0,) * 5)
        added = (items, items, 0, size, size)
        sums = tuple(a + b for a, b in zip(before, added, strict=True))
        found[time, "traces", SERVICES[number % 3]] = sums
    return found
