"""Sampled rows answer as the whole would, within what they say of their error; events are thinned as people.

One population of calls is stored whole, and again as a sampler leaves it: traces with R below the threshold of their
outcome are gone, the others carry it in their trace state; events are those of the people kept at the time.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from headgate.queries import Estimate, run
from headgate.queries.estimate import noise, variance
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=20)
TRACES = 6000
WHOLE = 1 << 56
FULL, SAMPLED = "sampled_full", "sampled_thin"
WINDOW = {"since": SINCE, "until": NOW, "now": NOW}
HIGHER, LOWER = (
    0x60000000000000,
    0x40000000000000,
)  # thresholds of events: p = 0.625 before, 0.75 in the last ten hours

POPULATION = """
CREATE TABLE calls ENGINE = Memory AS
SELECT
    intDiv(number, 6) AS trace,
    lower(concat(hex(sipHash64(trace, 1)), hex(sipHash64(trace, 2)))) AS TraceId,
    toString(number) AS SpanId,
    cityHash64(trace, 'when') % 72000 AS second,
    fromUnixTimestamp64Nano(toInt64({start} + second) * 1000000000 + number, 'UTC') AS Timestamp,
    cityHash64(trace, 'fails') % 10 = 0 AS failed,
    if(number % 6 = 0, 'order', ['price', 'stock', 'mail'][1 + number % 3]) AS Operation,
    if(Operation = 'order', 'shop', 'depot') AS ServiceName,
    toUInt64(1000000 * exp(cityHash64(number, 'long') % 1000 / 250.)) AS Duration,
    if(cityHash64(trace, 'known') % 8 = 0, '', concat('u', toString(cityHash64(trace, 'who') % 900))) AS UserId,
    if(UserId = '', concat('a', toString(trace)), concat(UserId, '-', toString(intDiv(second, 20000)))) AS SessionId
FROM numbers({rows})
WHERE number % 6 <= cityHash64(trace, 'size') % 6
"""
SPANS = """
INSERT INTO {target}.otel_traces (Timestamp, TraceId, SpanId, TraceState, SpanName, SpanKind, ServiceName,
    SpanAttributes, Duration, StatusCode, Events.Timestamp, Events.Name, Events.Attributes)
SELECT Timestamp, TraceId, SpanId, {state}, Operation, 'Server', ServiceName,
    mapFilter((k, v) -> v != '', map('user.id', UserId, 'session.id', SessionId)), Duration,
    if(failed, 'Error', 'Unset'), if(failed, [Timestamp], []), if(failed, ['exception'], []),
    if(failed, [map('exception.type', Operation, 'exception.message', 'broken')], [])
FROM calls {where}
"""
ROLLUPS = (
    """
    INSERT INTO {target}.usage_minute
    SELECT toStartOfMinute(Timestamp) AS Time, ServiceName, Operation, 'Server', true,
        if(failed, 'error', 'ok') AS outcome, count(), count(), sum(toFloat64(Duration)),
        sum(toFloat64(Duration) * toFloat64(Duration)),
        min(Duration), max(Duration), sumMap(map(toInt16(ceil(log2(toFloat64(Duration)) * 32) - 1), toUInt64(1)))
    FROM calls GROUP BY Time, ServiceName, Operation, outcome
    """,
    """
    INSERT INTO {target}.user_hour
    SELECT toStartOfHour(Timestamp) AS Time, ServiceName, Operation, xxHash64(UserId) AS hash, count(), countIf(failed)
    FROM calls WHERE UserId != '' GROUP BY Time, ServiceName, Operation, hash
    """,
)
EVENTS = """
INSERT INTO {target}.events (Timestamp, Kind, ServiceName, Operation, Outcome, Duration, UserId, UserHash, SessionId,
    TraceId, SpanId, Fingerprint, ErrorType, ErrorMessage, Weight)
