"""How the uses of one purpose are divided most cheaply among the sources that serve it (REQ-COST-03)."""

import numpy as np

from headgate.queries.reports.cost.bill import Bill
from headgate.queries.reports.cost.model import CostModel
from headgate.queries.reports.cost.records import Mix

LEAST_CALLS = 20
LEAST_OF_BEST = 0.95


def mixes(model: CostModel, bill: Bill, covered: float) -> tuple[Mix, ...]:
    """Return the cheapest division for as many successes as there were; fees are paid either way.

    First what subscriptions include, then whoever has the lowest price of a success. A source is only recommended if
    LEAST_CALLS tell its success rate, and that is at least LEAST_OF_BEST of the best one's. `covered` is the length of
    the window in billing periods.
    """
    found: list[Mix] = []
    for purpose in sorted({rule.purpose for rule in model.rules if rule.purpose}):
        members = [i for i, rule in enumerate(model.rules) if rule.purpose == purpose]
        found += _divided(purpose, members, model, bill, covered)
    return tuple(found)


def _divided(
    purpose: str, members: list[int], model: CostModel, bill: Bill, covered: float
) -> list[Mix]:
    calls, wins, full, now = (np.zeros(len(members)) for _ in range(4))
    for place, number in enumerate(members):
        mine = bill.rule == number
        requests = mine & bill.requests
        calls[place] = bill.quantity[requests].sum()
        wins[place] = bill.quantity[requests & (bill.outcome == "ok")].sum()
        full[place], now[place] = bill.full[mine].sum(), bill.amount[mine].sum()
    known = (calls >= LEAST_CALLS) & (wins > 0)
    if known.sum() < 2:
        return []
    rate = np.divide(wins, calls, out=np.zeros_like(wins), where=calls > 0)
    price = np.divide(full, wins, out=np.full_like(full, np.inf), where=wins > 0)
    fit = known & (rate >= LEAST_OF_BEST * rate[known].max())
    needed = wins.sum()
    given = np.zeros(len(members))
    included = np.array([model.rules[i].included_requests * covered for i in members])
    for place in sorted(np.flatnonzero(fit & (included > 0)).tolist(), key=lambda i: -rate[i]):
        given[place] = min(included[place] * rate[place], needed - given.sum())
    cheapest = min(np.flatnonzero(fit).tolist(), key=lambda i: (price[i], -rate[i]))
    paid = needed - given.sum()
    given[cheapest] += paid
    asked = np.divide(given, rate, out=np.zeros_like(given), where=rate > 0)
    saving = float(now.sum() - paid * price[cheapest])
    return [
        Mix(
            purpose=purpose,
            source=model.rules[number].source,
            current_share=round(float(calls[place] / calls.sum()), 4),
            recommended_share=round(float(asked[place] / asked.sum()), 4),
            marginal_cost=round(float(price[place]), 6) if np.isfinite(price[place]) else 0.0,
            saving=round(max(saving, 0.0), 6),
        )
        for place, number in enumerate(members)
    ]
