"""From what was used to what is paid: each line meets its rule; allowances and fees follow billing periods."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.columns import Columns
from headgate.queries.periods import Periods
from headgate.queries.reports.cost.model import CostModel
from headgate.queries.window import Window

Floats = NDArray[np.float64]
GIGABYTE = 1e9
MILLION = 1e6
USE, BYTES, TOKENS = 0, 1, 2


@dataclass(frozen=True)
class Bill:
    """Lines of one window, each column of length n, and the fees of each rule in it.

    `kind` is USE, BYTES or TOKENS; `quantity` uses, gigabytes or requests to models; `full` what it costs at the full
    price and `amount` beyond what is included; `variance` that of the amount. `rule` is -1 without a price; what is not
    `paid` did not succeed, where only success is.
    """

    service: NDArray[Any]
    operation: NDArray[Any]
    outcome: NDArray[Any]
    period_s: NDArray[np.int64]
    kind: NDArray[np.int64]
    rule: NDArray[np.int64]
    paid: NDArray[np.bool_]
    quantity: Floats
    quantity_variance: Floats
    arrivals: Floats
    tokens: Floats
    full: Floats
    amount: Floats
    variance: Floats
    fixed: Floats

    @property
    def uses(self) -> NDArray[np.bool_]:
        """Which lines count uses: a span that asks a model may be a use too, and is one call, not two."""
        return np.asarray(self.kind == USE)

    @property
    def cost(self) -> float:
        """Everything: amounts and fees."""
        return float(self.amount.sum() + self.fixed.sum())

    @cached_property
    def requests(self) -> NDArray[np.bool_]:
        """Which lines count requests: uses and requests to models."""
        return np.asarray(self.kind != BYTES)

    @cached_property
    def allocated(self) -> Floats:
        """Each line's amount with its part of its rule's fee, by requests."""
        counted = self.requests & (self.rule >= 0)
        users = np.bincount(self.rule[counted], self.quantity[counted], self.fixed.size)
        fee = np.zeros(self.rule.size)
        rule = self.rule[counted]
        fee[counted] = self.quantity[counted] * self.fixed[rule] / users[rule]
        return np.asarray(self.amount + fee)


def billed(
    model: CostModel, columns: Mapping[str, Columns], billing: Periods, window: Window
) -> Bill:
    """Return what is paid for the columns `outcomes`, `transfers` and `tokens` of a window."""
    lines = [
        _uses(model, columns["outcomes"]),
        _transfers(model, columns["transfers"]),
        _models(model, columns["tokens"]),
    ]
    found = {name: np.concatenate([part[name] for part in lines]) for name in lines[0]}
    covered = covered_parts(billing, window)
    # The first day may begin before the first period does, where the window cuts it.
    period = np.clip(
        np.searchsorted(billing.edges_s, found["period_s"], side="right") - 1, 0, len(billing) - 1
    )
    share = _beyond_included(model, found, period, covered)
    fixed = np.array([rule.subscription * covered.sum() for rule in model.rules])
    variance = found.pop("full_variance") * share**2
    return Bill(**found, amount=found["full"] * share, variance=variance, fixed=fixed)


def covered_parts(billing: Periods, window: Window) -> Floats:
    """Return which part of each billing period lies in the window."""
    ends = zip(billing.edges[:-1], billing.edges[1:], strict=True)
    return np.array(
        [
            max((min(window.until, end) - max(window.since, start)) / (end - start), 0.0)
            for start, end in ends
        ]
    )


def _beyond_included(
    model: CostModel, found: Mapping[str, Any], period: NDArray[np.int64], covered: Floats
) -> Floats:
    """Return the part of each line that is paid: what its rule includes in a billing period is free, in proportion."""
    share = np.ones(period.size)
    for number, rule in enumerate(model.rules):
        for kind, included in ((USE, rule.included_requests), (BYTES, rule.included_gigabytes)):
            if not included:
                continue
            lines = (found["rule"] == number) & (found["kind"] == kind) & found["paid"]
            mine = np.flatnonzero(lines)
            used = np.bincount(period[mine], found["quantity"][mine], covered.size).astype(float)
            free = np.minimum(included * covered, used)
            paid = np.divide(used - free, used, out=np.zeros_like(used), where=used > 0)
            share[mine] = paid[period[mine]]
    return share


def _uses(model: CostModel, outcomes: Columns) -> dict[str, Any]:
    rule, paid = _ruled(model, outcomes)
    price = np.array([r.per_request for r in model.rules] + [0.0])[rule] * paid
    return _lines(outcomes, USE, rule, paid, price, outcomes["calls"], outcomes["variance"])


def _transfers(model: CostModel, transfers: Columns) -> dict[str, Any]:
    rule, paid = _ruled(model, transfers)
    price = np.array([r.per_gigabyte for r in model.rules] + [0.0])[rule] * paid
    return _lines(
        transfers,
        BYTES,
        rule,
        paid,
        price,
        transfers["bytes"] / GIGABYTE,
        transfers["variance"] / GIGABYTE**2,
    )


def _ruled(model: CostModel, columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rule of each line, and whether its outcome is paid for."""
    pairs = list(zip(columns["service"].tolist(), columns["operation"].tolist(), strict=True))
    known = {pair: model.rule_of(*pair) for pair in set(pairs)}
    rule = np.array([known[pair] for pair in pairs], np.int64)
    only_success = np.array([r.bill == "success" for r in model.rules] + [False])[rule]
    return rule, ~only_success | (columns["outcome"] == "ok")


