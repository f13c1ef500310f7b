"""Requests become the rows that the slow twin finds in them: every field, in blocks and in the engine."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import otlp_examples
import otlp_strategies
import pytest
import twin
from hypothesis import HealthCheck, given, settings
from native_rows import FORMATS, differences, plain, rows_of, store_blocks

from headgate.collector.check import check
from headgate.collector.process import Request, process
from headgate.collector.rules import Identity, Rules
from headgate.collector.signals import Signal
from headgate.store.columns import COLUMNS

SIGNALS = pytest.mark.parametrize("signal", list(Signal))
PROPERTY = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
EXAMPLES = [
    Request(signal, body, check(signal, body), otlp_strategies.ARRIVAL_NS)
    for signal, body in otlp_examples.BODIES.items()
]


@SIGNALS
def test_every_field_of_every_table(signal):
    """Arbitrary requests, a few to a segment, give exactly the twin's rows."""

    @PROPERTY
    @given(otlp_strategies.requests(signal))
    def property_(requests):
        for request in requests:
            check(signal, request.body)
        blocks = process(requests)
        assert not differences(rows_of(blocks), twin.tables(requests))
        assert process(requests) == blocks

    property_()


RULES = Rules(
    dimensions=(("k", ("k", "service.name")), ("status", ("k.2", "http.status_code/100"))),
    identity=Identity(
        user=("k", "user.id"),
        session=("session.id", "enduser.id"),
        nobody=("u1", "\u00fc" * 100),
        also_hashed=("K",),
        key=b"a key of some length",
    ),
    oldest_ns=10**12,
    newest_ns=0,
)


@SIGNALS
def test_other_rules(signal):
    """Other dimensions, identities, hashing and limits of time give exactly the twin's rows, too."""

    @PROPERTY
    @given(otlp_strategies.requests(signal))
    def property_(requests):
        found = rows_of(process(requests, rules=RULES))
        assert not differences(found, twin.tables(requests, RULES))

    property_()


def test_all_signals_together():
    """A segment of all signals gives the rows of each, and fills every table."""
    found = rows_of(process(EXAMPLES))
    assert not differences(found, twin.tables(EXAMPLES))
    assert set(found) == set(COLUMNS) - {"sampling_history"}  # nothing was sampled


def test_pure():
    """The same requests give the same blocks, byte for byte: a retry must send what was sent before."""
    assert process(EXAMPLES) == process([replace(request) for request in EXAMPLES])


@SIGNALS
def test_how_requests_are_cut_does_not_matter(signal):
    """Requests written one after the other are one request: same rows, but for whose bytes are whose."""

    @settings(PROPERTY, max_examples=10)
    @given(otlp_strategies.requests(signal))
    def property_(requests):
        arrival_ns = requests[0].arrival_ns
        requests = [replace(request, arrival_ns=arrival_ns) for request in requests]
        body = b"".join(request.body for request in requests)
        joined = rows_of(process([Request(signal, body, check(signal, body), arrival_ns)]))
        assert not differences(rows_of(process(requests)), joined)

    property_()


def stored(store, table: str) -> list[dict]:
    """Return a table's rows as the engine gives them, in the collector's columns."""
    names = ", ".join(f"`{column.name}`" for column in COLUMNS[table])
    result = store.client().query(
        f"SELECT {names} FROM {table}",
        settings={"max_threads": 1},
        query_formats=FORMATS,
    )
    return [dict(zip(result.column_names, plain(row), strict=True)) for row in result.result_rows]


def summed(rows: list[dict], *keys: str) -> dict[tuple, dict]:
    """Sum rows with equal keys, as the engine does when it merges: counts, and maps of counts."""
    found: dict[tuple, dict] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        total = found.setdefault(key, defaultdict(float))
        for name, value in row.items():
            if name.endswith("Buckets"):
                cells = total.setdefault(name, defaultdict(int))
                for bucket, count in value:
                    cells[bucket] += count
            elif name == "DurationMin":
                total[name] = min(total.get(name, value), value)
            elif name == "DurationMax":
                total[name] = max(total.get(name, value), value)
            elif name not in keys:
                total[name] += value
    return found


RAW = [table for table in COLUMNS if table.startswith("otel_") or table == "events"]


def test_what_the_engine_gives_back(store):
    """Every raw row of every table comes back from the engine as the twin has it, duplicate keys included."""
    wanted = twin.tables(EXAMPLES)
    store_blocks(store, "segment", process(EXAMPLES))
    found = {table: stored(store, table) for table in RAW}
    assert not differences(found, {table: wanted[table] for table in RAW})
    keys = ("Time", "ServiceName", "Operation", "Kind", "Entry", "Outcome")
    usage = stored(store, "usage_minute")
    assert summed(usage, *keys) == summed(wanted["usage_minute"], *keys)
    keys = ("Time", "Dimension", "Value", "ServiceName", "Kind", "Outcome")
    dimensions = stored(store, "dimension_quarter")
    assert summed(dimensions, *keys) == summed(wanted["dimension_quarter"], *keys)


def test_bytes_that_are_not_text(store):
    """The engine keeps bytes that are not UTF-8."""
    body = otlp_examples.BODIES[Signal.TRACES].replace(
        "gr\u00fc\u00df".encode(), b"\xff\xfe\xc3((("
    )
    request = Request(Signal.TRACES, body, 3, otlp_strategies.ARRIVAL_NS)
    assert check(Signal.TRACES, body) == 3
    store_blocks(store, "segment", process([request]))
    found = stored(store, "otel_traces")
    assert not differences(
        {"otel_traces": found}, {"otel_traces": twin.tables([request])["otel_traces"]}
    )
    texts = [value for row in found for key, value in row["SpanAttributes"] if key == b"text"]
    assert texts == [b"\xff\xfe\xc3((("] * 2