SELECT Timestamp, 'span', ServiceName, Operation, if(failed, 'error', 'ok'), Duration, UserId,
    if(UserId = '', 0, xxHash64(UserId)), SessionId, TraceId, SpanId,
    if(failed, cityHash64(Operation), 0), if(failed, Operation, ''), if(failed, 'broken', ''),
    72057594037927936 / (72057594037927936 - threshold)
FROM (SELECT *, {threshold} AS threshold, if(UserId = '', xxHash64(SessionId), xxHash64(UserId)) AS person FROM calls)
WHERE bitAnd(person, 72057594037927935) >= threshold
"""


@pytest.fixture(scope="module")
def stores(engine_path: Path) -> Iterator[tuple[Store, Store]]:
    """Yield the whole and what a sampler leaves; both have the same exact rollups."""
    found = tuple(embedded_store(engine_path, name) for name in (FULL, SAMPLED))
    for store in found:
        migrate(store)
    client = found[0].client()
    client.command("SYSTEM STOP TTL MERGES")
    client.command(POPULATION.format(start=int(SINCE.timestamp()), rows=6 * TRACES))
    client.command(SPANS.format(target=FULL, state="''", where=""))
    # Failures are kept at 1/2 (th 8), the rest at 1/8 (th e), by the low 56 bits of the trace id.
    client.command(
        SPANS.format(
            target=SAMPLED,
            state="if(failed, 'ot=th:8', 'ot=th:e')",
            where="WHERE reinterpretAsUInt64(reverse(unhex(concat('00', substring(TraceId, 19)))))"
            f" >= if(failed, {WHOLE // 2}, {WHOLE // 8 * 7})",
        )
    )
    for target in (FULL, SAMPLED):
        for statement in ROLLUPS:
            client.command(statement.format(target=target))
    client.command(EVENTS.format(target=FULL, threshold="0"))
    early = f"if(second < 36000, {HIGHER}, {LOWER})"
    client.command(EVENTS.format(target=SAMPLED, threshold=early))
    middle = SINCE + timedelta(hours=10)
    for start, end, threshold in ((SINCE, middle, HIGHER), (middle, NOW, LOWER)):
        row = {
            "Time": start,
            "Signal": "events",
            "EventsThreshold": threshold,
            "EventsFrom": start,
            "EventsTo": end - timedelta(microseconds=1),
        }
        found[1].client().insert("sampling_history", [list(row.values())], column_names=list(row))
    yield found
    for store in found:
        store.client().command(f"DROP DATABASE `{store.database}` SYNC")
        store.close()


def estimates(record: Any, prefix: str = "") -> dict[str, Estimate]:
    """Return the estimates of a record by name."""
    found = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Estimate):
            found[f"{prefix}{field.name}"] = value
    return found


def numbers(answer: Any) -> dict[str, Estimate]:
    """Return the estimates of an answer's summary, its lists and its rows, by name."""
    found = estimates(answer.summary, "all ")
    lists = [
        (field.name, value)
        for field in fields(answer.summary)
        if isinstance(value := getattr(answer.summary, field.name), tuple)
    ]
    for name, records in [("rows", answer.rows), *lists]:
        for record in records:
            if is_dataclass(record):
                kinds = ("service", "operation", "error_type", "date", "period")
                label = [getattr(record, kind) for kind in kinds if hasattr(record, kind)]
                found |= estimates(record, f"{name} {label} ")
    return found


@pytest.mark.parametrize("report", ["usage", "performance", "errors"])
def test_sampled_rows_answer_within_their_error(stores: tuple[Store, Store], report: str) -> None:
    """Rollups, all raw rows and sampled rows: the first two agree exactly, the third within its intervals."""
    whole, sampled = stores
    rollup = numbers(run(report, sampled, **WINDOW))
    raw = numbers(run(report, whole, where={"nowhere": ""}, **WINDOW))
    weighted = numbers(run(report, sampled, where={"nowhere": ""}, **WINDOW))
    assert raw.keys() == weighted.keys()
    held = []
    for name, exact in raw.items():
        assert exact.exact, name
        if rollup[name].exact:
            assert rollup[name].value == pytest.approx(exact.value, rel=1e-9), name
        found = weighted[name]
        bounds = (found.low, found.high)
        low, high = (exact.value if bound is None else bound for bound in bounds)
        if None in bounds and found.reason is None:
            assert low <= exact.value <= high, name  # a bound that is certain
        else:
            held.append(low <= exact.value * (1 + 1e-6) and exact.value * (1 - 1e-6) <= high)
        if found.standard_error:
            assert abs(found.value - exact.value) < 4.5 * found.standard_error, name
    assert len(held) > 15
    assert np.mean(held) >= 0.9