def _lines(
    columns: Columns,
    kind: int,
    rule: NDArray[np.int64],
    paid: NDArray[np.bool_],
    price: Floats,
    quantity: Floats,
    variance: Floats,
) -> dict[str, Any]:
    quantity, variance = quantity.astype(np.float64), variance.astype(np.float64)
    return {
        "service": columns["service"].astype(object),
        "operation": columns["operation"].astype(object),
        "outcome": columns["outcome"].astype(object),
        "period_s": columns["period_s"].astype(np.int64),
        "kind": np.full(quantity.size, kind),
        "rule": rule,
        "paid": paid.astype(bool),
        "quantity": quantity,
        "quantity_variance": variance,
        "arrivals": columns["arrivals"].astype(np.float64),
        "tokens": np.zeros(quantity.size),
        "full": quantity * price,
        "full_variance": variance * price**2,
    }


def _models(model: CostModel, tokens: Columns) -> dict[str, Any]:
    pairs = list(zip(tokens["service"].tolist(), tokens["model"].tolist(), strict=True))
    known = {pair: model.tokens_of(*pair) for pair in set(pairs)}
    rule = np.array(
        [-1 if (found := known[pair]) is None else found[0] for pair in pairs], np.int64
    )
    prices = (
        np.array(
            [
                (0.0,) * 4
                if (found := known[pair]) is None
                else tuple(
                    found[1].input if price is None else price
                    for price in (found[1].input, found[1].output, found[1].cached, found[1].stored)
                )
                for pair in pairs
            ]
        ).reshape(-1, 4)
        / MILLION
    )
    names = ("input", "output", "cached", "stored")
    used = np.column_stack([tokens[name].astype(np.float64) for name in names])
    spread = np.column_stack(
        [tokens[name].astype(np.float64) for name in ("input_variance", "output_variance")]
    )
    renamed = Columns({**tokens, "operation": tokens["model"]})
    lines = _lines(
        renamed,
        TOKENS,
        rule,
        np.ones(rule.size, bool),
        np.zeros(rule.size),
        tokens["calls"],
        tokens["variance"],
    )
    # Input and output of one request go together, so their standard errors add up at most.
    error = (np.sqrt(spread) * prices[:, :2]).sum(axis=1)
    return lines | {
        "tokens": used.sum(axis=1),
        "full": (used * prices).sum(axis=1),
        "full_variance": error**2,
    }
