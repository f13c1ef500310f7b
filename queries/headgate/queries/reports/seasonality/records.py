"""What the report on seasons returns: its parameters, its records, what each field means."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from headgate.queries.declaration import Params
from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonalityParams(Params):
    """How much of the past is looked at."""

    step: Annotated[
        Literal["auto", "hour", "day"],
        "length of the periods that are looked at; `auto`: hours where they are kept, up to 90 days, else days",
    ] = "auto"
    learn_days: Annotated[
        float, "days before the window that are looked at too", Gt(0), Le(3650)
    ] = 28.0
    limit: Annotated[int, "at most this many operations, the most used", Ge(1)] = 50


@dataclass(frozen=True, slots=True)
class Seasons:
    """Which cycles there are; the same numbers for one operation and for all."""

    verdict: Annotated[
        str,
        "`daily`, `weekly`, `yearly` or two of them, such as `daily and weekly`, `none`: significant, and a tenth of"
        " the variation or more; `too little data` under 4 whole days (weeks, where days are looked at) since its"
        " first record, `new` where that lies in the window",
    ]
    calls: Annotated[Estimate, "uses in the window"]
    daily_strength: Annotated[
        float | None, "share of the variation around the trend that is the cycle of a day, 0 to 1"
    ]
    daily_p_value: Annotated[
        float | None, "of agreeing so well by chance, by rotating days; corrected over operations"
    ]
    weekly_strength: Annotated[float | None, "the same of the days of a week"]
    weekly_p_value: Annotated[
        float | None, "by rotating weeks, corrected; null under 4 whole weeks"
    ]
    yearly_strength: Annotated[
        float | None,
        "the same of the months of a year, where days are looked at; null under 3 years",
    ]
    yearly_p_value: Annotated[
        float | None, "by rotating years, corrected; null under 4 whole calendar years"
    ]
    peak_hour: Annotated[
        int | None, "the local hour of the day with most uses; null where not all were seen"
    ]
    peak_weekday: Annotated[
        str | None, "the day of the week with most uses; null where not all were seen"
    ]
    peak_month: Annotated[
        int | None, "the month (1 to 12) with most uses a day; null where not all were seen"
    ]


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Seasons):
    """One operation of one service."""

    day_series: Annotated[
        tuple[float | None, ...], "mean uses in each local hour of the day; none of days"
    ]
    learnt_periods: Annotated[
        int, "hours or days that were looked at, gaps left out: from its first record on"
    ]


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle that was found, whatever its length."""

    hours: Annotated[int, "its length"]
    share: Annotated[float, "share of the variation around a straight line at that frequency"]
    p_value: Annotated[float, "of such a peak of the periodogram in red noise"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One hour of the week."""

    weekday: Annotated[str, "day of the week"]
    hour: Annotated[int, "local hour"]
    mean_calls: Annotated[float | None, "mean uses in it; null where it was never seen"]


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the day."""

    hour: Annotated[int, "local hour"]
    mean_calls: Annotated[float | None, "mean uses in it"]


@dataclass(frozen=True, slots=True)
class Weekday:
    """One day of the week."""

    weekday: Annotated[str, "day of the week"]
    mean_calls: Annotated[float | None, "mean uses on it"]


@dataclass(frozen=True, slots=True)
class Month:
    """One month of the year."""

    month: Annotated[int, "1 to 12"]
    mean_calls: Annotated[float | None, "mean uses a day; null where it was never seen"]


@dataclass(frozen=True, slots=True)
class Summary(Seasons):
    """Everything together."""

    step: Annotated[str, "what was looked at: `hour` or `day`"]
    learnt_periods: Annotated[int, "hours or days that were looked at, gaps left out"]
    cycles: Annotated[tuple[Cycle, ...], "cycles of any length, strongest first"]
    hours: Annotated[tuple[Hour, ...], "the day; none of days"]
    weekdays: Annotated[tuple[Weekday, ...], "the week"]
    profile: Annotated[tuple[Cell, ...], "every hour of the week; none of days"]
    months: Annotated[tuple[Month, ...], "the year, where days were looked at"]
