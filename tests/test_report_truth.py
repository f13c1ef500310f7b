"""100 000 spans with known counts, errors, durations and users: every report equals the brute-force answer.

The spans are drawn once; NumPy counts them directly, and three stores hold them: one with rollups (counts exact,
percentiles within 1.1 %), the same one read through its raw rows, and one whose only table is that of the stock
OpenTelemetry exporter. All must give the same numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from headgate.queries import run
from headgate.store import embedded_store, migrate
from headgate.store.fingerprint import fingerprint
from headgate.store.histogram import RELATIVE_ERROR, bucket_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from headgate.queries import Answer
    from headgate.store import Store

COUNT = 100_000
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOURS = 60
WINDOW = {"since": NOW - timedelta(hours=HOURS), "until": NOW}
SERVICES = np.array(["shop", "stock", "mail"])
OPERATIONS = np.array(["GET /cart", "POST /order", "poll", "send"])
BUGS = [
    ("KeyError", 'Traceback:\n  File "/srv/{}/cart.py", line 12, in get', "no item {}"),
    ("ValueError", 'Traceback:\n  File "/srv/{}/order.py", line 40, in post', "bad total {}"),
    ("ConnectTimeout", "", "no answer from 10.0.0.{} in time"),
]

STOCK = """
CREATE TABLE otel_traces
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    Links Nested (TraceId String, SpanId String, TraceState String,
        Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
"""
# The rollups here are made from the drawn truth, not by the statements under test.
FILL = (
    """
    INSERT INTO {target}otel_traces
    SELECT
        fromUnixTimestamp64Nano(time_ns, 'UTC'), toString(id), toString(id), if(entry, '', 'parent'), state, operation,
        multiIf(NOT entry, 'Client', id % 2, 'Server', 'Internal'), service,
        map('service.name', service, 'deployment', 'prod'), 'scope', '1',
        mapFilter((k, v) -> v != '', map('user.id', user, 'session.id', session, 'shade', shade)),
        duration, if(outcome = 'ok', 'Unset', 'Error'), if(type = '', message, ''),
        if(type = '', [], [fromUnixTimestamp64Nano(time_ns, 'UTC')]), if(type = '', [], ['exception']),
        if(type = '', [], [map('exception.type', type, 'exception.stacktrace', stack, 'exception.message', message)]),
        [], [], [], []
    FROM truth
    """,
    """
    INSERT INTO usage_minute
    SELECT toStartOfMinute(fromUnixTimestamp64Nano(time_ns, 'UTC')) AS Time, service, operation,
        multiIf(NOT entry, 'Client', id % 2, 'Server', 'Internal') AS kind, entry, outcome,
        count(), sum(1.), sum(toFloat64(duration)), sum(toFloat64(duration) * toFloat64(duration)),
        min(duration), max(duration), sumMap(map(bucket, toUInt64(1)))
    FROM truth GROUP BY Time, service, operation, kind, entry, outcome
    """,
    """
    INSERT INTO user_hour
    SELECT toStartOfHour(fromUnixTimestamp64Nano(time_ns, 'UTC')) AS Time, service, operation, xxHash64(user) AS hash,
        count(), countIf(outcome != 'ok')
    FROM truth WHERE entry AND user != '' GROUP BY Time, service, operation, hash
    """,
    """
    INSERT INTO events
    SELECT fromUnixTimestamp64Nano(time_ns, 'UTC'), 'span', service, operation, outcome, duration, user,
        if(user = '', 0, xxHash64(user)), session, toString(id), toString(id), fingerprint, type, message,
        NULL, mapFilter((k, v) -> v != '', map('user.id', user, 'session.id', session, 'shade', shade)), 1, 1
    FROM truth WHERE entry
    """,
)


def draw(seed: int) -> dict[str, np.ndarray]:
    """Draw the spans: skewed operations, log-normal durations, some users, three bugs with changing ids."""
    random = np.random.default_rng(seed)
    kind = random.choice(6, COUNT, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    start = int((NOW - timedelta(hours=HOURS)).timestamp()) * 10**9
    failed = random.random(COUNT) < 0.07 * (1 + kind)
    bug = random.choice(3, COUNT, p=[0.6, 0.3, 0.1])
    ids = random.integers(0, 250, COUNT)
    texts = [
        [part.format(ids[i]) for part in BUGS[bug[i]]] if failed[i] else ["", "", ""]
        for i in range(COUNT)
    ]
    kinds = np.array(["ok", "error", "timeout"])
    user = random.zipf(1.3, COUNT) % 700
    duration = random.lognormal(16, 1.2, COUNT).astype(np.uint64) + np.uint64(1)
    duration[random.random(COUNT) < 0.01] = 0
    return {
        "id": np.arange(COUNT, dtype=np.uint64),
        "time_ns": start + random.integers(0, HOURS * 3600 * 10**9, COUNT),
        "service": SERVICES[kind % 3],
        "operation": OPERATIONS[kind % 4],
        "entry": random.random(COUNT) < 0.8,
        "outcome": kinds[np.where(failed, np.where(bug == 2, 2, 1), 0)],
        "duration": duration,
        "bucket": bucket_index(duration),
        "user": np.where(random.random(COUNT) < 0.1, "", np.char.add("user-", user.astype(str))),
        "session": np.char.add("s", (user * 10 + random.integers(0, 3, COUNT)).astype(str)),
        "type": np.array([t[0] for t in texts]),
        "stack": np.array([t[1] for t in texts]),
        "message": np.array([t[2] for t in texts]),
        "fingerprint": np.array(
            [fingerprint(*(x.encode() for x in t)) if t[0] else 0 for t in texts], np.uint64
        ),
        "shade": np.where(random.random(COUNT) < 0.3, "dark", "light"),
        "state": np.full(COUNT, ""),
    }


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    return draw(20260101)


@pytest.fixture(scope="module")
def stores(engine_path: Path, truth: Mapping[str, np.ndarray]) -> Iterator[dict[str, Store]]:
    found = {name: embedded_store(engine_path, f"truth_{name}") for name in ("full", "stock")}
    migrate(found["full"])
    found["stock"].create_database()
    found["stock"].client().command(STOCK)
    client = found["full"].client()
    client.command("SYSTEM STOP TTL MERGES")
    types = {"id": "UInt64", "time_ns": "Int64", "duration": "UInt64", "fingerprint": "UInt64"}
    types |= {"bucket": "Int16", "entry": "Bool"}
    spec = ", ".join(f"{name} {types.get(name, 'String')}" for name in truth)
    client.command(f"CREATE TABLE truth ({spec}) ENGINE = Memory")
    client.insert(
        "truth",
        [column.tolist() for column in truth.values()],
        column_names=list(truth),
        column_oriented=True,
    )
    columns = ", ".join(
        row[0]
        for row in client.query("DESCRIBE TABLE otel_traces").result_rows
        if row[0] != "Weight"
    )
    for statement in FILL:
        target = statement.replace("{target}otel_traces", f"otel_traces ({columns})")
        client.command(target)
    client.command(FILL[0].format(target="truth_stock."))
    yield found
    for store in found.values():
        store.client().command(f"DROP DATABASE `{store.database}` SYNC")
        store.close()


def ask(stores: Mapping[str, Store], how: str, report: str, **question: Any) -> Answer:
    """Ask for the drawn window: from rollups, from raw rows (an attribute that all have), or from the stock table."""
    if how == "raw":
        question["where"] = {"deployment": "prod"} | question.get("where", {})
    store = stores["stock" if how == "stock" else "full"]
    answer = run(report, store, now=NOW, **{**WINDOW, **question})
    expected = {"rollup": "usage_minute", "raw": "otel_traces", "stock": "otel_traces"}[how]
    assert answer.source.name == expected
    assert answer.exact
    return answer


HOWS = pytest.mark.parametrize("how", ["rollup", "raw", "stock"])


def masks(truth: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str, np.ndarray]]:
    for service in SERVICES:
        for operation in OPERATIONS:
            mask = (
                truth["entry"] & (truth["service"] == service) & (truth["operation"] == operation)
            )
            if mask.any():
                yield str(service), str(operation), mask


def peak(time_ns: np.ndarray) -> int:
    return int(np.unique(time_ns // (86400 * 10**9), return_counts=True)[1].max())


@HOWS
def test_usage_is_the_brute_force_answer(
    stores: Mapping[str, Store], truth: Mapping[str, np.ndarray], how: str
) -> None:
    """Calls, users, sessions, peaks, last use and success rate of each operation and of all equal direct counting."""
    answer = ask(stores, how, "usage")
    rows = {(row.service, row.operation): row for row in answer.rows}
    expected = [*masks(truth), (None, None, truth["entry"])]
    assert len(rows) == len(expected) - 1
    for service, operation, mask in expected:
        row = answer.summary if service is None else rows[service, operation]
        users = truth["user"][mask]
        last = datetime.fromtimestamp(int(truth["time_ns"][mask].max()) / 1e9, UTC)
        assert row.calls.value == mask.sum()
        assert row.calls_per_day.value == round(mask.sum() / 2.5, 2)
        assert row.calls_per_week.value == mask.sum()
        assert row.unique_users.value == np.unique(users[users != ""]).size
        assert row.sessions.value == np.unique(truth["session"][mask]).size
        assert row.peak_daily_calls.value == peak(truth["time_ns"][mask])
        assert row.success_rate.value == round((truth["outcome"][mask] == "ok").mean(), 4)
        assert abs(row.last_used_at - last) < timedelta(milliseconds=1)
        assert row.hours_since_last_use == round((NOW - last) / timedelta(hours=1), 2)
    assert [row.calls.value for row in answer.rows] == sorted(
        (row.calls.value for row in answer.rows), reverse=True
    )


@HOWS
def test_performance_is_the_brute_force_answer(
    stores: Mapping[str, Store], truth: Mapping[str, np.ndarray], how: str
) -> None:
    """Counts, extremes, sums, means and deviations are exact; percentiles within 1.1 % of NumPy's."""
    answer = ask(stores, how, "performance")
    rows = {(row.service, row.operation): row for row in answer.rows}
    for service, operation, mask in [*masks(truth), (None, None, truth["entry"])]:
        row = answer.summary if service is None else rows[service, operation]
        ms = truth["duration"][mask] / 1e6
        assert row.calls.value == mask.sum()
        assert row.min_ms.value == ms.min()
        assert row.max_ms.value == pytest.approx(ms.max(), rel=1e-12)
        assert row.total_ms.value == pytest.approx(ms.sum(), rel=1e-12)
        assert row.mean_ms.value == pytest.approx(
            ms.mean(), abs=1e-6
        )  # reports are to the nanosecond
        assert row.std_dev_ms.value == pytest.approx(ms.std(ddof=1), rel=1e-9, abs=1e-6)
        for name, share in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99)):
            found = getattr(row, name).value
            assert found == pytest.approx(np.percentile(ms, share), rel=RELATIVE_ERROR, abs=1e-6)


