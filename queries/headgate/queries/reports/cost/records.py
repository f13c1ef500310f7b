"""What the report on cost returns: its parameters, its records, what each field means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Ge, Le

from headgate.queries.declaration import Params
from headgate.queries.estimate import Estimate
from headgate.queries.reports.cost.model import MOST, BillingPeriod


@dataclass(frozen=True, slots=True, kw_only=True)
class CostParams(Params):
    """What things cost: a model, or one price for everything."""

    model: Annotated[
        str, "cost model as YAML, see docs/how-to/what-does-it-cost.md; `@FILE` on the command line"
    ] = ""
    per_request: Annotated[float | None, "price of a use, without a model", Ge(0), Le(MOST)] = None
    per_gigabyte: Annotated[
        float | None, "price of 10^9 bytes, without a model", Ge(0), Le(MOST)
    ] = None
    subscription: Annotated[
        float | None, "price of a billing period, without a model", Ge(0), Le(MOST)
    ] = None
    currency: Annotated[str | None, "ISO 4217 code; the model's, else USD"] = None
    billing_period: Annotated[
        BillingPeriod | None, "what a subscription and a budget are for; the model's, else month"
    ] = None
    budget: Annotated[
        float | None, "to spend in a billing period; the model's, else none", Ge(0), Le(MOST)
    ] = None
    limit: Annotated[int, "at most this many users, the most expensive first", Ge(1)] = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What something cost, and what that is for one use."""

    calls: Annotated[
        Estimate, "uses, failed or not; of a model, and of a rule for tokens, requests to it"
    ]
    success_count: Annotated[Estimate, "uses that ended well"]
    cost: Annotated[Estimate | None, "what it cost, in `summary.currency`; null without a price"]
    cost_per_request: Annotated[float | None, "cost / calls"]
    cost_per_success: Annotated[float | None, "cost / success_count: failures are paid for too"]


@dataclass(frozen=True, slots=True)
class Row(Cost):
    """One operation of one service, or one model that a service asks."""

    service: Annotated[str, "service.name"]
    operation: Annotated[str, "span or event name, the value of `by`, or the model"]
    source: Annotated[str | None, "the rule that is paid; null for none"]
    share: Annotated[float | None, "its share of everything allocated"]
    gigabytes: Annotated[float, "10^9 bytes in and out, where uses say so"]
    tokens: Annotated[float, "tokens in and out, of models"]
    worth: Annotated[float | None, "sum of `headgate.event.value`; null without any"]


@dataclass(frozen=True, slots=True)
class Source(Cost):
    """One rule of the model."""

    source: Annotated[str, "its name"]
    model: Annotated[str, "how it is paid"]
    share: Annotated[float | None, "its share of the total"]
    success_rate: Annotated[float | None, "success_count / calls"]
    fixed_cost: Annotated[float, "of that, what is paid whatever is used"]


@dataclass(frozen=True, slots=True)
class Application(Cost):
    """One service."""

    service: Annotated[str, "service.name"]
    share: Annotated[float | None, "its share of everything allocated"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was spent on calls that ended so."""

    outcome: Annotated[str, "`ok`, `error` or `timeout`"]
    cost: Annotated[float, "what they cost"]
    share: Annotated[float, "share of everything allocated"]


@dataclass(frozen=True, slots=True)
class Person:
    """One user, of the busiest thousand."""

    user: Annotated[str, "user.id, its hash where only that is known"]
    calls: Annotated[float, "their uses"]
    cost: Annotated[
        float,
        "their part: what a success or a failure of each operation costs on average, times theirs; without"
        " models, which do not say for whom they worked",
    ]
    share: Annotated[float, "of everything allocated"]


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the time zone."""

    date: Annotated[str, "the date"]
    cost: Annotated[float, "what was spent, fixed costs spread evenly"]
    calls: Annotated[float, "uses"]


@dataclass(frozen=True, slots=True)
class Mix:
    """How the uses of one purpose should be divided among the sources that serve it."""

    purpose: Annotated[str, "what the sources have in common"]
    source: Annotated[str, "one of them"]
    current_share: Annotated[float, "its share of the uses now"]
    recommended_share: Annotated[float, "its share in the cheapest division"]
    marginal_cost: Annotated[float, "price of one more success, beyond what is included"]
    saving: Annotated[float, "what the whole purpose would save in the window"]


@dataclass(frozen=True, slots=True)
class Summary(Cost):
    """Everything in the window together, and where the billing period is heading."""

    currency: Annotated[str, "ISO 4217 code of every amount"]
    billing_period: Annotated[str, "what subscriptions and the budget are for"]
    fixed_cost: Annotated[float, "of the cost, what is paid whatever is used"]
    unallocated_cost: Annotated[float, "fixed costs of sources that nobody used"]
    unpriced_calls: Annotated[float, "uses without a rule"]
    cost_before: Annotated[float | None, "cost of the window before, of the same length"]
    change_rate: Annotated[
        float | None, "cost a day / before - 1; null where that was nothing, or not recorded of all"
    ]
    worth: Annotated[float | None, "sum of `headgate.event.value`; null without any"]
    roi: Annotated[float | None, "(worth - cost) / cost; null without worth or cost"]
    period_since_at: Annotated[datetime | None, "begin of the current billing period"]
    period_until_at: Annotated[datetime | None, "its end"]
    spent: Annotated[float | None, "cost of the current billing period so far"]
    projected: Annotated[
        float | None,
        "cost of the whole billing period, by the last 28 days: weekday by weekday from 14 days on; null"
        " for fewer than 3 whole days since the first use",
    ]
    projected_low: Annotated[float | None, "lower end of its 95 % interval"]
    projected_high: Annotated[float | None, "upper end of its 95 % interval"]
    budget: Annotated[float | None, "what may be spent in it"]
    budget_verdict: Annotated[
        str | None,
        "`over budget` (spent already, or all of the interval), `at risk` (part of it), `within budget`;"
        " null without a budget or a projection",
    ]
    caveats: Annotated[str | None, "what to know about these numbers; null for nothing"]
    sources: Annotated[tuple[Source, ...], "every rule, most expensive first"]
    applications: Annotated[tuple[Application, ...], "every service, most expensive first"]
    outcomes: Annotated[tuple[Outcome, ...], "success and failure"]
    people: Annotated[tuple[Person, ...], "users, most expensive first"]
    days: Annotated[tuple[Day, ...], "every day, in order"]
    mix: Annotated[tuple[Mix, ...], "recommended division among sources of one purpose"]
