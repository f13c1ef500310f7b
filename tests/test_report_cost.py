"""Cost equals an invoice that is written line by line; the projection's interval holds; models are checked in words."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from cost_rows import MODEL, MONTH, given_columns
from hypothesis import given
from hypothesis import strategies as st
from report_rows import columns, reduced
from typer.testing import CliRunner

from headgate.cli import app
from headgate.queries import run
from headgate.queries.periods import periods
from headgate.queries.reports.cost.model import (
    MOST,
    Simple,
)
from headgate.queries.window import Window

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.store import Store

NOW = datetime(2026, 11, 20, tzinfo=UTC)
NONE = Simple(None, None, None)
uses = st.lists(
    st.tuples(
        st.sampled_from(["shop", "till"]),
        st.sampled_from(["pay", "pay later", "look"]),
        st.sampled_from(["ok", "error", "timeout"]),
        st.integers(0, 29),  # days since 1 November
        st.integers(1, 60),  # how many such uses
        st.sampled_from([0.0, 0.5e9, 1.25e9]),  # bytes of all of them
    ),
    max_size=25,
)
requests = st.lists(
    st.tuples(
        st.sampled_from(["large-2", "tiny"]),
        st.integers(0, 29),
        st.integers(0, 10**7),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
    ),
    max_size=8,
)


def invoice(drawn: list[Any], asked: list[Any]) -> dict[str, float]:
    """Write the month's invoice of MODEL by hand, use by use."""
    owed = defaultdict(float, hosting=31.0, gateway=0.0, models=0.0)
    hosted, gigabytes = 0, 0.0
    for service, operation, outcome, _, n, size in drawn:
        if operation.startswith("pay"):
            owed["gateway"] += 0.02 * n * (outcome == "ok")
        elif service == "shop":
            hosted += n
            gigabytes += size / 1e9
    owed["hosting"] += 0.5 * max(hosted - 40, 0) + 2 * max(gigabytes - 3, 0)
    for model, _, written, output, cached in asked:
        prices = (3, 15, 0.3) if model.startswith("large-") else (1, 2, 1)
        owed["models"] += np.dot(prices, (written, output, cached)) / 1e6
    return owed


@given(drawn=uses, asked=requests)
def test_a_month_costs_what_its_invoice_says(drawn: list[Any], asked: list[Any]) -> None:
    """Every source and the total equal the invoice written by hand, far within the 5 % of REQ-COST-02."""
    summary = reduced("cost", given_columns(drawn, asked), MONTH, now=MONTH.until, model=MODEL)[
        "summary"
    ]
    owed = invoice(drawn, asked)
    assert {s["source"]: s["cost"] for s in summary["sources"]} == pytest.approx(
        dict(owed), abs=1e-5
    )
    assert summary["cost"] == pytest.approx(sum(owed.values()), abs=1e-5)
    unpriced = sum(n for s, o, _, _, n, _ in drawn if s == "till" and o == "look")
    assert summary["unpriced_calls"] == unpriced


@given(drawn=uses, asked=requests)
def test_every_division_adds_up(drawn: list[Any], asked: list[Any]) -> None:
    """Rows, applications and outcomes are the allocated cost, days and sources the whole; ratios are cost by number."""
    answer = reduced("cost", given_columns(drawn, asked), MONTH, now=MONTH.until, model=MODEL)
    summary = answer["summary"]
    allocated = summary["cost"] - summary["unallocated_cost"]
    for part in (answer["rows"], summary["applications"], summary["outcomes"]):
        assert sum(row["cost"] or 0 for row in part) == pytest.approx(allocated, abs=1e-4)
    if summary["days"]:
        assert sum(day["cost"] for day in summary["days"]) == pytest.approx(
            summary["cost"], abs=1e-4
        )
    for row in (summary, *answer["rows"]):
        if row["cost"] is not None and row["success_count"]:
            assert row["cost_per_success"] == pytest.approx(
                row["cost"] / row["success_count"], abs=1e-6
            )
            assert row["cost_per_success"] >= row["cost_per_request"]
    assert answer["exact"]


