"""What the report on trends returns: its records, what each field means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation, OfPeriod
from headgate.queries.reports.trend.turns import Change


@dataclass(frozen=True, slots=True)
class Trend:
    """Where it goes; the same numbers for one operation and for all. Velocities are calls a period, per period."""

    trend: Annotated[
        str,
        "under 5 whole periods with records `new` where its first record lies in the window, else"
        " `not enough history`; of more, tested in this order: `abandoned`"
        " (velocity <= -2 and under 5 calls), `emerging` (under 10 calls), `growing` (velocity > 0.5),"
        " `declining` (< -0.5), `stable`",
    ]
    calls: Annotated[Estimate, "uses"]
    velocity: Annotated[
        float,
        "least-squares slope of calls by period, over whole periods from its first record on, gaps left out",
    ]
    velocity_p_value: Annotated[
        float | None, "how probable a slope so far from 0 is by chance; null under 3 periods"
    ]
    acceleration: Annotated[float, "slope of the second half of the periods less that of the first"]
    growth_rate: Annotated[
        float | None,
        "last quarter of the periods / first quarter - 1; 1 where only the last has calls; null of what is `new`",
    ]
    change_rate: Annotated[
        float | None,
        "calls a day against the window before; null without any there, or records of all of it",
    ]
    unique_users: Annotated[Estimate, "distinct users"]
    new_users_per_week: Annotated[
        Estimate,
        "adoption: users whose first day is in the window / max(days / 7, 1); user_day remembers 400"
        " days, raw rows only the window",
    ]
    retention_rate: Annotated[
        float | None,
        "share of users who came in two weeks that follow one another; null under 14 days",
    ]
    churn_rate: Annotated[float | None, "1 - retention_rate"]
    confidence_score: Annotated[
        float, "0.7 min(calls / 100, 1) + 0.3 min(periods / 10, 1); above 20 calls over 7 days, say"
    ]


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Trend):
    """One operation of one service."""

    calls_series: Annotated[
        tuple[float | None, ...],
        "calls of each period; null where nothing at all was recorded, and before its first record",
    ]
    changed_at: Annotated[
        datetime | None, "when its calls changed their level, if they did (see `changes`)"
    ]


@dataclass(frozen=True, slots=True)
class Period(OfPeriod):
    """Everything in one period."""

    calls: Annotated[float | None, "uses; null where nothing at all was recorded: missing, not 0"]
    changed: Annotated[bool, "whether a change of level began here"]


@dataclass(frozen=True, slots=True)
class Summary(Trend):
    """Everything in the window together."""

    step: Annotated[str, "what a period is"]
    periods: Annotated[int, "whole periods that are not missing: what slopes are made of"]
    periods_missing: Annotated[int, "periods in which nothing at all was recorded"]
    changes: Annotated[
        tuple[Change, ...],
        "changes of level, the surest first: about one in twenty of them is by chance",
    ]
    timeline: Annotated[tuple[Period, ...], "every period of the window, in order"]
