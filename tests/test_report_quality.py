"""The quality of data: each check finds what was put there, and nothing in clean data; the score is the formula."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from report_rows import NOW, add_spans

from headgate.queries import run
from headgate.queries.reports.quality import score

if TYPE_CHECKING:
    from headgate.store import Store

CLEAN = {"user.id": "ann", "session.id": "s"}


def found(store: Store, **question: Any) -> dict[str, Any]:
    return {row.check: row for row in run("quality", store, now=NOW, **question).rows}


def clean(store: Store, **given: Any) -> None:
    """Insert 25 clean calls in each of 24 hours, but for what is given."""
    add_spans(
        store,
        (
            {
                "Timestamp": NOW - timedelta(hours=hour, minutes=2 * n + 1),
                "SpanAttributes": CLEAN,
                **given,
            }
            for hour in range(24)
            for n in range(25)
        ),
    )


@pytest.mark.parametrize(
    ("calls", "days", "expected"),
    [(0, 0, 0.0), (50, 15, 0.5), (100, 30, 1.0), (10**6, 300, 1.0), (100, 1, 0.71)],
)
def test_the_score_is_the_formula(calls: float, days: float, expected: float) -> None:
    """0.7 min(n / 100, 1) + 0.3 min(days / 30, 1) (REQ-TRD-12)."""
    assert score(calls, days) == expected


def test_clean_data_has_nothing_to_act_on(store: Store) -> None:
    """Every check that the data can answer is good and gives no advice."""
    clean(store)
    rows = found(store, where={"": ""})
    assert {row.state for row in rows.values()} == {"good", "unknown"}
    assert {name for name, row in rows.items() if row.state == "unknown"} == {
        "error types",
        "rejected",
        "sent twice",
        "late data",
    }
    assert not any(row.advice for row in rows.values())


def test_what_is_wrong_is_found(store: Store) -> None:
    """Unnamed services, ids in names, missing users and error types: with their number, worst first, with advice."""
    clean(store)
    add_spans(
        store,
        (
            {
                "ServiceName": "unknown_service:python",
                "SpanName": f"GET /orders/{n}",
                "StatusCode": "Error",
            }
            for n in range(900)
        ),
    )
    rows = found(store, where={"": ""})
    for check, affected, state in (
        ("service names", 900, "problem"),
        ("operation names", 900, "problem"),
        ("users", 900, "attention"),
        ("sessions", 900, "attention"),
        ("error types", 900, "problem"),
    ):
        assert (rows[check].affected.value, rows[check].state) == (affected, state), check
        assert rows[check].advice
    assert rows["users"].share == 0.6
    assert "unknown_service:python" in rows["operation names"].finding
    states = [row.state for row in rows.values()]
    assert states == sorted(states, key=["problem", "attention", "unknown", "good"].index)


def test_gaps_are_told_and_dated(store: Store) -> None:
    """Hours without anything between busy ones are missing, with the first of them; a long gap is a problem."""
    clean(store)
    store.client().command("DELETE FROM otel_traces WHERE toHour(Timestamp, 'UTC') BETWEEN 5 AND 7")
    row = found(store, where={"": ""})["gaps"]
    assert row.affected.value == 3
    assert row.state == "problem"
    assert "the first from 2026-11-19T05:00+00:00" in row.finding


def test_sampled_rows_are_told(store: Store) -> None:
    """Rows that stand for four are estimates of those not kept."""
    clean(store, TraceState="ot=th:c")
    rows = found(store, where={"": ""})
    assert rows["rows kept"].state == "attention"
    assert rows["rows kept"].share == 0.75
    assert rows["sampling upstream"].affected.value == 3 * 600


def test_the_ledger_and_late_rows(store: Store) -> None:
    """Refused and repeated records come from the ledger, late uses from stretches that ended an hour before arrival."""
    at = NOW - timedelta(hours=3)
    names = ["Time", "Signal", "ServiceName", "Received", "Stored", "Rejected", "Duplicate"]
    rows = [[at, "traces", "shop", 1000, 450, 50, 500], [at, "metrics", "shop", 99, 0, 99, 0]]
    store.client().insert("ledger", rows, column_names=names)
    history = [
        [at, "events", 90, at - timedelta(minutes=5), at],
        [at, "events", 30, at - timedelta(hours=9), at - timedelta(hours=2)],
        [at, "traces", 99, at - timedelta(hours=9), at - timedelta(hours=2)],
        [
            at,
            "events",
            5000,
            at - timedelta(days=30),
            at - timedelta(days=20),
        ],  # of no use in the window
    ]
    columns = ["Time", "Signal", "Rows", "EventsFrom", "EventsTo"]
    store.client().insert("sampling_history", history, column_names=columns)
    usage = [
        [when, "shop", "buy", "Server", True, "ok", 30, 30.0]
        for when in (at, at - timedelta(hours=12))  # the stretches are after the first record
    ]
    counted = [
        "Time",
        "ServiceName",
        "Operation",
        "Kind",
        "Entry",
        "Outcome",
        "Calls",
        "CallsAdjusted",
    ]
    store.client().insert("usage_minute", usage, column_names=counted)
    found_ = found(store)
    assert (found_["rejected"].affected.value, found_["rejected"].state) == (50, "problem")
    assert (found_["sent twice"].share, found_["sent twice"].state) == (0.5, "problem")
    assert (found_["late data"].share, found_["late data"].state) == (0.25, "problem")


def test_clocks_are_compared_where_everything_is_wanted(store: Store) -> None:
    """A called service whose clock is behind begins before its caller: found with granularity=comprehensive only."""
    random = np.random.default_rng(6)
    rows = []
    for n in range(200):
        at = NOW - timedelta(minutes=int(random.integers(5, 600)))
        skew = timedelta(seconds=3 if n % 2 else -0.01)
        caller = {
            "TraceId": f"{n:032x}",
            "SpanId": f"{n:016x}",
            "Timestamp": at,
            "SpanKind": "Client",
        }
        service = "behind" if n % 2 else "right"
        rows += [
            {**caller, "ParentSpanId": ""},
            {**caller, "SpanId": f"{n + 500:016x}", "ParentSpanId": f"{n:016x}", "SpanKind": "Server",
             "ServiceName": service, "Timestamp": at - skew},
        ]  # fmt: skip
    add_spans(store, rows)
    assert "clocks" not in found(store, where={"": ""})
    whole = run("quality", store, now=NOW, where={"": ""}, granularity="comprehensive")
    clocks = next(row for row in whole.rows if row.check == "clocks")
    assert (clocks.affected.value, clocks.share, clocks.state) == (100, 0.5, "problem")
    assert "services: behind" in clocks.finding
