"""OTLP requests with known contents for tests of sampling, and segments of them, run one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headgate.collector.check import check
from headgate.collector.policy import Policy
from headgate.collector.process import Processed, Request, process_sampled
from headgate.collector.rules import Rules
from headgate.collector.sample import Sampling
from headgate.collector.sampler import Law
from headgate.collector.signals import Signal
from headgate.collector.states import States

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

NOW = 1_790_000_000_000_000_000
SECOND = 10**9
BUSY = Policy(
    traces=Law(low=300, high=3000, rate=0.1), logs=Law(low=300, high=3000, rate=0.1), event_rows=500
)


def states(first: int = 77) -> States:
    """Return the states of a new sampler whose keys are known."""
    names = iter([f"{number:032x}" for number in (first, first + 1)])
    return States.new(lambda: next(names))


def trace_request(
    rng: np.random.Generator,
    traces: int,
    *,
    start_ns: int = NOW,
    upstream: str = "",
    users: int = 200,
    services: Sequence[str] = ("shop", "stock"),
) -> Request:
    """Return a request of traces of three spans: an entry of each service, and one within; 5 % of the first fail."""
    message = ExportTraceServiceRequest()
    scopes = []
    for service in services:
        batch = message.resource_spans.add()
        batch.resource.attributes.add(key="service.name").value.string_value = service
        scopes.append(batch.scope_spans.add())
    for number in range(traces):
        trace_id = rng.bytes(16)
        route = int(min(rng.zipf(1.7), 12))
        user = int(rng.integers(-users // 4, users))
        parent = b""
        for depth, (scope, kind) in enumerate(((scopes[0], 2), (scopes[0], 3), (scopes[-1], 2))):
            span_id = rng.bytes(8)
            span = scope.spans.add(
                trace_id=trace_id,
                span_id=span_id,
                parent_span_id=parent,
                trace_state=upstream,
                name=f"GET /{route}" if kind == 2 else "call",
                kind=kind,
                start_time_unix_nano=start_ns + number * 1000,
                end_time_unix_nano=start_ns + number * 1000 + int(rng.lognormal(14, 1)),
                status={"code": 2 if depth == 0 and rng.random() < 0.05 else 0},
            )
            if user >= 0:
                span.attributes.add(key="user.id").value.string_value = f"user {user}"
            parent = span_id
    return request_of(Signal.TRACES, message, start_ns)


def log_request(
    rng: np.random.Generator, records: int, *, start_ns: int = NOW, named: float = 0.1
) -> Request:
    """Return a request of log records, half of them in traces, some of them named events."""
    message = ExportLogsServiceRequest()
    batch = message.resource_logs.add()
    batch.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = batch.scope_logs.add()
    scope.scope.name = "app"
    for number in range(records):
        record = scope.log_records.add(
            time_unix_nano=start_ns + number,
            severity_number=int(rng.choice([5, 9, 13, 17], p=[0.3, 0.5, 0.15, 0.05])),
            trace_id=rng.bytes(16) if rng.random() < 0.5 else b"",
            event_name="checkout" if rng.random() < named else "",
        )
        record.body.string_value = f"record {number}"
        record.attributes.add(key="zone").value.string_value = "a"
    return request_of(Signal.LOGS, message, start_ns)


def request_of(signal: Signal, message: Any, arrival_ns: int) -> Request:
    """Return a message as a request that arrived."""
    body = message.SerializeToString()
    return Request(signal, body, check(signal, body), arrival_ns)


def run(
    segments: Iterable[Sequence[Request]], policy: Policy = BUSY, state: States | None = None
) -> list[Processed]:
    """Process segments one after the other; return what came of each."""
    state = state or states()
    found = []
    for number, requests in enumerate(segments):
        made = process_sampled(
            requests, (), Rules(), Sampling(policy, 1, state, f"segment {number}")
        )
        assert made.states is not None
        state = made.states
        found.append(made)
    return found


def busy(
    rng: np.random.Generator, segments: int = 4, traces: int = 800, logs: int = 800
) -> list[list[Request]]:
    """Return segments of two requests each of traces and of logs, five seconds apart."""
    return [
        [
            make(rng, size // 2, start_ns=NOW + (5 * number + half) * SECOND)
            for half in range(2)
            for make, size in ((trace_request, traces), (log_request, logs))
        ]
        for number in range(segments)
    ]
