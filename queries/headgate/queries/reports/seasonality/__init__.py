"""Seasonality: which cycles usage follows, how strongly, and when its peaks are (REQ-TRD-09, -10)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.charts import Bars, HeatMap, Timeline
from headgate.queries.columns import Columns
from headgate.queries.coverage import ARRIVALS, BORROWED
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.estimate import Estimate
from headgate.queries.periods import WEEKDAYS
from headgate.queries.reports.seasonality.records import (
    Cell,
    Cycle,
    Hour,
    Month,
    Row,
    SeasonalityParams,
    Summary,
    Weekday,
)
from headgate.queries.series.cycles import cycles, rotation_test, strength
from headgate.queries.series.grid import EVERYTHING, Grid, ask, calls_by_operation, gridded
from headgate.queries.significance import holm
from headgate.queries.window import Window

Floats = NDArray[np.float64]
SIGNIFICANT, LEAST_STRENGTH = 0.05, 0.1
NEW, TOO_LITTLE = "new", "too little data"
_NO_PROFILES: dict[str, Any] = dict.fromkeys(("hours", "weekdays", "profile", "months"), ())


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Measure the cycles of every series; rows by strength, most first."""
    counted = calls_by_operation(columns["activity"])
    grid = gridded(columns, context, context.params.limit)
    hourly = grid.periods.step == "hour"
    found = _seasons(grid, counted, context)
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            day_series=tuple(_by(grid, n, grid.hour_of_day, 24)) if hourly else (),
            learnt_periods=int(grid.learnt[n]),
            **found[n],
        )
        for n, label in enumerate(grid.labels)
        if n and label in counted
    ]
    rows.sort(key=lambda r: (-_strongest(r), -r.calls.value, r.service, r.operation))
    roots = 2 * np.sqrt(grid.calls[0] + 3 / 8)
    begun = np.flatnonzero(grid.counts)
    seen = roots[begun[0] : begun[-1] + 1] if begun.size else np.empty(0)
    hours = 1 if hourly else 24
    summary = Summary(
        **found[0],
        step=grid.periods.step,
        learnt_periods=begun.size,
        cycles=tuple(
            Cycle(hours * c.length, round(c.share, 4), float(f"{c.p_value:.3g}"))
            for c in cycles(seen)
        ),
        **(_profiles(grid, context.params.week_start) if begun.size else _NO_PROFILES),
    )
    return Reduced(summary, tuple(rows))


def _strongest(row: Row) -> float:
    """Return the strength that rows are ordered by: of hours that of the day, of days that of the week."""
    found = row.weekly_strength if row.daily_strength is None else row.daily_strength
    return found or 0.0


