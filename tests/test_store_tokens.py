"""Exactly once: a repeated block is stored once, in its table and in every rollup behind it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

EVERY_INSERT = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def put(store, table: str, rows: list[dict], token: str, **settings) -> None:
    store.client().raw_insert(
        table,
        list(rows[0]),
        "\n".join(map(json.dumps, rows)),
        fmt="JSONEachRow",
        settings={**EVERY_INSERT, "insert_deduplication_token": token, **settings},
    )


def minutes(count: int, step: timedelta) -> list[dict]:
    """Return usage rows `step` apart, with numbers whose sums are exact."""
    return [
        {
            "Time": (DAY + i * step).strftime("%Y-%m-%d %H:%M:%S"),
            "ServiceName": f"service-{i % 3}",
            "Operation": "GET /",
            "Kind": "Server",
            "Entry": True,
            "Outcome": ("ok", "error")[i % 2],
            "Calls": i + 1,
            "CallsAdjusted": 2.0 * (i + 1),
            "DurationSum": 10.0 * i,
            "DurationSumSquares": 100.0 * i * i,
            "DurationMin": 1000 - i,
            "DurationMax": 1000 + i,
            "DurationBuckets": {"5": i + 1, str(i): 1},
        }
        for i in range(count)
    ]


def totals(store, table: str) -> tuple:
    (row,) = (
        store.client()
        .query(
            "SELECT sum(Calls), sum(CallsAdjusted), sum(DurationSum), sum(DurationSumSquares),"
            " min(DurationMin), max(DurationMax), sumMap(DurationBuckets),"
            f" uniqExact(ServiceName, Outcome) FROM {table}"
        )
        .result_rows
    )
    return row


def expected(rows: list[dict], times: int = 1) -> tuple:
    buckets: dict[int, int] = {}
    for row in rows:
        for key, count in row["DurationBuckets"].items():
            buckets[int(key)] = buckets.get(int(key), 0) + times * count
    return (
        times * sum(r["Calls"] for r in rows),
        times * sum(r["CallsAdjusted"] for r in rows),
        times * sum(r["DurationSum"] for r in rows),
        times * sum(r["DurationSumSquares"] for r in rows),
        min(r["DurationMin"] for r in rows),
        max(r["DurationMax"] for r in rows),
        dict(sorted(buckets.items())),
        len({(r["ServiceName"], r["Outcome"]) for r in rows}),
    )


USAGE = ("usage_minute", "usage_quarter", "usage_day")


@pytest.mark.parametrize("step", [timedelta(minutes=1), timedelta(hours=7)], ids=["hours", "days"])
def test_a_repeated_block_reaches_every_rollup_once(store, step):
    """Minute, quarter hour and day have a block's sums once, however often it is sent."""
    rows = minutes(100, step)
    for _ in range(3):
        put(store, "usage_minute", rows, "segment-a/usage_minute/0")
    store.close()
    put(store, "usage_minute", rows, "segment-a/usage_minute/0")
    for table in USAGE:
        assert totals(store, table) == expected(rows), table


def test_the_same_rows_under_another_token_count_again(store):
    """Two segments may hold equal rows: only the token makes a repetition."""
    rows = minutes(50, timedelta(minutes=7))
    put(store, "usage_minute", rows, "segment-a/usage_minute/0")
    put(store, "usage_minute", rows, "segment-b/usage_minute/0")
    put(store, "usage_minute", minutes(10, timedelta(minutes=1)), "segment-a/usage_minute/0")
    for table in USAGE:
        assert totals(store, table) == expected(rows, times=2), table


def test_a_block_that_failed_half_way_is_completed(store):
    """When the last rollup could not be written, the retry completes it and doubles nothing."""
    rows = minutes(100, timedelta(minutes=31))
    client = store.client()
    client.command("RENAME TABLE usage_day TO away")
    with pytest.raises(ClickHouseError):
        put(store, "usage_minute", rows, "segment-a/usage_minute/0")
    client.command("RENAME TABLE away TO usage_day")
    for _ in range(2):
        put(store, "usage_minute", rows, "segment-a/usage_minute/0")
    for table in USAGE:
        assert totals(store, table) == expected(rows), table


def test_the_setting_for_views_is_needed(store):
    """Without it a repetition doubles the rollups: why every insert sends it."""
    rows = minutes(10, timedelta(minutes=1))
    for _ in range(2):
        put(
            store,
            "usage_minute",
            rows,
            "segment-a/usage_minute/0",
            deduplicate_blocks_in_dependent_materialized_views=0,
        )
    assert totals(store, "usage_minute") == expected(rows)
    assert totals(store, "usage_day") == expected(rows, times=2)


def test_rollups_have_one_row_a_cell(store):
    """A merged quarter or day has one row per service, operation, kind, entry and outcome."""
    put(store, "usage_minute", minutes(60, timedelta(minutes=1)), "t")
    put(store, "usage_minute", minutes(60, timedelta(minutes=1)), "u")
    count = "SELECT toUnixTimestamp(Time), count() FROM {} FINAL GROUP BY Time ORDER BY Time"
    client = store.client()
    quarters = client.query(count.format("usage_quarter")).result_rows
    start = int(DAY.timestamp())
    assert quarters == [(start + 900 * i, 6) for i in range(4)]
    assert client.query(count.format("usage_day")).result_rows == [(start, 6)]


def test_users_are_counted_once(store):
    """The hour's rows of a user and the day's view behind them take a repeated block once."""
    rows = [
        {
            "Time": (DAY + timedelta(hours=i)).strftime("%Y-%m-%d %H:%M:%S"),
            "ServiceName": "shop",
            "Operation": "GET /",
            "UserHash": i % 5,
            "Calls": 2,
            "Errors": 1,
        }
        for i in range(60)
    ]
    for _ in range(3):
        put(store, "user_hour", rows, "segment-a/user_hour/0")
    for table in ("user_hour", "user_day"):
        result = store.client().query(
            f"SELECT sum(Calls), sum(Errors), uniqExact(UserHash) FROM {table}"
        )
        assert result.result_rows == [(120, 60, 5)], table
    days = store.client().query("SELECT count() FROM user_day FINAL").result_rows
    assert days == [(15,)], "three days of five users"


def test_spans_and_their_times_are_stored_once(store):
    """A repeated block of spans makes neither more spans nor more rows of trace times."""
    rows = [
        {
            "Timestamp": (DAY + timedelta(hours=i)).strftime("%Y-%m-%d %H:%M:%S.123456789"),
            "TraceId": f"{i % 10:032x}",
            "SpanId": f"{i:016x}",
        }
        for i in range(100)
    ]
    for _ in range(3):
        put(store, "otel_traces", rows, "segment-a/otel_traces/0")
    client = store.client()
    assert client.query("SELECT count() FROM otel_traces").result_rows == [(100,)]
    assert client.query("SELECT count() FROM otel_traces_trace_id_ts").result_rows == [(10,)]


def test_seen_keeps_first_and_last(store):
    """First and last use of a user survive blocks in any order."""
    for token, first, last in (("a", 5, 6), ("b", 1, 2), ("c", 3, 9)):
        row = {
            "UserHash": 2**64 - 1,
            "FirstSeen": f"2026-03-0{first} 00:00:00",
            "LastSeen": f"2026-03-0{last} 00:00:00",
        }
        put(store, "user_seen", [row], token)
    rows = store.client().query(
        "SELECT UserHash, toString(FirstSeen), toString(LastSeen) FROM user_seen FINAL"
    )
    assert rows.result_rows == [(2**64 - 1, "2026-03-01 00:00:00", "2026-03-09 00:00:00")]
