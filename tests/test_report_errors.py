"""Errors: states follow from when failures were seen, rates have their denominators, and rules speak."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from report_rows import of_tuples

from headgate.queries import entry, run
from headgate.queries.columns import Columns
from headgate.queries.declaration import Context
from headgate.queries.estimate import exactly
from headgate.queries.periods import periods
from headgate.queries.reports.errors.advice import advise
from headgate.queries.reports.errors.ranking import days, overall, reliability
from headgate.queries.reports.errors.records import Association, Difference, ErrorParams, Row
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.store import Store

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def outcomes(rows: list[tuple[str, str, float]]) -> Columns:
    made = [("s", operation, outcome, n, n, 0.0, 0) for operation, outcome, n in rows if n]
    names = ("service", "operation", "outcome", "arrivals", "calls", "variance", "period_s")
    return of_tuples(made, *names)


def test_one_of_one_does_not_beat_ten_thousand() -> None:
    """9 999 of 10 000 rank above 1 of 1, which ranks above nothing proved at all (PIT-R0-01)."""
    found = reliability(
        outcomes(
            [("often", "ok", 9999), ("often", "error", 1), ("once", "ok", 1), ("never", "error", 3)]
        )
    )
    assert [(entry.operation, entry.rank) for entry in found] == [
        ("often", 1),
        ("once", 2),
        ("never", 3),
    ]
    assert found[0].success_rate is not None
    assert found[1].success_rate is not None
    assert found[0].success_rate.value < found[1].success_rate.value == 1


def test_what_is_well_on_the_whole_may_hide_what_is_not() -> None:
    """One operation of many that fails in a third of its calls, five at least, takes the verdict to attention."""
    many = [("many", "ok", 1000)]
    for failures, expected in ((5, "attention"), (4, "ok")):
        ranking = reliability(
            outcomes([*many, ("bad", "ok", 2 * failures), ("bad", "error", failures)])
        )
        assert overall(exactly(0.01), ranking) == expected
    assert overall(exactly(0.201), ranking) == "alert"
    assert overall(None, ()) == "no calls"


def test_rates_have_the_calls_as_denominator() -> None:
    """Two failures of four calls are one half, not two thousandths (PIT-R0-01)."""
    found = reliability(outcomes([("x", "ok", 2), ("x", "error", 2)]))[0]
    assert found.error_rate == exactly(0.5)


@pytest.mark.parametrize(
    ("since", "until", "dates"),
    [
        (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 26, 23, tzinfo=UTC), 2),
        (datetime(2028, 2, 27, 23, tzinfo=UTC), datetime(2028, 3, 1, 23, tzinfo=UTC), 3),
    ],
)
def test_days_are_those_of_the_time_zone(since: datetime, until: datetime, dates: int) -> None:
    """A day of 25 hours and a leap day are each one day, with every call in it."""
    window = Window(since, until)
    grid = periods(window, "day", ZoneInfo("Europe/Berlin"))
    context = Context(window, until, ErrorParams(), grid)
    hours = int((until - since) / timedelta(hours=1))
    starts = grid.edges_s[
        np.searchsorted(
            grid.edges_s, [int(since.timestamp()) + 3600 * h for h in range(hours)], "right"
        )
        - 1
    ]
    rows = [("s", "o", "ok", 1, 1.0, 0.0, int(start)) for start in starts]
    names = ("service", "operation", "outcome", "arrivals", "calls", "variance", "period_s")
    found = days({"outcomes": of_tuples(rows, *names), "anyone.arrivals": Columns({})}, context)
    assert len(found) == dates
    assert sum(day.calls.value for day in found) == hours
    assert max(day.calls.value for day in found) == (25 if since.month == 10 else 24)


def fill(store: Store, ago: list[timedelta], kind: str) -> None:
    """Insert entry spans that failed so long ago."""
    names = ["Timestamp", "ServiceName", "SpanName", "SpanKind", "StatusCode", "SpanAttributes"]
    rows = [
        [NOW - distance, "shop", "pay", "Server", "Error", {"error.type": kind}] for distance in ago
    ]
    store.client().insert("otel_traces", rows, column_names=names)


def test_states_follow_from_when_an_error_was_seen(store: Store) -> None:
    """New: never before; ongoing: in the window before; regressed: only earlier. Known since its first failure."""
    hour, day = timedelta(hours=1), timedelta(days=1)
    fill(store, [hour], "Fresh")
    fill(store, [hour, day + hour], "Steady")
    fill(store, [hour, 5 * day], "Returned")
    fill(store, [hour, 40 * day], "Forgotten")
    answer = run("errors", store, now=NOW, where={"": ""})
    states = {row.error_type: row.state for row in answer.rows}
    assert states == {
        "Fresh": "new",
        "Steady": "ongoing",
        "Returned": "regressed",
        "Forgotten": "new",
    }
    assert answer.summary.new_groups == 2
    known = {row.error_type: row.known_since_at for row in answer.rows}
    assert known["Returned"] == NOW - 5 * day
    assert known["Forgotten"] == NOW - hour
    longer = run("errors", store, now=NOW, where={"": ""}, lookback_days=60)
    assert {r.error_type: r.state for r in longer.rows}["Forgotten"] == "regressed"
    assert {code.code for code in answer.summary.codes} == set(states)


def store_failures(store: Store, failed: list[tuple[str, str, datetime]]) -> None:
    """Insert stored uses that failed: the kind, the plan of who met it, and when."""
    names = ("Timestamp", "Kind", "ServiceName", "Operation", "Outcome", "Fingerprint", "ErrorType")
    rows = [
        [at, "span", "shop", "pay", "error", zlib.crc32(kind.encode()), kind, {"plan": plan}]
        for kind, plan, at in failed
    ]
    store.client().insert("events", rows, column_names=[*names, "Attributes"])


@pytest.mark.parametrize(("days", "lookback_days"), [(1, 0.4), (1, 2.5), (1, 20), (4, 20)])
def test_the_past_of_a_kind_is_found_wherever_it_lies(
    store: Store, days: int, lookback_days: float
) -> None:
    """First records and states are those of all failures that match, at an end of the past or between."""
    rng = np.random.default_rng(7)
    ago: dict[tuple[str, str], list[float]] = {
        ("often", "a"): rng.uniform(0, 40, 300).tolist(),
        ("others'", "b"): rng.uniform(0, 40, 300).tolist(),
        ("others'", "a"): [0.5, 9.25],
        ("between", "a"): [0.5, 8, 7],
        ("at its end", "a"): [0.5, 1.4, 1.1],
        ("at its begin", "a"): [0.5, 20.9, 20.1],
        ("not at its end", "a"): [0.5, 23.5, 20.5, 6],
        ("not at its begin", "a"): [0.5, 15, 4.5, 1.5],
        ("before it", "a"): [0.5, 30],
        ("fresh", "a"): [0.5],
        ("gone", "a"): [12],
    }
    failed = [
        (kind, plan, (NOW - timedelta(days=distance)).replace(microsecond=0))
        for (kind, plan), listed in ago.items()
        for distance in listed
    ]
    store_failures(store, failed)
    answer = run(
        "errors",
        store,
        now=NOW,
        since=f"{days}d",
        where={"plan": "a"},
        lookback_days=lookback_days,
    )
    assert answer.source.name == "events"
    length = timedelta(days=days)
    since = NOW - length
    expected = {}
    for kind in {kind for kind, plan, at in failed if plan == "a" and at >= since}:
        first = since - max(timedelta(days=lookback_days), length)
        times = [at for k, plan, at in failed if (k, plan) == (kind, "a") and at >= first]
        before = [at for at in times if at < since]
        ongoing = before and max(before) >= since - length
        state = "ongoing" if ongoing else "regressed" if before else "new"
        expected[kind] = (state, min(times))
    assert {row.error_type: (row.state, row.known_since_at) for row in answer.rows} == expected


@pytest.mark.parametrize(
    ("kinds", "looked_for"), [([], [0]), ([7, 3, 7], [3, 7]), (range(501), [])]
)
def test_only_kinds_of_the_window_are_looked_for(kinds: Any, looked_for: list[int]) -> None:
    """None are none (no failure has kind 0), those there are once each, and all (an empty list) where they are many."""
    asks = entry("errors").report.asks
    assert asks is not None
    given = asks(ErrorParams(), Window(NOW - timedelta(days=1), NOW))["before"].given
    assert given is not None
    known: Any = given({"failures": of_tuples([(kind,) for kind in kinds], "fingerprint")})
    assert known.fingerprints == looked_for


def row(**changed: Any) -> Row:
    made = Row(
        fingerprint="0" * 16,
        error_type="E",
        message="m",
        state="ongoing",
        count=exactly(10),
        share=0.4,
        timeout_count=exactly(0),
        users_affected=exactly(1),
        daily_series=(10.0,),
        first_seen_at=NOW,
        last_seen_at=NOW,
        known_since_at=NOW,
        operations=("s o",),
        differs=(),
    )
    return replace(made, **changed)


def rules(rate: float = 0.1, timeouts: float = 0, **given: Any) -> list[str]:
    found = advise(
        exactly(rate),
        timeouts,
        given.get("rows", [row()]),
        given.get("ranking", ()),
        given.get("differences", ()),
        given.get("associations", ()),
    )
    return [advice.rule for advice in found]


def test_each_rule_speaks_at_its_threshold() -> None:
    """Every rule of the documentation is silent on one side of its threshold and speaks on the other."""
    assert rules() == []
    assert rules(rate=0.2) == []
    assert rules(rate=0.201) == ["high error rate"]
    assert rules(rows=[row(state="new")]) == ["new error"]
    assert rules(rows=[row(state="new", count=exactly(4))]) == []
    assert rules(rows=[row(state="regressed")]) == ["regressed error"]
    assert rules(rows=[row(share=0.5), row()]) == ["one cause"]
    assert rules(timeouts=3) == []
    assert rules(timeouts=5) == ["timeouts"]
    difference = Difference("k", "v", 9, 0.9, 0.1, 9, 3, 20, 0.5, 1e-9)
    assert rules(differences=[difference]) == ["concentrated"]
    assert rules(differences=[replace(difference, odds_ratio_low=2.9)]) == []
    assert rules(associations=[Association("body.size", 9, 0.3, 0)]) == ["size"]
    assert rules(associations=[Association("body.size", 9, 0.29, 0)]) == []
    assert rules(associations=[Association("duration", 9, -0.3, 0)]) == ["fails at once"]
    assert rules(associations=[Association("duration", 9, 0.3, 0)]) == ["fails when slow"]
    bad = reliability(outcomes([("x", "ok", 15), ("x", "error", 5)]))
    assert rules(ranking=bad) == ["unreliable operation"]
    assert rules(ranking=reliability(outcomes([("x", "ok", 16), ("x", "error", 4)]))) == []


def test_every_rule_is_documented() -> None:
    """docs/explanation/errors.md has a line for every rule that there is."""
    from pathlib import Path

    page = (Path(__file__).parent.parent / "docs" / "explanation" / "errors.md").read_text(
        encoding="utf-8"
    )
    source = (
        Path(entry("errors").report.reduce.__code__.co_filename).with_name("advice.py").read_text()
    )
    known = {"high error rate", "new error", "regressed error", "one cause", "unreliable operation"}
    known |= {"concentrated", "timeouts", "size", "fails at once", "fails when slow"}
    assert (
        source.count("Advice(\n") == len(known) - 1
    )  # new and regressed are one rule in two words
    for rule in known:
        assert f"| {rule} |" in page
