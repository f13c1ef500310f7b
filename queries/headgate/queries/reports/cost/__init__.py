"""Cost: what is paid for what, by source, application, user and outcome, and what it brings (REQ-COST-01 to -03)."""

from collections.abc import Mapping
from datetime import timedelta

from headgate.queries.charts import Bars, Share, Timeline
from headgate.queries.columns import Columns
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.periods import Periods, periods
from headgate.queries.reports.cost.bill import billed, covered_parts
from headgate.queries.reports.cost.mix import mixes
from headgate.queries.reports.cost.model import CostModel, Simple, read
from headgate.queries.reports.cost.outlook import LEARN_DAYS, current, outlook
from headgate.queries.reports.cost.records import CostParams, Row, Summary
from headgate.queries.reports.cost.tables import (
    applications,
    caveats,
    days,
    outcomes,
    people,
    rows,
    sources,
    verdict,
    whole,
)
from headgate.queries.window import Window, zone_of

_QUERIES = ("outcomes", "transfers", "tokens")


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Apply the cost model to what was used; rows by cost, most first."""
    params: CostParams = context.params
    model = _model(params)
    priced = bool(model.rules)
    billing = _billing(model, context.window, context)
    bill = billed(model, columns, billing, context.window)
    earlier = context.beside["before"]
    before = billed(model, _of(columns, "before"), _billing(model, earlier, context), earlier).cost
    recent = context.beside["recent"]
    heading = None
    if priced:
        heading = outlook(
            model,
            _of(columns, "recent"),
            recent,
            periods(recent, "day", context.zone),
            current(context.window, model.billing_period, context.zone, params.week_start),
        )
    ahead = heading.projected if heading else None
    worth = round(columns["worth"].sum("worth"), 6) if columns["worth"].rows else None
    summary = Summary(
        **whole(model, bill),
        currency=model.currency,
        billing_period=model.billing_period,
        fixed_cost=round(float(bill.fixed.sum()), 6),
        unallocated_cost=round(max(bill.cost - float(bill.allocated.sum()), 0.0), 6),
        unpriced_calls=round(float(bill.quantity[bill.uses & (bill.rule < 0)].sum()), 2),
        cost_before=round(before, 6) if priced else None,
        change_rate=context.change_rate(bill.cost, before, "before"),
        worth=worth,
        roi=round((worth - bill.cost) / bill.cost, 4) if worth is not None and bill.cost else None,
        period_since_at=heading.window.since if heading else None,
        period_until_at=heading.window.until if heading else None,
        spent=round(heading.spent, 6) if heading else None,
        projected=round(ahead[0], 6) if ahead else None,
        projected_low=round(ahead[1], 6) if ahead else None,
        projected_high=round(ahead[2], 6) if ahead else None,
        budget=model.budget,
        budget_verdict=verdict(model.budget, heading),
        sources=sources(model, bill),
        applications=applications(model, bill),
        outcomes=outcomes(model, bill),
        people=people(model, bill, columns["people"], columns["names"])[: params.limit],
        days=days(bill, context),
        mix=mixes(model, bill, float(covered_parts(billing, context.window).sum())),
        caveats=caveats(model, bill, context),
    )
    return Reduced(summary, rows(model, bill, columns["worth"]))


def _of(columns: Mapping[str, Columns], label: str) -> dict[str, Columns]:
    return {query: columns[f"{label}.{query}"] for query in _QUERIES}


def _billing(model: CostModel, window: Window, context: Context) -> Periods:
    return periods(window, model.billing_period, context.zone, context.params.week_start)


def _model(params: CostParams) -> CostModel:
    simple = Simple(params.per_request, params.per_gigabyte, params.subscription)
    common = {name: getattr(params, name) for name in ("currency", "billing_period", "budget")}
    return read(params.model, simple, **common)


def _asks(params: CostParams, window: Window) -> Mapping[str, Ask]:
    """Ask for the window before, and for what the outlook learns from."""
    model = _model(params)
    length = window.until - window.since
    period = current(window, model.billing_period, zone_of(params.timezone), params.week_start)
    since = min(period.since, window.until - timedelta(days=LEARN_DAYS))
    return {
        "before": Ask(Window(window.since - length, window.since), params, _QUERIES),
        "recent": Ask(Window(since, window.until), params, _QUERIES, additive=True),
    }


REPORT = Report(
    question="What does it cost, by source, application, user and success, and will the budget hold?",
    params=CostParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": ("service", "operation", "calls", "cost", "share", "cost_per_success", "source"),
        "sources": (
            "source",
            "model",
            "calls",
            "success_rate",
            "cost",
            "cost_per_success",
            "share",
        ),
        "applications": ("service", "calls", "cost", "share", "cost_per_request"),
        "outcomes": ("outcome", "cost", "share"),
        "people": ("user", "calls", "cost", "share"),
        "mix": (
            "purpose",
            "source",
            "current_share",
            "recommended_share",
            "marginal_cost",
            "saving",
        ),
        "days": ("date", "calls", "cost"),
    },
    reduce=reduce,
    asks=_asks,
    borrows=("errors.outcomes",),
    rare=("transfers",),
    charts=(
        Timeline(title="Cost by day", table="days", x="date", y=("cost",)),
        Share(title="Cost by source", table="sources", category="source", value="cost"),
        Bars(title="Cost by operation", category="operation", value="cost", color="service"),
        Share(title="Cost by application", table="applications", category="service", value="cost"),
        Share(
            title="Cost of success and failure", table="outcomes", category="outcome", value="cost"
        ),
        Bars(title="Most expensive users", table="people", category="user", value="cost"),
    ),
)