@given(drawn=uses, random=st.randoms())
def test_rows_come_in_any_order_and_in_parts(drawn: list[Any], random: Any) -> None:
    """Shuffled rows, and each row split into two, cost the same."""
    whole = reduced("cost", given_columns(drawn), MONTH, now=MONTH.until, model=MODEL)
    shuffled = drawn.copy()
    random.shuffle(shuffled)
    split = [
        (*use[:4], n, size) for use in drawn for n, size in ((1, use[5]), (use[4] - 1, 0.0)) if n
    ]
    for other in (shuffled, split):
        found = reduced("cost", given_columns(other), MONTH, now=MONTH.until, model=MODEL)
        for name in ("cost", "fixed_cost", "calls", "spent"):
            assert found["summary"][name] == pytest.approx(whole["summary"][name])
        costs = [
            {(r["service"], r["operation"]): r["cost"] for r in a["rows"]} for a in (found, whole)
        ]
        assert costs[0] == pytest.approx(costs[1])


@pytest.mark.parametrize(
    ("since", "until", "step", "parts"),
    [
        ((2026, 11, 1), (2026, 12, 1), "month", 1),
        ((2028, 2, 1), (2028, 2, 15), "month", 14 / 29),
        ((2026, 2, 1), (2026, 2, 15), "month", 14 / 28),
        ((2026, 1, 31), (2026, 3, 2), "month", 1 / 31 + 1 + 1 / 31),
        ((2026, 12, 28), (2027, 1, 4), "week", 1),
        ((2026, 7, 1), (2027, 1, 1), "year", 184 / 365),
    ],
)
def test_a_subscription_is_paid_by_the_part_of_its_periods(
    since: tuple[int, ...], until: tuple[int, ...], step: str, parts: float
) -> None:
    """Leap years, weeks over New Year and windows over several months cost exactly their part."""
    window = Window(datetime(*since, tzinfo=UTC), datetime(*until, tzinfo=UTC))
    summary = reduced("cost", {}, window, now=window.until, subscription=100, billing_period=step)[
        "summary"
    ]
    assert summary["cost"] == pytest.approx(100 * parts, abs=1e-5)
    assert summary["unallocated_cost"] == pytest.approx(100 * parts, abs=1e-5)


def test_a_day_of_25_hours_is_a_day_of_its_month() -> None:
    """October in Berlin has 745 hours: its fee is whole, and each hour costs 1/745."""
    zone = "Europe/Berlin"
    october = Window(datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC))
    summary = reduced("cost", {}, october, now=october.until, subscription=745, timezone=zone)[
        "summary"
    ]
    assert summary["cost"] == pytest.approx(745)
    hour = Window(datetime(2026, 10, 25, 0, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC))
    assert reduced("cost", {}, hour, subscription=745, timezone=zone)["summary"][
        "cost"
    ] == pytest.approx(1)


def daily(counts: np.ndarray, first: datetime) -> dict[str, Any]:
    start = int(first.timestamp())
    rows = [
        {
            "service": "s",
            "operation": "o",
            "outcome": "ok",
            "period_s": start + 86400 * i,
            "calls": float(n),
            "arrivals": int(n),
            "variance": 0.0,
        }
        for i, n in enumerate(counts)
    ]
    return {"recent.outcomes": columns(rows)}


def test_the_projection_holds_the_truth_as_often_as_it_says() -> None:
    """Over 300 simulated months with weekdays and noise, the 95 % interval holds the true cost in 92 to 98.5 %."""
    random = np.random.default_rng(11)
    window = Window(datetime(2026, 11, 14, tzinfo=UTC), datetime(2026, 11, 15, tzinfo=UTC))
    first = window.until - timedelta(days=28)
    held = 0
    for _ in range(300):
        level = 500 * np.where(np.arange(44) % 7 < 2, 0.4, 1.0)
        counts = np.maximum(np.rint(random.normal(level, 40)), 0)
        summary = reduced(
            "cost", daily(counts[:28], first), window, now=window.until, per_request=0.01
        )["summary"]
        true = counts[14:].sum() * 0.01  # 1 to 30 November
        assert summary["spent"] == pytest.approx(counts[14:28].sum() * 0.01)
        held += summary["projected_low"] <= true <= summary["projected_high"]
    assert 0.92 <= held / 300 <= 0.985


