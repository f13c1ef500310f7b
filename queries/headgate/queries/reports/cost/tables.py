"""A bill as records: by operation and model, rule, service, outcome, user and day."""

from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Context
from headgate.queries.estimate import Estimate, count, exactly
from headgate.queries.reports.cost.bill import TOKENS, Bill
from headgate.queries.reports.cost.model import CostModel
from headgate.queries.reports.cost.outlook import Outlook
from headgate.queries.reports.cost.records import Application, Day, Outcome, Person, Row, Source
from headgate.queries.source import RAW_KEEP

Z95 = 1.959963984540054
_DIGITS = 6


def whole(model: CostModel, bill: Bill) -> dict[str, Any]:
    """Return the fields of `Cost` for everything."""
    everything = np.ones(bill.rule.size, bool)
    return _cost(bill, everything, bill.uses, bill.cost if model.rules else None)


def _cost(
    bill: Bill, mine: NDArray[np.bool_], counted: NDArray[np.bool_], cost: float | None
) -> dict[str, Any]:
    """Return the fields of `Cost` for the lines that are `mine`; those that are `counted` among them are its calls."""
    requests = mine & counted
    well = requests & (bill.outcome == "ok")
    calls, wins = _calls(bill, requests), _calls(bill, well)
    money = None
    if cost is not None:
        error = float(np.sqrt(bill.variance[mine].sum()))
        money = Estimate(cost, error, max(cost - Z95 * error, 0.0), cost + Z95 * error)
        money = (money if error else exactly(cost)).rounded(_DIGITS)
    return {
        "calls": calls,
        "success_count": wins,
        "cost": money,
        "cost_per_request": _ratio(cost, calls.value),
        "cost_per_success": _ratio(cost, wins.value),
    }


def _calls(bill: Bill, lines: NDArray[np.bool_]) -> Estimate:
    return count(
        float(bill.quantity[lines].sum()),
        float(bill.quantity_variance[lines].sum()),
        float(bill.arrivals[lines].sum()),
    )


def _ratio(cost: float | None, number: float) -> float | None:
    return None if cost is None or not number else round(cost / number, 9)


def _share(part: float, every: float) -> float:
    return round(part / every, 4) if every else 0.0


def rows(model: CostModel, bill: Bill, worth: Columns) -> tuple[Row, ...]:
    """Return one row an operation, and one a model that a service asks."""
    values = {label: part.sum("worth") for label, part in parts(worth, "service", "operation")}
    every = float(bill.allocated.sum())
    is_model = bill.kind == TOKENS
    found = []
    labels = Columns(
        {
            "service": bill.service,
            "operation": bill.operation,
            "is_model": is_model,
            "line": np.arange(bill.rule.size),
        }
    )
    for (service, operation, of_model), part in parts(labels, "service", "operation", "is_model"):
        mine = np.zeros(bill.rule.size, bool)
        mine[part["line"]] = True
        rule = int(bill.rule[part["line"][0]])
        cost = float(bill.allocated[mine].sum()) if rule >= 0 else None
        found.append(
            Row(
                service=service,
                operation=operation,
                source=model.rules[rule].source if rule >= 0 else None,
                share=None if cost is None else _share(cost, every),
                gigabytes=round(float(bill.quantity[mine & ~bill.requests].sum()), 6),
                tokens=round(float(bill.tokens[mine].sum()), 2),
                worth=None if of_model else values.get((service, operation)),
                **_cost(bill, mine, bill.requests, cost),
            )
        )
    found.sort(
        key=lambda r: (-(r.cost.value if r.cost else -1), -r.calls.value, r.service, r.operation)
    )
    return tuple(found)


def sources(model: CostModel, bill: Bill) -> tuple[Source, ...]:
    """Return one record a rule."""
    found = []
    for number, rule in enumerate(model.rules):
        mine = bill.rule == number
        fixed = float(bill.fixed[number])
        cost = float(bill.amount[mine].sum()) + fixed
        numbers = _cost(bill, mine, bill.requests, cost)
        calls = numbers["calls"].value
        found.append(
            Source(
                source=rule.source,
                model=rule.model,
                share=_share(cost, bill.cost),
                success_rate=round(numbers["success_count"].value / calls, 4) if calls else None,
                fixed_cost=round(fixed, _DIGITS),
                **numbers,
            )
        )
    return tuple(sorted(found, key=lambda s: (-(s.cost.value if s.cost else 0), s.source)))