@HOWS
def test_errors_are_the_brute_force_answer(
    stores: Mapping[str, Store], truth: Mapping[str, np.ndarray], how: str
) -> None:
    """Rates have calls as denominator; the same bug with other ids is one group, with its users and operations."""
    answer = ask(stores, how, "errors")
    entry, failed = truth["entry"], truth["entry"] & (truth["outcome"] != "ok")
    assert answer.summary.calls.value == entry.sum()
    assert answer.summary.failure_count.value == failed.sum()
    assert answer.summary.timeout_count.value == (entry & (truth["outcome"] == "timeout")).sum()
    assert answer.summary.error_rate.value == round(failed.sum() / entry.sum(), 4)
    assert answer.summary.groups == len(answer.rows) == len(BUGS)
    affected = truth["user"][failed]
    assert answer.summary.users_affected.value == np.unique(affected[affected != ""]).size
    for row in answer.rows:
        mask = failed & (truth["type"] == row.error_type)
        users = truth["user"][mask]
        first, last = int(truth["time_ns"][mask].min()), int(truth["time_ns"][mask].max())
        assert row.fingerprint == f"{int(truth['fingerprint'][mask][0]):016x}"
        assert row.count.value == mask.sum()
        assert row.users_affected.value == np.unique(users[users != ""]).size
        assert row.message == truth["message"][mask][truth["time_ns"][mask].argmax()]
        assert row.first_seen_at.timestamp() == pytest.approx(first / 1e9, abs=1e-5)
        assert row.last_seen_at.timestamp() == pytest.approx(last / 1e9, abs=1e-5)
        places = np.char.add(np.char.add(truth["service"][mask], " "), truth["operation"][mask])
        assert row.operations == tuple(np.unique(places))
    for part in answer.summary.reliability:
        mask = entry & (truth["service"] == part.service) & (truth["operation"] == part.operation)
        assert part.calls.value == mask.sum()
        assert part.success_rate.value == round((truth["outcome"][mask] == "ok").mean(), 4)
        low = proportion_confint(mask.sum() * part.success_rate.value, mask.sum(), method="wilson")[
            0
        ]
        assert part.proved_rate == pytest.approx(low, abs=2e-4)
    scores = [part.proved_rate for part in answer.summary.reliability]
    assert scores == sorted(scores, reverse=True)
    assert sum(day.calls.value for day in answer.summary.days) == entry.sum()