def test_errors_are_those_of_traces(stores: tuple[Store, Store]) -> None:
    """The standard error of each count is that of the traces in the table, for one operation and for all."""
    _, sampled = stores
    answer = run("usage", sampled, where={"nowhere": ""}, **WINDOW)
    rows = sampled.client().query(
        "SELECT SpanName, cityHash64(TraceId) AS draw, Weight FROM otel_traces"
    )
    names, draws, weights = zip(*rows.result_rows, strict=True)
    operation, draw, weight = np.array(names), np.array(draws, np.uint64), np.array(weights)
    every = noise(draw, weight)
    assert answer.summary.calls.standard_error == pytest.approx(math.sqrt(variance(every)))
    for row in answer.rows:
        own = variance(every[operation == row.operation])
        assert row.calls.standard_error == pytest.approx(math.sqrt(own))
    alone = math.sqrt(float((weight * (weight - 1)).sum()))
    assert answer.summary.calls.standard_error > 1.3 * alone


def test_events_are_thinned_to_people_kept_throughout(stores: tuple[Store, Store]) -> None:
    """Over two thresholds the larger counts: sessions become estimates that hold, users and calls stay exact."""
    whole, sampled = stores
    truth, found = (run("usage", store, **WINDOW) for store in (whole, sampled))
    assert truth.exact
    assert found.source.people == 1 - HIGHER / WHOLE
    assert found.summary.calls == truth.summary.calls
    assert found.summary.unique_users == truth.summary.unique_users
    assert any("62.5 % of all people" in note for note in found.source.notes)
    for row, exact in zip((found.summary, *found.rows), (truth.summary, *truth.rows), strict=True):
        sessions = row.sessions
        assert not sessions.exact
        assert abs(sessions.value - exact.sessions.value) < 4 * sessions.standard_error
        assert sessions.low <= sessions.value <= sessions.high
    late = run("usage", sampled, **{**WINDOW, "since": NOW - timedelta(hours=9)})
    assert late.source.people == 1 - LOWER / WHOLE


def test_events_count_every_failure_by_weight(stores: tuple[Store, Store]) -> None:
    """Failures by kind are counted from thinned events with the weight of the window, not of the row's own time."""
    whole, sampled = stores
    truth = {row.error_type: row.count for row in run("errors", whole, **WINDOW).rows}
    answer = run("errors", sampled, **WINDOW)
    assert not answer.exact
    found = {row.error_type: row.count for row in answer.rows}
    assert found.keys() == truth.keys()
    kept = sampled.client().query(
        "SELECT ErrorType, count() FROM events"
        f" WHERE Outcome != 'ok' AND bitAnd(Person, {WHOLE - 1}) >= {HIGHER} GROUP BY ErrorType"
    )
    for kind, count in kept.result_rows:
        assert found[kind].value == pytest.approx(count / (1 - HIGHER / WHOLE))
        assert abs(found[kind].value - truth[kind].value) < 4.5 * found[kind].standard_error


def test_a_window_without_thinning_is_exact(stores: tuple[Store, Store]) -> None:
    """Where the history has no threshold in the window, events are all there and nothing is estimated."""
    _, sampled = stores
    earlier = run(
        "usage", sampled, **{**WINDOW, "since": SINCE - timedelta(hours=5), "until": SINCE}
    )
    assert earlier.source.people == 1
    assert earlier.exact
    assert not any("sample" in note for note in earlier.source.notes)
