"""Rollups in the engine say what brute force over single calls says: in any time zone, at any window, however late."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from native_rows import rows_of, store_blocks
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_examples import pairs

from headgate.collector.check import check
from headgate.collector.process import Request, process
from headgate.collector.rules import NS_PER_DAY, Rules
from headgate.collector.signals import Signal
from headgate.queries.periods import periods
from headgate.queries.window import Window
from headgate.store.histogram import RELATIVE_ERROR, bucket_value_ns

# A zone of whole hours, of a half and of three quarters, and two whose clocks change, one of them with a half.
PLACES = {
    "Asia/Kolkata": datetime(2026, 8, 15, tzinfo=UTC),
    "Asia/Kathmandu": datetime(2026, 6, 15, tzinfo=UTC),
    "Europe/Berlin": datetime(2026, 3, 29, tzinfo=UTC),  # 23 hours
    "Europe/Berlin again": datetime(2026, 10, 25, tzinfo=UTC),  # 25 hours
    "America/St_Johns": datetime(2026, 3, 8, tzinfo=UTC),
    "America/St_Johns again": datetime(2026, 11, 1, tzinfo=UTC),
}


def request(calls: list[tuple[int, int]], arrival_ns: int, state: str = "") -> Request:
    """Return a request of one server span a call: (start, duration), both in ns."""
    message = ExportTraceServiceRequest()
    resource = {"attributes": pairs({"service.name": "shop", "service.version": "1"})}
    spans = message.resource_spans.add(resource=resource).scope_spans.add().spans
    for start_ns, duration_ns in calls:
        spans.add(
            name="GET /",
            kind=2,
            trace_state=state,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + duration_ns,
        )
    body = message.SerializeToString()
    return Request(Signal.TRACES, body, check(Signal.TRACES, body), arrival_ns)


@pytest.fixture
def kept(store):
    """Return a store whose rollups never expire."""
    for table in ("usage_minute", "usage_quarter", "usage_day", "dimension_quarter"):
        store.client().command(f"ALTER TABLE {table} REMOVE TTL")
    return store


def test_days_and_hours_of_any_zone(kept):
    """From quarter hours, every local day and hour has its own calls, days of 23 and 25 hours included."""
    rng = np.random.default_rng(7)
    starts = {
        place: (
            int(middle.timestamp() - 2 * 86_400) * 10**9 + rng.integers(0, 4 * NS_PER_DAY, 3000)
        ).tolist()
        for place, middle in PLACES.items()
    }
    for number, times in enumerate(starts.values()):
        calls = request([(start, 1000) for start in times], max(times))
        store_blocks(kept, f"segment-{number}", process([calls]))
    tables = {
        "usage_quarter": "SELECT toUnixTimestamp(Time), sum(Calls) FROM usage_quarter GROUP BY Time",
        "dimension_quarter": "SELECT toUnixTimestamp(Time), sum(Calls) FROM dimension_quarter"
        " WHERE Dimension = 'service_version' GROUP BY Time",
    }
    lengths = set()
    for table, sql in tables.items():
        rows = np.array(kept.client().query(sql).result_rows, np.int64)
        for place, middle in PLACES.items():
            zone = ZoneInfo(place.removesuffix(" again"))
            window = Window(middle - timedelta(days=2), middle + timedelta(days=2))
            inside = (rows[:, 0] >= window.since.timestamp()) & (
                rows[:, 0] < window.until.timestamp()
            )
            for step in ("day", "hour"):
                grid = periods(window, step, zone)
                found = Counter()
                numbers = grid.index(rows[inside, 0]).tolist()
                for at, calls in zip(numbers, rows[inside, 1].tolist(), strict=True):
                    found[grid.label(at)] += calls
                assert found == Counter(local(start, zone, step) for start in starts[place]), (
                    table, place, step,
                )  # fmt: skip
                if step == "day":
                    lengths |= set(np.diff(grid.edges_s).tolist())
    assert lengths == {23 * 3600, 24 * 3600, 25 * 3600}


def local(start_ns: int, zone: ZoneInfo, step: str) -> str:
    """Return the local day or hour of a time, as a clock on the wall and its offset say."""
    wall = datetime.fromtimestamp(start_ns // 10**9, UTC).astimezone(zone)
    if step == "day":
        return wall.date().isoformat()
    return wall.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")


@pytest.mark.parametrize("shape", ["lognormal", "two humps", "constant", "one call"])
def test_percentiles_of_any_window(kept, shape):
    """Whatever minutes a window begins and ends with, percentiles are within 1.1 % of those of the single calls."""
    rng = np.random.default_rng(11)
    count = 1 if shape == "one call" else 6000
    base = 1_790_000_000 // 86_400 * 86_400
    start = base * 10**9 + rng.integers(0, 7200, count) * 10**9
    duration = {
        "lognormal": rng.lognormal(16, 2, count),
        "two humps": np.where(rng.random(count) < 0.5, 1e3, 9e9) * rng.uniform(0.9, 1.1, count),
        "constant": np.full(count, 12_345_678.0),
        "one call": np.full(count, 3.0),
    }[shape].astype(np.int64)
    calls = list(zip(start.tolist(), duration.tolist(), strict=True))
    store_blocks(kept, "segment", process([request(calls, int(start.max()))]))
    windows = [(0, 7200), *(sorted(pair) for pair in (rng.integers(0, 121, (8, 2)) * 60).tolist())]
    for table, step in (("usage_minute", 60), ("usage_quarter", 900)):
        for begin, end in windows:
            since, until = begin // step * step + base, -(-end // step) * step + base
            ((cells,),) = (
                kept.client()
                .query(
                    f"SELECT sumMap(DurationBuckets) FROM {table}"
                    " WHERE Time >= {since:DateTime('UTC')} AND Time < {until:DateTime('UTC')}",
                    parameters={"since": since, "until": until},
                )
                .result_rows
            )
            inside = duration[(start >= since * 10**9) & (start < until * 10**9)]
            assert sum(cells.values()) == inside.size
            if not inside.size:
                continue
            buckets = np.array(sorted(cells), np.int16)
            values = np.repeat(bucket_value_ns(buckets), [cells[b] for b in buckets.tolist()])
            for q in (0, 0.01, 0.5, 0.95, 0.99, 0.999, 1):
                exact = np.quantile(inside, q)
                assert abs(np.quantile(values, q) - exact) <= RELATIVE_ERROR * exact * (1 + 1e-12)


def test_late_replayed_and_retried_calls_count_once(kept):
    """Segments that come again, whole or in part, and calls that come days late are counted once, in their minutes."""
    now_ns = 1_790_000_000 * 10**9
    rng = np.random.default_rng(3)
    sent = []
    for number in range(6):
        late, prompt = (rng.integers(0, most, 50).tolist() for most in (80, 3600))
        calls = [(now_ns - days * NS_PER_DAY - 5, 1000 + number) for days in late]
        calls += [(now_ns - seconds * 10**9, 7) for seconds in prompt]
        segment = process([request(calls, now_ns, "ot=th:8")])
        sent += calls
        for attempt in range(3):
            blocks = segment[: len(segment) // 2] if attempt == 0 else segment
            store_blocks(kept, f"segment-{number}", blocks)
    for table, unit in (("usage_minute", 60), ("usage_quarter", 900), ("usage_day", 86_400)):
        rows = kept.client().query(
            f"SELECT toUnixTimestamp(Time), sum(Calls), sum(CallsAdjusted), sum(DurationSum) FROM {table} GROUP BY 1"
        )
        expected: dict[int, list[float]] = {}
        for start_ns, duration_ns in sent:
            cell = expected.setdefault(start_ns // 10**9 // unit * unit, [0, 0, 0])
            cell[0] += 1
            cell[1] += 2
            cell[2] += duration_ns
        assert {row[0]: list(row[1:]) for row in rows.result_rows} == expected, table
    for table in ("dimension_quarter", "dimension_day"):
        total = f"SELECT sum(Calls), sum(CallsAdjusted) FROM {table} WHERE Dimension = 'service_version'"
        assert kept.client().query(total).result_rows == [(600, 1200)], table


def test_no_clock_makes_a_storm_of_partitions():
    """Times of every day from 1970 to 2262 become few partitions; what can be keeps its time, the rest is counted."""
    arrival_ns = 1_790_000_000 * 10**9
    days = 2**63 // NS_PER_DAY
    times = [min(day * NS_PER_DAY + 5, 2**63 - 1) for day in range(days)]
    found = process([request([(t, 1000) for t in times] + [(0, 0), (2**64 - 2, 1)], arrival_ns)])
    rules = Rules()
    believed = [t for t in times if -rules.oldest_ns <= t - arrival_ns <= rules.newest_ns]
    assert len(believed) == 90
    for block in found:
        rows = rows_of([block])[block.table]
        if block.table in {"otel_traces", "events"}:
            assert len({row["Timestamp"] // NS_PER_DAY for row in rows}) <= 50
        elif "Time" in rows[0] and block.table != "ledger":
            assert len({row["Time"] // 86_400 for row in rows}) <= 50
    rows = rows_of(found)
    stored = Counter(row["Timestamp"] for row in rows["otel_traces"])
    assert stored == Counter({**dict.fromkeys(believed, 1), arrival_ns: len(times) + 2 - 90})
    assert sum(row["Corrected"] for row in rows["ledger"]) == len(times) + 2 - 90
    assert sum(row["Calls"] for row in rows["usage_minute"]) == len(times) + 2
