"""A month of a busy service, made inside the engine, and how long every report takes on it.

30 days of a million requests a day (by default), made by arithmetic on the request's number, so that the truth is
known without counting: request i is of operation i mod 40, fails when i mod 50 = 7, belongs to user i * 7919 mod users.
Hours are shaped like days. Filled are `events`, the rollups, users, dimensions, and raw spans of the last days.

Run it with `make bench-month`; `--data DIR` keeps the store for further runs. Times are wall-clock, warm, the best of
three, beside pandas doing the same count on the same rows in memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from headgate.queries import ReportError, names, run
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.store import Store

OPERATIONS, SERVICES, USERS = 40, 4, 100_000
# How much of a day's load falls into each hour (UTC), and of a week's into each day, Monday first.
HOURS = (2, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 8, 8, 9, 9, 8, 7, 7, 6, 5, 5, 4, 3, 3)

EVENTS = """
INSERT INTO events (Timestamp, Kind, ServiceName, Operation, Outcome, Duration, UserId, UserHash, SessionId, TraceId,
    SpanId, Fingerprint, ErrorType, ErrorMessage, Attributes)
WITH
    number + {first:UInt64} AS i,
    cityHash64(i) AS h,
    {hours:Array(UInt8)}[h % length({hours:Array(UInt8)}) + 1] AS hour,
    i % {operations:UInt64} AS op,
    i % 50 = 7 AS failed,
    intDiv(i, 5) * 7919 % {users:UInt64} AS user,
    bitShiftRight(h, 12) % 1000000 / 1000000. AS u
SELECT
    fromUnixTimestamp64Nano(
        toInt64({day:UInt64} + hour * 3600 + bitShiftRight(h, 32) % 3600) * 1000000000 + h % 1000000000, 'UTC'),
    'span',
    concat('service-', toString(op % {services:UInt64})),
    concat('GET /resource/', toString(op)),
    multiIf(NOT failed, 'ok', i % 250 = 7, 'timeout', 'error'),
    toUInt64(exp(1.2 * (u + bitShiftRight(h, 40) % 1000 / 1000. + bitShiftRight(h, 50) % 1000 / 1000. - 1.5))
        * (op + 1) * 3000000),
    concat('user-', toString(user)),
    xxHash64(concat('user-', toString(user))),
    concat('s', toString(user), '-', toString({day:UInt64} + hour)),
    hex(sipHash128(i)),
    hex(h),
    if(failed, 1 + least(i % 11, intDiv(i, 50) % 11), 0),
    if(failed, concat('Error', toString(least(i % 11, intDiv(i, 50) % 11))), ''),
    if(failed, 'it went wrong', ''),
    map('http.route', concat('/resource/', toString(op)), 'plan', concat('plan-', toString(user % 3)),
        'region', concat('r', toString(h % 5)), 'app.version', concat('1.', toString({day:UInt64} % 7)))
FROM numbers({count:UInt64})
"""
USAGE = """
INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted, DurationSum,
    DurationSumSquares, DurationMin, DurationMax, DurationBuckets)
SELECT toStartOfMinute(Timestamp), ServiceName, Operation, 'Server', true, Outcome, count(), count(),
    sum(toFloat64(Duration)), sum(toFloat64(Duration) * toFloat64(Duration)), min(Duration), max(Duration),
    sumMap(map(toInt16(ceil(log2(toFloat64(greatest(Duration, 1))) * 32) - 1), toUInt64(1)))
FROM events WHERE Timestamp >= fromUnixTimestamp64Nano(toInt64({day:UInt64}) * 1000000000, 'UTC')
    AND Timestamp < fromUnixTimestamp64Nano(toInt64({day:UInt64} + 86400) * 1000000000, 'UTC')
GROUP BY 1, 2, 3, Outcome
"""
PEOPLE = """
INSERT INTO user_hour (Time, ServiceName, Operation, UserHash, Calls, Errors)
SELECT toStartOfHour(Timestamp), ServiceName, Operation, UserHash, count(), countIf(Outcome != 'ok')
FROM events WHERE Timestamp >= fromUnixTimestamp64Nano(toInt64({day:UInt64}) * 1000000000, 'UTC')
    AND Timestamp < fromUnixTimestamp64Nano(toInt64({day:UInt64} + 86400) * 1000000000, 'UTC')
GROUP BY 1, 2, 3, 4
"""
SEEN = """
INSERT INTO user_seen (UserHash, FirstSeen, LastSeen)
SELECT UserHash, min(Timestamp), max(Timestamp) FROM events GROUP BY UserHash
"""
DIMENSIONS = """
INSERT INTO dimension_quarter (Time, Dimension, Value, ServiceName, Kind, Outcome, Calls, CallsAdjusted, DurationSum,
    DurationSumSquares, DurationMin, DurationMax, DurationBuckets)
SELECT toStartOfFifteenMinutes(Timestamp), 'endpoint', Attributes['http.route'], ServiceName, 'Server', Outcome,
    count(), count(), sum(toFloat64(Duration)), sum(toFloat64(Duration) * toFloat64(Duration)), min(Duration),
    max(Duration), sumMap(map(toInt16(ceil(log2(toFloat64(greatest(Duration, 1))) * 32) - 1), toUInt64(1)))
