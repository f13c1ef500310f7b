"""The ledger closes: everything received is stored or rejected, in items and bytes, in its minute and service."""

from __future__ import annotations

from dataclasses import replace

import otlp_strategies
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_rows import rows_of
from otlp_strategies import varint

from headgate.collector.check import REQUESTS, check
from headgate.collector.ledger import Entry, minute_of
from headgate.collector.process import Request, process
from headgate.collector.signals import Signal

MINUTE_NS = 60_000_000_000
NOON_NS = otlp_strategies.BASE_NS // MINUTE_NS * MINUTE_NS
NOON_S = NOON_NS // 10**9
FATES = ("Stored", "SampledOut", "Rejected", "Duplicate")


def traces(service: str, spans: int) -> bytes:
    attribute = {"key": "service.name", "value": {"string_value": service}}
    batch = {
        "resource": {"attributes": [attribute]},
        "scope_spans": [{"spans": [{"name": "x"}] * spans}],
    }
    return otlp_strategies.canonical(REQUESTS[Signal.TRACES], {"resource_spans": [batch]})


def ledger(requests: list[Request], rejected: list[Entry] | None = None) -> dict:
    """Return (items, bytes) stored and rejected by minute, signal and service."""
    requests = [replace(each, items=check(each.signal, each.body)) for each in requests]
    rows = rows_of(process(requests, rejected or [])).get("ledger", [])
    found = {}
    for row in rows:
        assert row["Received"] == sum(row[fate] for fate in FATES)
        assert row["ReceivedBytes"] == sum(row[f"{fate}Bytes"] for fate in FATES)
        key = (row["Time"], row["Signal"], row["ServiceName"])
        counts = [row[name] for fate in ("Stored", "Rejected") for name in (fate, f"{fate}Bytes")]
        before = found.get(key, [0, 0, 0, 0])
        found[key] = [a + b for a, b in zip(before, counts, strict=True)]
    return found


def test_by_minute_and_service():
    """Requests of one segment are told apart by minute of arrival and by service."""
    a, b = traces("a", 3), traces("b", 2)
    arrivals = [(a, 0), (b, MINUTE_NS - 1), (a + b, MINUTE_NS), (a, 2 * MINUTE_NS - 1)]
    requests = [Request(Signal.TRACES, body, 0, NOON_NS + at) for body, at in arrivals]
    assert ledger(requests) == {
        (NOON_S, b"traces", b"a"): [3, len(a), 0, 0],
        (NOON_S, b"traces", b"b"): [2, len(b), 0, 0],
        (NOON_S + 60, b"traces", b"a"): [6, 2 * len(a), 0, 0],
        (NOON_S + 60, b"traces", b"b"): [2, len(b), 0, 0],
    }


@pytest.mark.parametrize("signal", list(Signal))
def test_empty_batch_at_the_end(signal):
    """A resource without anything, last in a segment, has a minute and a service too."""
    assert ledger([Request(signal, b"\x0a\x00", 0, NOON_NS)]) == {
        (NOON_S, signal.encode(), b""): [0, 2, 0, 0]
    }


def test_nothing():
    """Requests without a resource make no rows: there is nothing to count them under."""
    assert process([]) == []
    assert ledger([Request(Signal.LOGS, b"", 0, NOON_NS)]) == {}


def test_bytes_of_no_batch():
    """Unknown fields before, between and behind batches are counted as well."""
    stray = varint(99 << 3) + varint(1)
    body = stray + traces("a", 1) + stray + traces("b", 1) + stray
    found = ledger([Request(Signal.TRACES, body, 2, NOON_NS)])
    assert [counts[0] for counts in found.values()] == [1, 1]
    assert sum(counts[1] for counts in found.values()) == len(body)


def test_rejected():
    """Refused requests are rows of their own, under no service."""
    body = traces("a", 2)
    refused = [
        Entry(minute_of(NOON_NS + 5), Signal.TRACES, b"", "Rejected", 1, 10),
        Entry(minute_of(NOON_NS + 6), Signal.LOGS, b"", "Rejected", 1, 7),
    ]
    assert ledger([Request(Signal.TRACES, body, 2, NOON_NS)], refused) == {
        (NOON_S, b"traces", b"a"): [2, len(body), 0, 0],
        (NOON_S, b"traces", b""): [0, 0, 1, 10],
        (NOON_S, b"logs", b""): [0, 0, 1, 7],
    }
    assert len(ledger([], refused)) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3)), min_size=1)
)
def test_sums(requests):
    """Items and bytes of all rows are those of all requests, however they arrived."""
    bodies = [(traces(service, count), count, minute) for service, count, minute in requests]
    made = [Request(Signal.TRACES, body, n, NOON_NS + m * MINUTE_NS) for body, n, m in bodies]
    found = ledger(made)
    assert sum(counts[0] for counts in found.values()) == sum(count for _, count, _ in bodies)
    assert sum(counts[1] for counts in found.values()) == sum(len(body) for body, _, _ in bodies)


def test_rows_that_are_missing_are_found():
    """A request that had more items when it arrived than rows were made of does not close, nor one that had fewer."""
    body = traces("a", 2)
    for had, received in ((2, 2), (3, 3), (1, 1)):
        rows = rows_of(process([Request(Signal.TRACES, body, had, NOON_NS)]))["ledger"]
        total = sum(row["Received"] for row in rows) % 2**64
        assert (total, sum(row["Stored"] for row in rows)) == (received, 2)