@pytest.mark.parametrize(
    ("budget", "words"),
    [(1000.0, "within budget"), (151.0, "at risk"), (141.0, "over budget"), (60.0, "over budget")],
)
def test_budgets_are_judged_by_the_interval(budget: float, words: str) -> None:
    """Within, at risk, or over, by where the budget lies relative to what was spent and to the interval."""
    window = Window(datetime(2026, 11, 14, tzinfo=UTC), datetime(2026, 11, 15, tzinfo=UTC))
    counts = np.tile([480.0, 520.0, 500, 490, 510, 470, 530], 4)
    counts[::14] += 40
    given = daily(counts, window.until - timedelta(days=28))
    summary = reduced("cost", given, window, now=window.until, per_request=0.01, budget=budget)[
        "summary"
    ]
    assert summary["projected"] == pytest.approx(150, rel=0.02)
    assert summary["budget_verdict"] == words
    few = reduced(
        "cost",
        daily(counts[:2], window.until - timedelta(days=2)),
        window,
        now=window.until,
        per_request=0.01,
        budget=budget,
    )
    assert few["summary"]["projected"] is None


def test_the_recommended_mix_is_the_cheapest_one() -> None:
    """Of all divisions on a fine grid that bring as many successes, none is cheaper than the recommended one."""
    model = """
rules:
  - {source: a, model: per_request, operation: a, per_request: 0.010, purpose: maps}
  - {source: b, model: hybrid, operation: b, subscription: 5, included_requests: 300, per_request: 0.02, purpose: maps}
  - {source: c, model: per_request, operation: c, per_request: 0.001, purpose: maps}
"""
    drawn = [
        ("s", "a", "ok", 3, 475, 0),
        ("s", "a", "error", 3, 25, 0),
        ("s", "b", "ok", 4, 490, 0),
    ]
    drawn += [
        ("s", "b", "error", 4, 10, 0),
        ("s", "c", "ok", 5, 50, 0),
        ("s", "c", "error", 5, 50, 0),
    ]
    summary = reduced("cost", given_columns(drawn), MONTH, now=MONTH.until, model=model)["summary"]
    mix = {entry["source"]: entry for entry in summary["mix"]}
    assert mix["c"]["recommended_share"] == 0  # cheap, and useless half of the time
    needed, now_paid = 475 + 490 + 50, 500 * 0.01 + 200 * 0.02 + 100 * 0.001

    def paid(a_wins: float) -> float:
        b_calls = (needed - a_wins) / 0.98
        return a_wins / 0.95 * 0.01 + max(b_calls - 300, 0) * 0.02

    cheapest = min(paid(wins) for wins in np.linspace(0, needed, 2001))
    assert mix["a"]["saving"] == pytest.approx(now_paid - cheapest, abs=0.02)
    shares = [entry["recommended_share"] for entry in summary["mix"]]
    assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_from_spans_to_money(store: Store, tmp_path: Path) -> None:
    """Tokens of client spans, cached ones apart, bytes and users of uses, and the value of events, from a store."""
    names = ["Timestamp", "ServiceName", "SpanName", "SpanKind", "ParentSpanId", "SpanAttributes"]
    asked = {
        "gen_ai.request.model": "large",
        "gen_ai.response.model": "large-2",
        "gen_ai.usage.input_tokens": "1000000",
        "gen_ai.usage.cache_read.input_tokens": "400000",
        "gen_ai.usage.output_tokens": "100000",
    }
    used = {"user.id": "ann", "http.response.body.size": "5000000000"}
    at = NOW - timedelta(hours=1)
    rows = [
        [at, "bot", "chat", "Client", "p", asked],
        [at, "shop", "look", "Server", "p", used],
        [at, "shop", "pay", "Server", "p", {"user.id": "bob"}],
    ]
    store.client().insert("otel_traces", rows, column_names=names)
    answer = run("cost", store, now=NOW, where={"": ""}, model=MODEL)
    found = {row.operation: row for row in answer.rows}
    assert found["large-2"].cost is not None
    assert found["large-2"].cost.value == pytest.approx(0.6 * 3 + 0.1 * 15 + 0.4 * 0.3)
    assert found["large-2"].tokens == 1.1e6
    fee = 31 / 30
    included = 3 / 30
    assert found["look"].cost is not None
    assert found["look"].cost.value == pytest.approx(fee + 2 * (5 - included))
    people = {person.user: person.cost for person in answer.summary.people}
    assert people == pytest.approx({"ann": found["look"].cost.value, "bob": 0.02})
    assert answer.summary.currency == "EUR"
    file = tmp_path / "costs.yaml"
    file.write_text(MODEL)
    refused = CliRunner().invoke(
        app, ["report", "cost", "--set", "model=@nowhere.yaml", "--data", str(tmp_path)]
    )
    assert "cannot read nowhere.yaml" in str(refused.exception)