def _profiles(grid: Grid, week_start: str) -> dict[str, Any]:
    """Return the means of everything by hour, weekday, hour of the week, and, of days, by month."""
    hourly, names = grid.periods.step == "hour", _weekdays(week_start)
    by_week, by_day = _by(grid, 0, grid.hour_of_week, 168), _by(grid, 0, grid.hour_of_week // 24, 7)
    by_hour, by_month = _by(grid, 0, grid.hour_of_day, 24), _by(grid, 0, _months(grid)[1], 12)
    return {
        "hours": tuple(Hour(h, by_hour[h]) for h in range(24) if hourly),
        "weekdays": tuple(
            Weekday(day, None if mean is None else round(mean * (24 if hourly else 1), 2))
            for day in names
            for mean in [by_day[WEEKDAYS.index(day)]]
        ),
        "profile": tuple(
            Cell(day, h, by_week[24 * WEEKDAYS.index(day) + h])
            for day in names
            for h in range(24)
            if hourly
        ),
        "months": tuple(Month(m + 1, by_month[m]) for m in range(12) if not hourly),
    }


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
    grid: Grid, counted: Mapping[tuple[str, str], Estimate], context: Context
) -> list[dict[str, Any]]:
    roots = 2 * np.sqrt(grid.calls + 3 / 8)
    hourly, unknown = grid.periods.step == "hour", np.full(len(roots), np.nan)
    day, days = _days(grid)
    if hourly:
        by_hour = _table(roots, day * 24 + grid.hour_of_day, days * 24).reshape(-1, days, 24)
        with np.errstate(invalid="ignore"):
            by_day = np.where(np.isnan(by_hour).sum(axis=2) <= 1, _mean(by_hour), np.nan)
        daily = strength(roots, grid.hour_of_day, 24, grid.begins)
        daily_p = holm(rotation_test(by_hour))
        yearly = yearly_p = unknown
    else:
        by_day = _table(roots, day, days)
        daily = daily_p = unknown
        yearly, yearly_p = _yearly(roots, grid)
    weekday = np.zeros(days, np.int64)
    weekday[day] = grid.hour_of_week // 24
    weekday = (weekday - WEEKDAYS.index(context.params.week_start)) % 7
    first = int((-weekday[0]) % 7)
    weeks = max((days - first) // 7, 0)
    by_week = by_day[:, first : first + 7 * weeks].reshape(len(roots), weeks, 7)
    weekly = strength(by_day, weekday, 7, _cells(day, grid))
    weekly_p = holm(rotation_test(by_week))
    named = (
        ("daily", daily, daily_p),
        ("weekly", weekly, weekly_p),
        ("yearly", yearly, yearly_p),
    )
    found = []
    for n, label in enumerate(grid.labels):
        hours, months = _by(grid, n, grid.hour_of_day, 24), _by(grid, n, _months(grid)[1], 12)
        week = _by(grid, n, grid.hour_of_week // 24, 7)
        cyclic = [name for name, s, p in named if p[n] <= SIGNIFICANT and s[n] >= LEAST_STRENGTH]
        judged = not np.isnan((daily_p if hourly else weekly_p)[n])
        otherwise = "none" if judged else NEW if context.is_new(label) else TOO_LITTLE
        top_day, top_month = _top(week), _top(months)
        found.append(
            {
                "verdict": " and ".join(cyclic) or otherwise,
                "calls": counted.get(label, counted[EVERYTHING]),
                **{f"{name}_strength": _number(s[n]) for name, s, _ in named},
                **{f"{name}_p_value": _number(p[n]) for name, _, p in named},
                "peak_hour": _top(hours) if hourly else None,
                "peak_weekday": None if top_day is None else WEEKDAYS[top_day],
                "peak_month": None if top_month is None else top_month + 1,
            }
        )
    return found


def _yearly(roots: Floats, grid: Grid) -> tuple[Floats, Floats]:
    """Return the strength of the cycle of months, and its probability by chance, of a grid of days."""
    year, month = _months(grid)
    years = int(year[-1]) + 1
    cell = year * 12 + month
    by_month = _table(roots, cell, years * 12)
    p = holm(rotation_test(by_month.reshape(len(roots), years, 12)))
    return strength(by_month, np.arange(years * 12) % 12, 12, _cells(cell, grid)), p


def _cells(cell: NDArray[np.int64], grid: Grid) -> NDArray[np.int64]:
    """Return in which cell of periods each series begins; 0 where it was there before."""
    return np.where(grid.begins > 0, cell[np.minimum(grid.begins, cell.size - 1)], 0)


def _months(grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of the local year of each period, from 0, and its month, 0 to 11."""
    local = [edge.astimezone(grid.periods.zone) for edge in grid.periods.edges[:-1]]
    year = np.array([at.year for at in local], np.int64)
    return year - year[0], np.array([at.month - 1 for at in local], np.int64)


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
    """Return where the first of the largest means is; None where one was never seen."""
    known = [(mean, -place) for place, mean in enumerate(means) if mean is not None]
    return -max(known)[1] if len(known) == len(means) else None


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
            "yearly_strength",
            "peak_month",
        ),
        "cycles": ("hours", "share", "p_value"),
        "weekdays": ("weekday", "mean_calls"),
        "months": ("month", "mean_calls"),
    },
    reduce=reduce,
    asks=_asks,
    firsts=True,
    borrows=("anomalies.activity", BORROWED),
    on_request=(ARRIVALS,),
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
        Bars(title="The year", table="months", category="month", value="mean_calls", sort=False),
        Bars(title="Strength of the daily cycle", category="operation", value="daily_strength"),
    ),
)