@pytest.mark.parametrize("report", ["usage", "performance", "errors"])
def test_every_source_gives_the_same_document(stores: Mapping[str, Store], report: str) -> None:
    """Rollups, raw rows and the stock exporter's table agree to the last digit that floating point keeps."""
    documents = []
    for how in ("rollup", "raw", "stock"):
        document = ask(stores, how, report).to_dict()
        for name in ("source", "notes"):
            del document["summary"][name]
        del document["params"]
        documents.append(document)
    assert near(documents[1], documents[0])
    assert near(documents[2], documents[0])


def near(a: Any, b: Any) -> bool:
    """Compare documents, numbers to 9 digits (sums are added in another order)."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(near(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(near, a, b))
    return a == pytest.approx(b, rel=1e-9) if isinstance(a, float) else a == b


def test_filters_by_name_and_attribute_are_the_brute_force_answer(
    stores: Mapping[str, Store], truth: Mapping[str, np.ndarray]
) -> None:
    """service, operation and where narrow to what direct counting narrows to; several where's must all hold."""
    mask = truth["entry"] & (truth["service"] == "shop") & (truth["operation"] == "GET /cart")
    for how in ("rollup", "raw", "stock"):
        answer = ask(stores, how, "usage", service="shop", operation="GET /cart")
        assert answer.summary.calls.value == mask.sum()
    dark = ask(stores, "raw", "usage", where={"shade": "dark"}, service="shop")
    shop = truth["entry"] & (truth["service"] == "shop")
    assert dark.summary.calls.value == (shop & (truth["shade"] == "dark")).sum()