def test_a_use_that_asks_a_model_is_one_call(store: Store) -> None:
    """A span with tokens that is a use itself counts once in every total; the model's own row counts its requests."""
    names = ["Timestamp", "ServiceName", "SpanName", "SpanKind", "ParentSpanId", "SpanAttributes"]
    asked = {"gen_ai.request.model": "large-1", "gen_ai.usage.input_tokens": "1000000"}
    at = NOW - timedelta(hours=1)
    rows = [
        [at, "proxy", "chat", "Client", "", asked],
        [at, "proxy", "chat", "Client", "", asked],
        [at, "shop", "look", "Server", "p", {}],
        [at, "shop", "chat", "Client", "p", asked],
    ]
    store.client().insert("otel_traces", rows, column_names=names)
    answer = run("cost", store, now=NOW, where={"": ""}, model=MODEL)
    usage = run("usage", store, now=NOW, where={"": ""})
    assert answer.summary.calls.value == usage.summary.calls.value == 3
    assert answer.summary.cost_per_request == pytest.approx(answer.summary.cost.value / 3)
    calls = {part.service: part.calls.value for part in answer.summary.applications}
    assert calls == {"proxy": 2, "shop": 1}
    assert sum(day.calls for day in answer.summary.days) == 3
    models = {(row.service, row.operation): row.calls.value for row in answer.rows}
    assert models["proxy", "large-1"] == 2
    assert models["shop", "large-1"] == 1


def test_the_largest_price_still_costs_a_number() -> None:
    """At the bound amounts, intervals and ratios are finite, and nothing warns."""
    drawn = [("shop", "pay", "ok", day, 10**6, 0.5e9) for day in range(20)]
    summary = reduced("cost", given_columns(drawn), MONTH, now=MONTH.until, per_request=MOST)[
        "summary"
    ]
    assert summary["cost"] == pytest.approx(20e6 * MOST)
    assert np.isfinite([summary["projected_low"], summary["projected_high"]]).all()


def test_worth_and_return() -> None:
    """ROI is what uses were worth, less the cost, by the cost; without prices or worth there is none."""
    worth = columns(
        [{"service": "shop", "operation": "pay", "worth": 12.0, "variance": 0.0, "arrivals": 3}]
    )
    drawn = [("shop", "pay", "ok", 2, 200, 0.0)]
    given = given_columns(drawn) | {"worth": worth}
    summary = reduced("cost", given, MONTH, now=MONTH.until, per_request=0.02)["summary"]
    assert (summary["worth"], summary["cost"], summary["roi"]) == (12, 4, 2)
    bare = reduced("cost", given, MONTH, now=MONTH.until)
    assert bare["summary"]["cost"] is bare["summary"]["roi"] is None
    assert "no prices are known" in bare["summary"]["caveats"]
    assert bare["rows"][0]["cost"] is None


def test_billing_weeks_begin_when_asked() -> None:
    """The outlook's billing week follows week_start and the time zone."""
    window = Window(datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 19, tzinfo=UTC))
    given = {
        "billing_period": "week",
        "week_start": "sunday",
        "timezone": "Asia/Tokyo",
        "subscription": 7,
    }
    summary = reduced("cost", {}, window, now=window.until, **given)["summary"]
    assert summary["period_since_at"] == "2026-11-14T15:00:00Z"
    week = periods(window, "week", ZoneInfo("Asia/Tokyo"), "sunday")
    assert summary["period_since_at"].startswith(f"{week.edges[0]:%Y-%m-%dT%H}")
