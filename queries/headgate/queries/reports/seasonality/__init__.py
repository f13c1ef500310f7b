"""Seasonality: which cycles usage follows, how strongly, and when its peaks are (REQ-TRD-09, -10)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from headgate.queries.charts import Bars, HeatMap, Timeline
from headgate.queries.columns import Columns
from headgate.queries.declaration import Ask, Context, Params, Reduced, Report
from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation
from headgate.queries.periods import WEEKDAYS
from headgate.queries.series.cycles import cycles, rotation_test, strength
from headgate.queries.series.grid import EVERYTHING, Grid, ask, calls_by_operation, gridded
from headgate.queries.significance import holm
from headgate.queries.window import Window

Floats = NDArray[np.float64]
SIGNIFICANT, LEAST_STRENGTH = 0.05, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonalityParams(Params):
    """How much of the past is looked at."""

    learn_days: Annotated[float, "days before the window that are looked at too", Gt(0), Le(85)] = (
        28.0
    )
    limit: Annotated[int, "at most this many operations, the most used", Ge(1)] = 50

    @property
    def step(self) -> str:
        """Cycles are looked for in hours."""
        return "hour"


@dataclass(frozen=True, slots=True)
class Seasons:
    """Which cycles there are; the same numbers for one operation and for all."""

    verdict: Annotated[
        str,
        "`daily and weekly`, `daily`, `weekly`, `none`: significant, and a tenth of the variation or more;"
        " `too little data` under 4 days",
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
    peak_hour: Annotated[int | None, "the local hour of the day with most uses"]
    peak_weekday: Annotated[str | None, "the day of the week with most uses"]


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Seasons):
    """One operation of one service."""

    day_series: Annotated[tuple[float | None, ...], "mean uses in each local hour of the day"]


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
class Summary(Seasons):
    """Everything together."""

    learnt_periods: Annotated[int, "hours that were looked at, gaps left out"]
    cycles: Annotated[tuple[Cycle, ...], "cycles of any length, strongest first"]
    hours: Annotated[tuple[Hour, ...], "the day"]
    weekdays: Annotated[tuple[Weekday, ...], "the week"]
    profile: Annotated[tuple[Cell, ...], "every hour of the week"]


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Measure the cycles of every series; rows by strength, most first."""
    counted = calls_by_operation(columns["activity"])
    grid = gridded(columns, context, context.params.limit)
    found = _seasons(grid, counted, context.params.week_start)
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            day_series=tuple(_by(grid, n, grid.hour_of_day, 24)),
            **found[n],
        )
        for n, label in enumerate(grid.labels)
        if n and label in counted
    ]
    rows.sort(key=lambda r: (-(r.daily_strength or 0), -r.calls.value, r.service, r.operation))
    roots = 2 * np.sqrt(grid.calls[0] + 3 / 8)
    begun = np.flatnonzero(grid.counts)
    seen = roots[begun[0] : begun[-1] + 1] if begun.size else np.empty(0)
    names = _weekdays(context.params.week_start)
    by_week = _by(grid, 0, grid.hour_of_week, 168)
    by_hour, by_day = _by(grid, 0, grid.hour_of_day, 24), _by(grid, 0, grid.hour_of_week // 24, 7)
    summary = Summary(
        **found[0],
        learnt_periods=begun.size,
        cycles=tuple(
            Cycle(c.length, round(c.share, 4), float(f"{c.p_value:.3g}")) for c in cycles(seen)
        ),
        hours=tuple(Hour(h, by_hour[h]) for h in range(24) if begun.size),
        weekdays=tuple(
            Weekday(day, None if mean is None else round(mean * 24, 2))
            for day in names
            if begun.size
            for mean in [by_day[WEEKDAYS.index(day)]]
        ),
        profile=tuple(
            Cell(day, h, by_week[24 * WEEKDAYS.index(day) + h])
            for day in names
            for h in range(24)
            if begun.size
        ),
    )
    return Reduced(summary, tuple(rows))


def _weekdays(start: str) -> tuple[str, ...]:
    first = WEEKDAYS.index(start)
    return (*WEEKDAYS[first:], *WEEKDAYS[:first])


def _by(grid: Grid, series: int, slot: NDArray[np.int64], slots: int) -> list[float | None]:
    """Return the mean calls of a series in each slot."""
    known = ~np.isnan(grid.calls[series])
    n = np.bincount(slot[known], minlength=slots)
    sums = np.bincount(slot[known], grid.calls[series][known], slots)
    return [round(float(s / k), 4) if k else None for s, k in zip(sums, n, strict=True)]


def _seasons(
    grid: Grid, counted: Mapping[tuple[str, str], Estimate], week_start: str
) -> list[dict[str, Any]]:
    roots = 2 * np.sqrt(grid.calls + 3 / 8)
    day, days = _days(grid)
    by_hour = _table(roots, day * 24 + grid.hour_of_day, days * 24).reshape(len(roots), days, 24)
    with np.errstate(invalid="ignore"):
        by_day = np.where(np.isnan(by_hour).sum(axis=2) <= 1, _mean(by_hour), np.nan)
    weekday = np.zeros(days, np.int64)
    weekday[day] = grid.hour_of_week // 24
    weekday = (weekday - WEEKDAYS.index(week_start)) % 7
    first = int((-weekday[0]) % 7)
    weeks = (days - first) // 7
    by_week = by_day[:, first : first + 7 * weeks].reshape(len(roots), weeks, 7)
    daily, weekly = strength(roots, grid.hour_of_day, 24), strength(by_day, weekday, 7)
    daily_p, weekly_p = holm(rotation_test(by_hour)), holm(rotation_test(by_week))
    found = []
    for n, label in enumerate(grid.labels):
        hours = _by(grid, n, grid.hour_of_day, 24)
        week = _by(grid, n, grid.hour_of_week // 24, 7)
        cyclic = [
            name
            for name, p, s in (("daily", daily_p[n], daily[n]), ("weekly", weekly_p[n], weekly[n]))
            if p <= SIGNIFICANT and s >= LEAST_STRENGTH
        ]
        judged = not np.isnan(daily_p[n])
        found.append(
            {
                "verdict": " and ".join(cyclic) or ("none" if judged else "too little data"),
                "calls": counted.get(label, counted[EVERYTHING]),
                "daily_strength": _number(daily[n]),
                "daily_p_value": _number(daily_p[n]),
                "weekly_strength": _number(weekly[n]),
                "weekly_p_value": _number(weekly_p[n]),
                "peak_hour": _top(hours),
                "peak_weekday": None if (top := _top(week)) is None else WEEKDAYS[top],
            }
        )
    return found


def _days(grid: Grid) -> tuple[NDArray[np.int64], int]:
    """Return the number of the local day of each period, and how many days there are."""
    zone = grid.periods.zone
    ordinals = np.array([edge.astimezone(zone).toordinal() for edge in grid.periods.edges[:-1]])
    return ordinals - ordinals[0], int(ordinals[-1] - ordinals[0]) + 1


def _table(values: Floats, cell: NDArray[np.int64], size: int) -> Floats:
    """Return the mean of each cell, NaN where it has nothing: [series, size]."""
    out = np.full((len(values), size), np.nan)
    for series, row in enumerate(values):
        known = ~np.isnan(row)
        n = np.bincount(cell[known], minlength=size)
        sums = np.bincount(cell[known], row[known], size)
        out[series] = np.divide(sums, n, out=np.full(size, np.nan), where=n > 0)
    return out


def _mean(table: Floats) -> Floats:
    n = np.count_nonzero(~np.isnan(table), axis=2)
    return np.asarray(np.where(n > 0, np.nansum(table, axis=2) / np.maximum(n, 1), np.nan))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _top(means: list[float | None]) -> int | None:
    known = [(mean, -place) for place, mean in enumerate(means) if mean is not None]
    return -max(known)[1] if known else None


def _asks(params: SeasonalityParams, window: Window) -> Mapping[str, Ask]:
    return ask(params, window, params.learn_days)


REPORT = Report(
    question="Which cycles does usage follow, and when are its peaks?",
    params=SeasonalityParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "verdict",
            "calls",
            "daily_strength",
            "weekly_strength",
            "day_series",
            "peak_hour",
        ),
        "cycles": ("hours", "share", "p_value"),
        "weekdays": ("weekday", "mean_calls"),
    },
    reduce=reduce,
    asks=_asks,
    borrows=("anomalies.activity",),
    charts=(
        HeatMap(
            title="Calls by hour and weekday",
            table="profile",
            x="hour",
            y="weekday",
            value="mean_calls",
        ),
        Timeline(title="The day", table="hours", x="hour", y=("mean_calls",)),
        Bars(
            title="The week", table="weekdays", category="weekday", value="mean_calls", sort=False
        ),
        Bars(title="Strength of the daily cycle", category="operation", value="daily_strength"),
    ),
)
