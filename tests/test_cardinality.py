"""Names beyond their limits are counted as `__other__`: nothing is lost, known names stay, repeats refuse the same."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_rows import rows_of
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_examples import pairs
from otlp_strategies import ARRIVAL_NS

from headgate.collector.cardinality import OTHER, Guard, Names
from headgate.collector.check import check
from headgate.collector.policy import Policy
from headgate.collector.process import Request, process, process_sampled
from headgate.collector.rules import NameLimits, Rules
from headgate.collector.sample import Sampling
from headgate.collector.signals import Signal
from headgate.collector.states import States

RULES = Rules(
    dimensions=(("route", ("http.route",)),),
    limits=NameLimits(services=3, operations=4, dimension_values=2),
)
HOUR_NS = 3_600_000_000_000
USE = st.tuples(*(st.integers(0, 7).map(str),) * 3)
JUDGED = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.dictionaries(st.integers(1, 12), st.integers(1, 9), min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(JUDGED, st.integers(0, 5), st.integers(1, 12))
def test_judging(segments, limit, most):
    """Segment by segment: known names stay, new ones with most calls are let in, each parent has its limit."""
    known: dict[tuple[int, int], int] = {}  # (parent, key) -> hour
    names, hour = Names.none(), 0
    for step, called in segments:
        hour += step
        known = {name: last for name, last in known.items() if last >= hour - 1}
        wanted = sorted((key % 3, -count, key) for key, count in called.items())
        before = set(known)
        for parent, _, key in wanted:
            if (parent, key) in before:
                known[parent, key] = hour
        room = most - len(before)
        for parent, _, key in wanted:
            siblings = sum(p == parent for p, _ in known)
            if (parent, key) not in known and siblings < limit and room > 0:
                known[parent, key] = hour
                room -= 1
        guard = Guard(names, hour, most=most)
        keys = np.array(list(called), np.uint64)
        refused = guard.judge(keys, keys % np.uint64(3), np.array(list(called.values())), limit)
        assert refused.tolist() == [(key % 3, key) not in known for key in called]
        names = Names.from_bytes(guard.names.to_bytes())
        found = zip(names.parent.tolist(), names.key.tolist(), names.hour.tolist(), strict=True)
        assert {(parent, key): last for parent, key, last in found} == known
        assert guard.refused.tolist() == sorted(
            k for k, no in zip(called, refused, strict=True) if no
        )
        again = Guard(names, hour, guard.refused)
        assert again.judge(keys, keys, keys, 0).tolist() == refused.tolist()


def request(uses: list[tuple[str, str, str]], arrival_ns: int = ARRIVAL_NS) -> Request:
    """Return a request of one server span a use: its service, its operation, its route."""
    message = ExportTraceServiceRequest()
    for number, (service, operation, route) in enumerate(uses):
        batch = message.resource_spans.add(
            resource={"attributes": pairs({"service.name": service})}
        )
        batch.scope_spans.add().spans.add(
            trace_id=number.to_bytes(16, "big"),
            name=operation,
            kind=2,
            start_time_unix_nano=ARRIVAL_NS,
            end_time_unix_nano=ARRIVAL_NS + 5,
            attributes=pairs({"http.route": route, "user.id": "ann"}),
        )
    body = message.SerializeToString()
    return Request(Signal.TRACES, body, check(Signal.TRACES, body), arrival_ns)


@settings(max_examples=60, deadline=None)
@given(st.lists(USE, min_size=1, max_size=60))
def test_limits_hold_and_nothing_is_lost(uses):
    """Every table has at most as many names as allowed and one more, all calls, and the ledger counts the others."""
    found = rows_of(process([request(uses)], rules=RULES))
    usage = Counter()
    operations = defaultdict(set)
    for row in found["usage_minute"]:
        usage[row["ServiceName"], row["Operation"]] += row["Calls"]
        operations[row["ServiceName"]].add(row["Operation"])
    assert sum(usage.values()) == len(uses)
    named = {name for name in operations if name != OTHER}
    assert len(named) == min(3, len({service for service, *_ in uses}))
    assert all(len(names - {OTHER}) <= 4 for names in operations.values())
    assert operations.get(OTHER, set()) <= {OTHER}
    for (service, operation), calls in usage.items():
        if OTHER not in (service, operation):
            given = sum((s.encode(), o.encode()) == (service, operation) for s, o, _ in uses)
            assert calls == given
    values = defaultdict(set)
    for row in found["dimension_quarter"]:
        values[row["ServiceName"]].add(row["Value"])
    assert sum(row["Calls"] for row in found["dimension_quarter"]) == len(uses)
    assert all(len(names - {OTHER}) <= 2 for names in values.values())
    hours = Counter()
    for row in found["user_hour"]:
        hours[row["ServiceName"], row["Operation"]] += row["Calls"]
    assert hours == usage
    assert {row["ServiceName"] for row in found["ledger"]} == set(operations)
    assert sum(row["Stored"] for row in found["ledger"]) == len(uses)
    raw = Counter((row["ServiceName"], row["SpanName"]) for row in found["otel_traces"])
    assert raw == Counter((s.encode(), o.encode()) for s, o, _ in uses)
    within = len(named) == len({s for s, *_ in uses}) and not any(
        OTHER in names for names in (*operations.values(), *values.values())
    )
    assert (sum(row["Other"] for row in found["ledger"]) == 0) == within


def sampled(requests: list[Request], states: States, chosen=None):
    return process_sampled(requests, (), RULES, Sampling(Policy(), 1, states, "part", chosen))


def test_a_repeat_refuses_the_same():
    """By its plan a segment has the same rows, whatever names have places by then."""
    states = States.new(iter(f"{i:032x}" for i in range(9)).__next__)
    flood = [request([(str(i % 5), str(i), str(i)) for i in range(200)])]
    first = sampled(flood, states)
    again = sampled(flood, first.states, first.chosen)
    assert again.blocks == first.blocks
    assert again.chosen.refused.size > 100
    assert sampled(flood, first.states).chosen.refused.size > 100
    assert States.from_bytes(first.states.to_bytes()).names.key.tolist() == (
        first.states.names.key.tolist()
    )


@pytest.mark.parametrize(("hours", "known"), [(0, True), (1, True), (2, False)])
def test_a_known_name_keeps_its_place(hours, known):
    """A flood of new names crowds out none that was used in this hour or the one before."""
    states = States.new(iter(f"{i:032x}" for i in range(9)).__next__)
    quiet = [("shop", "GET /", "r")]
    states = sampled([request(quiet)], states).states
    flood = [("flood", "x", "r")] * 2 + [(f"new {i}", "x", "r") for i in range(50)] * 2
    later = ARRIVAL_NS + hours * HOUR_NS
    found = rows_of(sampled([request(flood + quiet, later)], states).blocks)
    assert (b"shop" in {row["ServiceName"] for row in found["usage_minute"]}) == known


def test_names_of_any_length_and_the_word_itself():
    """A value that is too long is counted as other, and a client that sends the word is no special case."""
    word = OTHER.decode()
    uses = [(word, word, word), ("shop", word, "r" * 257), ("shop", "GET /", "r")]
    found = rows_of(process([request(uses)], rules=RULES))
    usage = {(row["ServiceName"], row["Operation"]) for row in found["usage_minute"]}
    assert usage == {(OTHER, OTHER), (b"shop", OTHER), (b"shop", b"GET /")}
    values = [(row["ServiceName"], row["Value"]) for row in found["dimension_quarter"]]
    assert sorted(values) == [(OTHER, OTHER), (b"shop", OTHER), (b"shop", b"r")]
