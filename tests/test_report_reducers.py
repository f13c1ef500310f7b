"""Reducers are pure: the order of rows and how rows were split change nothing; edge cases have defined answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import NO_ROWS, reduced

from headgate.queries import names
from headgate.queries.columns import Columns
from headgate.queries.durations import verdict
from headgate.queries.window import Window
from headgate.store.histogram import bucket_index

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SINCE = NOW - timedelta(days=4)
SINCE_NS = int(SINCE.timestamp()) * 10**9
DAY_NS = 86400 * 10**9

uses = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from(["ok", "error", "timeout"]),
        st.integers(0, 4 * DAY_NS - 1),
        st.integers(0, 10**10),
        st.integers(0, 5),
        st.sampled_from([1.0, 1.0, 4.0]),
    ),
    max_size=40,
)


def table(rows: list[dict[str, Any]]) -> Columns:
    if not rows:
        return NO_ROWS
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        found[name] = np.array(values, object if isinstance(values[0], str) else None)
    return Columns(found)


def as_columns(report: str, drawn: list[Any]) -> dict[str, Columns]:
    """Return what the report's queries would return if every use were a row of its own."""
    rows = []
    for service, operation, outcome, time_ns, duration, user, weight in drawn:
        extra = weight * (weight - 1)
        at = SINCE_NS + time_ns
        key = (service == "a") + (outcome == "timeout") + 1
        rows.append(
            {
                "service": service,
                "operation": operation,
                "outcome": outcome,
                "day_s": at // DAY_NS * 86400,
                "period_s": at // DAY_NS * 86400,
                "arrivals": 1,
                "calls": weight,
                "variance": extra,
                "last_ns": at,
                "first_ns": at,
                "duration": weight * duration,
                "duration_squares": weight * float(duration) ** 2,
                "variance_y": extra * duration,
                "variance_y2": extra * float(duration) ** 2,
                "shortest": duration,
                "longest": duration,
                "bucket": int(bucket_index(np.array([duration], np.uint64))[0]),
                "fingerprint": key,
                "error_type": "E",
                "message": f"m{duration}",
                "failures": weight,
                "timeouts": weight * (outcome == "timeout"),
                "timeout_variance": extra * (outcome == "timeout"),
                "user_hash": user,
            }
        )
    every = table(rows)
    failed = table([row for row in rows if row["outcome"] != "ok"])
    return {
        "usage": {"usage": every, "users": NO_ROWS, "sessions": NO_ROWS},
        "performance": {"moments": every, "buckets": every, "timeline": every},
        "errors": {"outcomes": every, "failures": failed, "affected": failed},
    }[report]


def answer(report: str, columns: dict[str, Columns]) -> dict[str, Any]:
    return reduced(report, columns, Window(SINCE, NOW))


def merged(columns: Columns, by: tuple[str, ...], adding: tuple[str, ...], **how: Any) -> Columns:
    """Add rows up by key, as a query over one table instead of its halves does."""
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for index in range(columns.rows):
        row = {name: columns[name][index] for name in columns}
        cell = cells.setdefault(tuple(row[name] for name in by), row)
        if cell is not row:
            cell |= {name: cell[name] + row[name] for name in adding}
            cell |= {name: pick(cell[name], row[name]) for name, pick in how.items()}
    return table(list(cells.values()))


