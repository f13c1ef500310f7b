"""The summary says what the other reports say, and its verdicts change exactly at their thresholds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from report_rows import NOW, add_spans

from headgate.queries import run
from headgate.queries.reports.summary import verdict

if TYPE_CHECKING:
    from headgate.store import Store


@pytest.mark.parametrize(
    ("success", "p95_ms", "hours", "words"),
    [
        (0.80, 500.0, 168.0, "healthy"),
        (0.7999, 500.0, 1.0, "failing"),
        (0.0, None, 1.0, "failing"),
        (1.0, 500.1, 1.0, "slow"),
        (1.0, None, 168.1, "archive candidate"),
        (0.5, 900.0, 300.0, "failing, slow, archive candidate"),
        (None, None, 0.0, "healthy"),
    ],
)
def test_verdicts_at_their_thresholds(
    success: float | None, p95_ms: float | None, hours: float, words: str
) -> None:
    """Success below 0.80, p95 above 500 ms, last use over 168 hours ago; a rate of 0 is a rate (REQ-ALRT-04)."""
    assert verdict(success, p95_ms, hours) == words


@pytest.fixture
def used(store: Store) -> Store:
    random = np.random.default_rng(9)
    rows = []
    for n in range(3000):
        operation = ("buy", "look", "pay", "find")[int(random.choice(4, p=[0.5, 0.3, 0.15, 0.05]))]
        failed = random.random() < {"buy": 0.01, "pay": 0.4}.get(operation, 0)
        kind = ("KeyError", "ValueError")[n % 2]
        rows.append(
            {
                "Timestamp": NOW - timedelta(minutes=int(random.integers(1, 2880))),
                "SpanName": operation,
                "StatusCode": "Error" if failed else "Unset",
                "Duration": int(random.lognormal(20 if operation == "find" else 16, 0.5)),
                "SpanAttributes": {
                    "user.id": f"u{n % 50}",
                    **({"error.type": kind} if failed else {}),
                },
            }
        )
    add_spans(store, rows)
    return store


def test_it_says_what_the_other_reports_say(used: Store) -> None:
    """Each number is that of its own report for the same window: calls, users, failures, durations, errors."""
    question = {"now": NOW, "since": "24h", "where": {"": ""}}
    page = run("summary", used, **question)
    usage = {row.operation: row for row in run("usage", used, **question).rows}
    success = {row.operation: row for row in run("success", used, **question).rows}
    speed = run("performance", used, **question)
    timed = {row.operation: row for row in speed.rows}
    errors = run("errors", used, **question)
    assert [row.operation for row in page.rows] == list(usage)
    for row in page.rows:
        name = row.operation
        assert row.calls == usage[name].calls
        assert row.change_rate == usage[name].change_rate
        assert row.unique_users == usage[name].unique_users
        assert row.calls_series == usage[name].calls_series
        assert row.success_rate == success[name].success_rate
        assert row.p95_ms == timed[name].p95_ms
    numbers = {number.metric: number for number in page.summary.numbers}
    assert numbers["p95_ms"].value == speed.summary.p95_ms
    assert numbers["p95_ms"].before == speed.summary.p95_before_ms
    assert numbers["error_rate"].value == errors.summary.error_rate
    assert {e.fingerprint for e in page.summary.newest_errors} == {
        r.fingerprint for r in errors.rows
    }
    counts = {row.fingerprint: row.count for row in errors.rows}
    assert all(error.count == counts[error.fingerprint] for error in page.summary.newest_errors)


def test_what_needs_attention_comes_first(used: Store) -> None:
    """The worst and the slowest lead their lists, which are as long as asked for."""
    page = run("summary", used, now=NOW, since="24h", where={"": ""}, shortlist=1, limit=2)
    assert [failing.operation for failing in page.summary.failing] == ["pay"]
    assert [slow.operation for slow in page.summary.slowest] == ["find"]
    assert len(page.rows) == 2
    assert len(page.summary.newest_errors) == 1
    assert (page.summary.operations, page.summary.unhealthy) == (4, 2)
    firsts = [
        e.first_seen_at for e in run("summary", used, now=NOW, where={"": ""}).summary.newest_errors
    ]
    assert firsts == sorted(firsts, reverse=True)
