"""Where the billing period is heading: what was spent, what the rest will cost, and whether the budget holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from headgate.queries.columns import Columns
from headgate.queries.periods import Periods, periods
from headgate.queries.reports.cost.bill import BYTES, USE, Bill, billed
from headgate.queries.reports.cost.model import CostModel
from headgate.queries.window import Window

Floats = NDArray[np.float64]
LEARN_DAYS = 28
WEEKDAYS_FROM = 14
LEAST_DAYS = 3


@dataclass(frozen=True, slots=True)
class Outlook:
    """A billing period: its bounds, what was spent, what it will have cost with its 95 % interval."""

    window: Window
    spent: float
    projected: tuple[float, float, float] | None


def current(window: Window, step: str, zone: Any, week_start: str) -> Window:
    """Return the billing period that holds the last instant of a window."""
    last = Window(window.until - timedelta(microseconds=1), window.until)
    found = periods(last, step, zone, week_start)
    return Window(found.edges[0], found.edges[1])


def outlook(
    model: CostModel, columns: Mapping[str, Columns], recent: Window, days: Periods, period: Window
) -> Outlook:
    """Return the outlook for `period`, given the columns of the `recent` time up to now and its `days`."""
    billing = Periods("period", days.zone, (recent.since, period.since, period.until), period)
    if recent.since >= period.since:
        billing = Periods("period", days.zone, (period.since, period.until), period)
    bill = billed(model, columns, billing, recent)
    quantities, starts = _daily(model, bill, days), days.edges_s[:-1]
    inside = starts >= int(period.since.timestamp())
    elapsed = (recent.until - period.since) / (period.until - period.since)
    so_far = quantities[:, inside].sum(axis=1)
    spent = _price(model, so_far) + elapsed * _fees(model)
    # Days before the first use tell nothing about those to come.
    begun = np.cumsum(quantities.sum(axis=0)) > 0
    learnt = np.flatnonzero(days.whole & begun)[-LEARN_DAYS:]
    left = _left(days, recent, period)
    if not left.size:
        return Outlook(period, spent, (spent, spent, spent))
    if learnt.size < LEAST_DAYS:
        return Outlook(period, spent, None)
    weekly = learnt.size >= WEEKDAYS_FROM
    group = _weekday(days, starts[learnt]) if weekly else np.zeros(learnt.size, int)
    profile = np.column_stack(
        [quantities[:, learnt[group == g]].mean(axis=1) for g in np.unique(group)]
    )
    weekdays = _weekday(days, left[:, 0].astype(np.int64)) if weekly else np.zeros(len(left), int)
    final = so_far + profile[:, weekdays] @ left[:, 1]
    cost = _price(model, final) + _fees(model)
    error, freedom = _error(model, quantities[:, learnt], profile[:, group], final, left[:, 1])
    half = float(special.stdtrit(freedom, 0.975)) * error
    return Outlook(period, spent, (cost, max(cost - half, spent), cost + half))


def _daily(model: CostModel, bill: Bill, days: Periods) -> Floats:
    """Return the paid quantities of each day: requests and gigabytes of each rule, then its cost of tokens."""
    day = days.index(bill.period_s)
    out = np.zeros((3 * len(model.rules), len(days)))
    for number in range(len(model.rules)):
        mine = bill.rule == number
        for place, kind in enumerate((USE, BYTES)):
            lines = mine & (bill.kind == kind) & bill.paid
            out[3 * number + place] = np.bincount(day[lines], bill.quantity[lines], len(days))
        lines = mine & (bill.kind > BYTES)
        out[3 * number + 2] = np.bincount(day[lines], bill.full[lines], len(days))
    return out


def _price(model: CostModel, quantities: Floats) -> float:
    return float(
        sum(
            rule.per_request * max(quantities[3 * i] - rule.included_requests, 0)
            + rule.per_gigabyte * max(quantities[3 * i + 1] - rule.included_gigabytes, 0)
            + quantities[3 * i + 2]
            for i, rule in enumerate(model.rules)
        )
    )


def _fees(model: CostModel) -> float:
    return float(sum(rule.subscription for rule in model.rules))


def _left(days: Periods, recent: Window, period: Window) -> Floats:
    """Return the days that are left, today's rest included: start (s), and the part of the day."""
    if recent.until >= period.until:
        return np.empty((0, 2))
    rest = periods(Window(recent.until, period.until), "day", days.zone)
    return np.array(
        [
            (
                start.timestamp(),
                (min(end, period.until) - max(start, recent.until)) / (end - start),
            )
            for start, end in zip(rest.edges[:-1], rest.edges[1:], strict=True)
        ]
    )


def _weekday(days: Periods, starts_s: NDArray[np.int64]) -> NDArray[np.int64]:
    local = [datetime.fromtimestamp(int(s), UTC).astimezone(days.zone) for s in starts_s]
    return np.array([moment.weekday() for moment in local], np.int64)


def _error(
    model: CostModel, learnt: Floats, expected: Floats, final: Floats, parts: Floats
) -> tuple[float, float]:
    """Return the standard error of the rest's cost and its degrees of freedom.

    Days differ from their profile by s; the rest has the sum of that, and of the profile's own error. A quantity that
    will stay within what is included costs nothing more, whatever it does.
    """
    marginal = np.zeros(len(learnt))
    for i, rule in enumerate(model.rules):
        marginal[3 * i] = rule.per_request * (final[3 * i] > rule.included_requests)
        marginal[3 * i + 1] = rule.per_gigabyte * (final[3 * i + 1] > rule.included_gigabytes)
        marginal[3 * i + 2] = 1.0
    residual = marginal @ (learnt - expected)
    means = np.unique(expected.T, axis=0).shape[0]
    freedom = float(max(residual.size - means, 1))
    variance = float(residual @ residual) / freedom
    rest = float(parts.sum())
    return float(np.sqrt(variance * (float(parts @ parts) + rest**2 / residual.size))), freedom