def near(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(near(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(near, a, b))
    numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
    return a == pytest.approx(b, rel=1e-6, abs=1e-4) if numbers else a == b


@pytest.mark.parametrize("report", ["usage", "performance", "errors"])
@given(drawn=uses, random=st.randoms())
def test_the_order_of_rows_is_irrelevant(report: str, drawn: list[Any], random: Any) -> None:
    """Rows come from a database in any order; the answer is the same."""
    shuffled = drawn.copy()
    random.shuffle(shuffled)
    assert near(
        answer(report, as_columns(report, shuffled)), answer(report, as_columns(report, drawn))
    )


@given(drawn=uses)
def test_rows_may_come_whole_or_in_parts(drawn: list[Any]) -> None:
    """Usage, outcomes, moments and buckets are sums: adding rows up before the reducer changes nothing."""
    usage = as_columns("usage", drawn)
    days = merged(
        usage["usage"],
        ("service", "operation", "outcome", "day_s", "period_s"),
        ("arrivals", "calls", "variance"),
        last_ns=max,
    )
    assert near(answer("usage", usage | {"usage": days}), answer("usage", usage))
    parts = as_columns("errors", drawn)
    assert near(answer("errors", parts | {"outcomes": days}), answer("errors", parts))
    performance = as_columns("performance", drawn)
    adding = ("arrivals", "calls", "variance", "duration", "duration_squares")
    moments = merged(
        performance["moments"],
        ("service", "operation", "period_s"),
        (*adding, "variance_y", "variance_y2"),
        shortest=min,
        longest=max,
    )
    buckets = merged(
        performance["buckets"], ("service", "operation", "bucket"), ("calls", "variance")
    )
    timeline = merged(performance["timeline"], ("period_s", "bucket"), ("calls", "variance"))
    whole = {"moments": moments, "buckets": buckets, "timeline": timeline}
    assert near(answer("performance", whole), answer("performance", performance))


@pytest.mark.parametrize("report", ["usage", "performance", "errors"])
@given(drawn=uses)
def test_numbers_are_consistent(report: str, drawn: list[Any]) -> None:
    """Rows add up to the summary, shares to 1, rates lie in 0 to 1, intervals hold their number, exact means exact."""
    found = answer(report, as_columns(report, drawn))
    summary = found["summary"]
    assert summary["calls"] == pytest.approx(sum(use[6] for use in drawn))
    assert found["exact"] is all(use[6] == 1 for use in drawn)
    if report != "errors":
        assert sum(row["calls"] for row in found["rows"]) == pytest.approx(summary["calls"])
    if report == "errors":
        failures = sum(use[6] for use in drawn if use[2] != "ok")
        assert sum(row["count"] for row in found["rows"]) == pytest.approx(failures)
        assert summary["success_count"] + summary["failure_count"] == pytest.approx(
            summary["calls"]
        )
    for record in [summary, *found["rows"], *summary.get("reliability", [])]:
        for name, value in record.items():
            if name.endswith("_rate") and value is not None:
                assert 0 <= value <= 1
        for name, bounds in record["uncertainty"].items():
            low, high = bounds["low"], bounds["high"]
            assert low is None or low <= record[name] + 1e-6
            assert high is None or high >= record[name] - 1e-6
    if report == "performance" and drawn:
        order = [summary[name] for name in ("min_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")]
        assert order == sorted(order)


@pytest.mark.parametrize("report", names())
def test_nothing_is_an_answer(report: str) -> None:
    """Without any row there is a summary of zeros and no rows, and it is exact."""
    found = answer(report, {})
    assert found["rows"] == []
    assert found["exact"] is True
    assert found["summary"]["calls"] == 0


def test_one_call() -> None:
    """A single call is its own minimum, maximum, mean and percentiles, deviates by 0, and was used 0.0 hours ago."""
    use = ("a", "x", "ok", 4 * DAY_NS - 1, 1_500_000, 3, 1.0)
    row = answer("performance", as_columns("performance", [use]))["rows"][0]
    for name in ("mean_ms", "p50_ms", "p95_ms", "p99_ms", "min_ms", "max_ms", "total_ms"):
        assert row[name] == pytest.approx(1.5), name
    assert row["std_dev_ms"] == 0
    usage = answer("usage", as_columns("usage", [use]))["rows"][0]
    assert usage["hours_since_last_use"] == 0
    assert (usage["calls_per_day"], usage["calls_per_week"], usage["calls_per_month"]) == (
        0.25,
        1,
        1,
    )


def test_everything_failed() -> None:
    """When every call fails the rates are 0 and 1, and the verdict an alert."""
    drawn = [("a", "x", "error", n, 5, n, 1.0) for n in range(5)]
    found = answer("errors", as_columns("errors", drawn))
    assert (found["summary"]["success_rate"], found["summary"]["error_rate"]) == (0, 1)
    assert found["summary"]["verdict"] == "alert"
    assert found["rows"][0]["users_affected"] == 5


@pytest.mark.parametrize(
    ("p50", "p95", "p99", "words"),
    [
        (300, 499.9, 600, "excellent"),
        (300, 500, 600, "needs attention"),
        (600, 1000, 1000, "needs attention"),
        (600, 1000.1, 1001, "needs optimisation, critical"),
        (100, 200, 300, "excellent"),
        (100, 201, 300, "excellent, high variance"),
        (100, 400, 1001, "excellent, high variance, critical"),
    ],
)
def test_performance_verdicts_at_their_thresholds(
    p50: float, p95: float, p99: float, words: str
) -> None:
    """Words change exactly at the thresholds of REQ-PERF-03 to -05."""
    assert verdict(p50, p95, p99) == words


@pytest.mark.parametrize(("hours", "words"), [(168.0, "in use"), (168.1, "archive candidate")])
def test_what_was_not_used_for_a_week_is_an_archive_candidate(hours: float, words: str) -> None:
    """The verdict of usage changes after 168 hours without use."""
    at = int(4 * DAY_NS - hours * 3600 * 10**9)
    use = ("a", "x", "ok", at, 1, 1, 1.0)
    window = Window(NOW - timedelta(days=30), NOW)
    (row,) = reduced("usage", as_columns("usage", [use]), window)["rows"]
    assert row["verdict"] == words
