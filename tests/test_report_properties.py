"""Properties of every reducer that works on sums: order and grouping of rows do not matter, rates ignore scale."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_rows import NO_ROWS, NOW, columns, nothing, reduced

from headgate.queries import entry
from headgate.queries.window import Window
from headgate.store.histogram import bucket_index

WINDOW = Window(NOW - timedelta(days=6), NOW)
START_S = int(WINDOW.since.timestamp())
ADDING = [
    "arrivals",
    "calls",
    "variance",
    "duration",
    "duration_squares",
    "variance_y",
    "variance_y2",
    "sized",
    "bytes",
    "bytes_variance",
    "failures",
    "timeouts",
    "timeout_variance",
    "without_user",
    "without_user_variance",
    "without_session",
    "without_session_variance",
    "untyped",
    "untyped_variance",
    "received",
    "rejected",
    "duplicate",
    "late",
]
REPORTS = pytest.mark.parametrize(
    "report",
    [
        "usage",
        "success",
        "performance",
        "trend",
        "context",
        "sources",
        "compare",
        "quality",
        "summary",
    ],
)
# Distinct people cannot be added up, and not every call has a memory or a score.
OTHERS = {
    "users",
    "people",
    "domains",
    "sessions",
    "session_people",
    "memory",
    "quality",
    "attributes",
}

uses = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from(["ok", "ok", "error", "timeout"]),
        st.integers(0, 5),
        st.integers(0, 23),
        st.integers(1, 10**10),
        st.booleans(),
    ),
    max_size=30,
)


def rows(drawn: list[Any]) -> list[dict[str, Any]]:
    """Return a row a use, with every column that any statement has."""
    found = []
    for service, operation, outcome, day, hour, duration, anonymous in drawn:
        failed = outcome != "ok"
        at_s = START_S + day * 86400 + hour * 3600
        found.append(
            {
                "service": service,
                "operation": operation,
                "outcome": outcome,
                "period_s": START_S + day * 86400,
                "day_s": START_S + day * 86400,
                "weekday": (day + 5) % 7,
                "hour": hour,
                "bucket": int(bucket_index(np.array([duration], np.uint64))[0]),
                "code": "500" if failed else "200",
                "fingerprint": 7 if outcome == "error" else 8,
                "error_type": outcome,
                "message": f"after {hour} h",
                "deprecated": 0,
                "operations": 2,
                "last_ns": at_s * 10**9,
                "first_ns": at_s * 10**9,
                "shortest": duration,
                "longest": duration,
                **dict.fromkeys(ADDING, 0.0),
                "arrivals": 1,
                "calls": 1.0,
                "duration": float(duration),
                "duration_squares": float(duration) ** 2,
                "sized": 1.0,
                "bytes": float(hour),
                "failures": float(failed),
                "timeouts": float(outcome == "timeout"),
                "without_user": float(anonymous),
                "without_session": 1.0,
                "received": 1.0,
            }
        )
    return found


def document(report: str, given_rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the report makes of the rows, given to each of its statements."""
    every = columns(given_rows)
    failed = columns(row for row in given_rows if row["outcome"] != "ok")
    earlier = columns({**row, "period_s": row["period_s"] - 6 * 86400} for row in given_rows)
    chosen = {}
    for name in nothing(report, WINDOW, entry(report).report.params()):
        query = name.split(".")[-1]
        others = earlier if name.startswith("other.") else every
        chosen[name] = NO_ROWS if query in OTHERS else failed if query == "failures" else others
    return reduced(report, chosen, WINDOW, step=timedelta(minutes=15))


def merged(given_rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add up rows of one key, as a statement over a table does instead of over its parts."""
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    picked = {"last_ns": max, "first_ns": min, "shortest": min, "longest": max}
    for row in given_rows:
        key = tuple(value for name, value in row.items() if name not in {*ADDING, *picked})
        if key not in cells:
            cells[key] = dict(row)
            continue
        for name in ADDING:
            cells[key][name] += row[name]
        for name, pick in picked.items():
            cells[key][name] = pick(cells[key][name], row[name])
    return list(cells.values())


def near(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(near(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(near, a, b))
    numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
    return a == pytest.approx(b, rel=1e-6, abs=2e-4) if numbers else a == b


@REPORTS
@settings(max_examples=25)
@given(drawn=uses, random=st.randoms())
def test_order_and_grouping_do_not_matter(report: str, drawn: list[Any], random: Any) -> None:
    """Rows in another order, and added up by key beforehand, are the same answer."""
    whole = rows(drawn)
    expected = document(report, whole)
    random.shuffle(whole)
    assert near(document(report, whole), expected)
    assert near(document(report, merged(whole)), expected)


@REPORTS
@settings(max_examples=25)
@given(drawn=uses.filter(bool), factor=st.integers(2, 5))
def test_shares_and_rates_ignore_scale(report: str, drawn: list[Any], factor: int) -> None:
    """Every use happening several times leaves shares and rates as they are, and multiplies calls."""
    once = document(report, rows(drawn))
    often = document(report, rows(drawn * factor))
    assert often["summary"]["calls"] == factor * once["summary"]["calls"]
    if report == "quality":
        return
    key = ("service", "operation", "metric")
    by_key = {tuple(row.get(k) for k in key): row for row in often["rows"]}
    for row in once["rows"]:
        scaled = by_key[tuple(row.get(k) for k in key)]
        for name, value in row.items():
            if name in {"share", "success_rate", "error_rate", "growth_rate", "change_rate"}:
                if row.get("metric") in {"p50_ms", "p95_ms", "p99_ms"}:
                    continue  # between two ranks more calls interpolate otherwise
                assert near(scaled[name], value), name
            if name == "velocity":
                assert scaled[name] == pytest.approx(factor * value, abs=1e-5)


@REPORTS
@pytest.mark.parametrize(
    "drawn",
    [
        [],
        [("a", "x", "ok", 0, 0, 1, False)],
        [("a", "x", "error", day, 3, 5, True) for day in range(6)],
        [("a", "x", "ok", 2, 12, 7, False)] * 9,
        [("a", "x", "ok", 5, 23, 10**10, False), ("b", "y", "ok", 5, 23, 10**10, False)],
    ],
    ids=["nothing", "one call", "all failures", "all alike", "ties"],
)
def test_edges_have_an_answer(report: str, drawn: list[Any]) -> None:
    """Nothing, one call, failures only, equal values and ties: an exact answer, rates within 0 and 1."""
    found = document(report, rows(drawn))
    assert found["exact"] is True
    assert found["summary"]["calls"] == len(drawn)
    assert bool(found["rows"]) == bool(drawn)
    for record in [found["summary"], *found["rows"]]:
        for name, value in record.items():
            if name in {"success_rate", "error_rate", "share", "proved_rate"} and value is not None:
                assert 0 <= value <= 1