FROM events WHERE Timestamp >= fromUnixTimestamp64Nano(toInt64({day:UInt64}) * 1000000000, 'UTC')
    AND Timestamp < fromUnixTimestamp64Nano(toInt64({day:UInt64} + 86400) * 1000000000, 'UTC')
GROUP BY 1, 3, 4, Outcome
"""
SPANS = """
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, ResourceAttributes,
    SpanAttributes, Duration, StatusCode, StatusMessage)
SELECT Timestamp, TraceId, SpanId, Operation, 'Server', ServiceName,
    map('service.name', ServiceName, 'deployment.environment.name', 'prod'),
    mapConcat(Attributes, map('user.id', UserId, 'session.id', SessionId, 'error.type', ErrorType)),
    Duration, if(Outcome = 'ok', 'Unset', 'Error'), ErrorMessage
FROM events WHERE Timestamp >= fromUnixTimestamp64Nano(toInt64({day:UInt64}) * 1000000000, 'UTC')
    AND Timestamp < fromUnixTimestamp64Nano(toInt64({day:UInt64} + 86400) * 1000000000, 'UTC')
"""


def fill(store: Store, end: datetime, days: int, per_day: int, raw_days: int) -> None:
    """Make the month that ends at `end`, midnight of UTC."""
    client = store.client()
    for number in track(range(days), "making days"):
        day = int((end - timedelta(days=days - number)).timestamp())
        add_events(store, day, number * per_day, per_day)
        known = {"day": day}
        for statement in (
            USAGE,
            PEOPLE,
            DIMENSIONS,
            *([SPANS] if number >= days - raw_days else []),
        ):
            client.command(statement, parameters=known)
    client.command(SEEN)


def add_events(store: Store, day: int, first: int, count: int) -> None:
    """Add the uses `first`, `first` + 1, ... on a day (seconds since 1970)."""
    hours = [hour for hour, weight in enumerate(HOURS) for _ in range(weight)]
    made = {
        "day": day, "first": first, "count": count, "operations": OPERATIONS, "services": SERVICES, "users": USERS,
        "hours": hours,
    }  # fmt: skip
    store.client().command(EVENTS, parameters=made)


def best_ms(action: Callable[[], object], times: int = 3) -> float:
    """Return the least wall-clock time of several runs after a first one, in milliseconds."""
    action()
    best = float("inf")
    for _ in range(times):
        before = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - before)
    return best * 1000


def check(store: Store, end: datetime, requests: int) -> None:
    """Hold a report's numbers to the truth; a benchmark of wrong numbers is worth nothing."""
    usage = run("usage", store, now=end, since="30d").summary
    failures = sum(1 for i in range(min(requests, 1_000_000)) if i % 50 == 7) * max(
        requests // 1_000_000, 1
    )
    success = run("success", store, now=end, since="30d").summary
    problems = [
        f"{name}: {found} instead of {true}"
        for name, found, true in (
            ("calls", usage.calls.value, requests),
            ("users", usage.unique_users.value, min(USERS, -(-requests // 5))),
            ("failures", success.failure_count.value, failures),
        )
        if found != true
    ]
    if problems:
        raise SystemExit(f"the numbers are wrong: {'; '.join(problems)}")


def main() -> None:
    """Make the month, ask every report, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="keep the store here; an earlier run's is used")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--per-day", type=int, default=1_000_000)
    parser.add_argument("--raw-days", type=int, default=1, help="days of raw spans as well")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = options.data or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        store = embedded_store(place / "clickhouse")
        migrate(store)
        store.client().command("SYSTEM STOP TTL MERGES")
        last = store.client().query("SELECT toUnixTimestamp(max(Time)), sum(Calls) FROM usage_day")
        at, calls = last.result_rows[0]
        if calls:
            end = datetime.fromtimestamp(at, UTC) + timedelta(days=1)
        else:
            end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            began = time.perf_counter()
            fill(store, end, options.days, options.per_day, options.raw_days)
            print(f"made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        check(store, end, options.days * options.per_day)
        cases = list(measure(store, end, options.raw_days))
        store.close()
    if options.format == "json":
        print(json.dumps(cases, indent=2))
        return
    table = Table(
        title=f"{options.days} days of {options.per_day:,} requests: ms, warm, best of three"
    )
    for column in cases[0]:
        table.add_column(column, justify="left" if column == "report" else "right")
    for case in cases:
        table.add_row(*(f"{v:,.0f}" if isinstance(v, float) else str(v) for v in case.values()))
    Console().print(table)


def measure(store: Store, end: datetime, raw_days: int) -> list[dict[str, Any]]:
    """Return how long each report takes on rollups of 30 days, and on raw spans of the last days."""
    cases = []
    for name in track(names(), "asking reports"):
        case: dict[str, Any] = {"report": name}
        for label, question in (
            ("rollups 30 d", {"since": "30d"}),
            ("raw", {"since": f"{raw_days}d", "where": {"plan": "plan-1"}}),
        ):
            try:
                case[label] = best_ms(partial(run, name, store, now=end, **question))
            except ReportError as error:
                case[label] = str(error)[:40]
        cases.append(case)
    return cases


if __name__ == "__main__":
    main()