def applications(model: CostModel, bill: Bill) -> tuple[Application, ...]:
    """Return one record a service."""
    every = float(bill.allocated.sum())
    found = []
    for service in sorted(set(bill.service.tolist())):
        mine = bill.service == service
        cost = float(bill.allocated[mine].sum()) if model.rules else None
        share = None if cost is None else _share(cost, every)
        numbers = _cost(bill, mine, bill.uses, cost)
        found.append(Application(service=service, share=share, **numbers))
    return tuple(sorted(found, key=lambda a: (-(a.cost.value if a.cost else 0), a.service)))


def outcomes(model: CostModel, bill: Bill) -> tuple[Outcome, ...]:
    """Return what was spent on success and on failure."""
    every = float(bill.allocated.sum())
    return tuple(
        Outcome(outcome, round(cost, _DIGITS), _share(cost, every))
        for outcome in ("ok", "error", "timeout")
        if model.rules and (mine := bill.outcome == outcome).any()
        for cost in [float(bill.allocated[mine].sum())]
    )


def people(model: CostModel, bill: Bill, used: Columns, names: Columns) -> tuple[Person, ...]:
    """Return each user's part: what a success or failure of an operation cost on average, times theirs."""
    if not model.rules or not used.rows:
        return ()
    every = float(bill.allocated.sum())
    labels = Columns(
        {
            "service": bill.service,
            "operation": bill.operation,
            "well": bill.outcome == "ok",
            "line": np.arange(bill.rule.size),
        }
    ).chosen(bill.kind != TOKENS)
    price: dict[tuple[Any, ...], float] = {}
    for label, part in parts(labels, "service", "operation", "well"):
        lines = part["line"]
        number = float(bill.quantity[lines][bill.requests[lines]].sum())
        price[label] = float(bill.allocated[lines].sum()) / number if number else 0.0
    pairs = list(zip(used["service"].tolist(), used["operation"].tolist(), strict=True))
    calls, errors = used["calls"].astype(float), used["errors"].astype(float)
    each = [np.array([price.get((*pair, well), 0.0) for pair in pairs]) for well in (True, False)]
    priced = used.replaced("cost", each[0] * (calls - errors) + each[1] * errors)
    known = dict(zip(names["user_hash"].tolist(), names["user"].tolist(), strict=True))
    found = [
        Person(
            user=known.get(user_hash) or f"{int(user_hash):016x}",
            calls=round(part.sum("calls"), 2),
            cost=round(part.sum("cost"), _DIGITS),
            share=_share(part.sum("cost"), every),
        )
        for (user_hash,), part in parts(priced, "user_hash")
    ]
    return tuple(sorted(found, key=lambda p: (-p.cost, -p.calls, p.user)))


def days(bill: Bill, context: Context) -> tuple[Day, ...]:
    """Return what every day cost, fees spread evenly over the window."""
    grid, window = context.periods, context.window
    day = grid.index(bill.period_s)
    amount = np.bincount(day, bill.amount, len(grid))
    calls = np.bincount(day[bill.uses], bill.quantity[bill.uses], len(grid))
    length = (window.until - window.since) / timedelta(seconds=1)
    fees = float(bill.fixed.sum())
    return tuple(
        Day(
            date=grid.label(i),
            cost=round(
                float(amount[i])
                + fees
                * (
                    (
                        min(grid.edges[i + 1], window.until) - max(grid.edges[i], window.since)
                    ).total_seconds()
                    / length
                ),
                _DIGITS,
            ),
            calls=round(float(calls[i]), 2),
        )
        for i in range(len(grid) if bill.rule.size else 0)
    )


def verdict(budget: float | None, heading: Outlook | None) -> str | None:
    """Return whether the budget holds."""
    if budget is None or heading is None:
        return None
    if heading.spent > budget:
        return "over budget"
    if heading.projected is None:
        return None
    _, low, high = heading.projected
    if low > budget:
        return "over budget"
    return "at risk" if high > budget else "within budget"


def caveats(model: CostModel, bill: Bill, context: Context) -> str | None:
    """Return what to know about the numbers."""
    found = []
    if not model.rules:
        found.append(
            "no prices are known: give a model, or per_request, per_gigabyte or subscription"
        )
    if any(rule.model == "tokens" for rule in model.rules) and (
        context.now - context.window.since > RAW_KEEP
    ):
        found.append(f"tokens are counted from raw spans, which are kept for {RAW_KEEP.days} days")
    if model.rules and (bill.uses & (bill.rule < 0)).any():
        found.append("some uses match no rule and cost nothing here")
    if model.rules and ((bill.kind == TOKENS) & (bill.rule < 0)).any():
        found.append("the tokens of some models match no rule and cost nothing here")
    return "; ".join(found) or None