def test_a_window_that_cuts_minutes_is_exact_from_raw_rows(
    stores: Mapping[str, Store], truth: Mapping[str, np.ndarray]
) -> None:
    """Raw rows answer for the very window; rollups for the smallest of whole steps around it, and say so."""
    since = NOW - timedelta(hours=7, minutes=13, seconds=7.5)
    until = NOW - timedelta(hours=1, minutes=2, seconds=3.25)
    low, high = (int(t.timestamp() * 4) * 250_000_000 for t in (since, until))
    inside = truth["entry"] & (truth["time_ns"] >= low) & (truth["time_ns"] < high)
    raw = ask(stores, "raw", "performance", since=since, until=until)
    assert raw.summary.calls.value == inside.sum()
    assert (raw.window.since, raw.window.until) == (since, until)
    wide = ask(stores, "rollup", "performance", since=since, until=until)
    minute = timedelta(minutes=1)
    assert wide.window.since == NOW - timedelta(hours=7, minutes=14)
    assert wide.window.until == NOW - timedelta(hours=1, minutes=2)
    assert wide.window.until - until < minute
    low, high = (int(t.timestamp()) * 10**9 for t in (wide.window.since, wide.window.until))
    inside = truth["entry"] & (truth["time_ns"] >= low) & (truth["time_ns"] < high)
    assert wide.summary.calls.value == inside.sum()
    assert ask(stores, "rollup", "usage", since=since, until=until).window == wide.window


def test_coarser_tiers_give_the_same_counts(stores: Mapping[str, Store]) -> None:
    """Asked later, when minutes and then quarters are gone, the coarser tables give the same totals."""
    day = {"since": datetime(2026, 11, 18, tzinfo=UTC), "until": datetime(2026, 11, 20, tzinfo=UTC)}
    by_tier = {}
    for later in (0, 30, 300):
        asked = {"now": NOW + timedelta(days=later), **day}
        # Two days are followed by the hour, unless hours are gone.
        natural = run("performance", stores["full"], **asked).summary.timeline
        assert len(natural) == (2 if later == 300 else 48)
        answer = run("performance", stores["full"], step="day", **asked)
        by_tier[answer.source.name] = answer.to_dict()["rows"]
    assert list(by_tier) == ["usage_minute", "usage_quarter", "usage_day"]
    assert near(by_tier["usage_quarter"], by_tier["usage_minute"])
    assert near(by_tier["usage_day"], by_tier["usage_minute"])
