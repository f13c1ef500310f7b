"""Forecast: how much will be used, with intervals that were tried out on the past (REQ-TRD-10)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from headgate.queries.charts import Bars, Timeline
from headgate.queries.columns import Columns
from headgate.queries.coverage import ARRIVALS, BORROWED
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.estimate import Estimate
from headgate.queries.periods import periods
from headgate.queries.reports.forecast.records import ForecastParams, Period, Row, Summary
from headgate.queries.series.backtest import forecast, long_enough, name_of
from headgate.queries.series.grid import EVERYTHING, Grid, ask, calls_by_operation, gridded
from headgate.queries.window import Window

Floats = NDArray[np.float64]
TOO_LITTLE, NEW, UNSURE = "too little data", "new", "unsure"
LEAST_TRIALS = 4


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Forecast every series; rows by forecast, most first."""
    params: ForecastParams = context.params
    counted = calls_by_operation(columns["activity"])
    grid = gridded(columns, context, params.limit)
    future = _future(grid, params.horizon_days)
    found = _forecasts(grid, future)
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            forecast_series=_series(found.get(number)),
            learnt_periods=int(grid.learnt[number]),
            **_outlook(found.get(number), counted[label], new=context.is_new(label)),
        )
        for number, label in enumerate(grid.labels)
        if number and label in counted
    ]
    rows.sort(key=lambda r: (-(r.forecast or 0), -r.calls.value, r.service, r.operation))
    edges = future.periods.edges
    summary = Summary(
        horizon_since_at=edges[0],
        horizon_until_at=edges[-1],
        learnt_periods=int(grid.counts.sum()),
        timeline=_timeline(grid, found.get(0), edges) if columns["activity"].rows else (),
        **_outlook(found.get(0), counted[EVERYTHING]),
    )
    return Reduced(summary, tuple(rows))


def _future(grid: Grid, days: float) -> Grid:
    """Return the periods to forecast, as a grid without values: from the first that is not whole."""
    last = np.flatnonzero(grid.periods.whole)
    begin = grid.periods.edges[last[-1] + 1] if last.size else grid.periods.edges[0]
    step = timedelta(hours=1) if grid.periods.step == "hour" else timedelta(days=1)
    window = Window(begin, begin + max(round(timedelta(days=days) / step), 1) * step)
    ahead = periods(window, grid.periods.step, grid.periods.zone)
    nothing = np.empty((0, len(ahead)))
    none = np.zeros(len(ahead), bool)
    return Grid(
        (), nothing, nothing, nothing, nothing, ahead, none, none, none, np.empty(0, np.int64)
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """One series' forecast in calls [horizon], the totals of its trials, their errors, and what came before."""

    calls: Floats
    low: Floats
    high: Floats
    trial_totals: Floats
    actual_totals: Floats
    error_rate: float
    coverage_rate: float
    before: float
    method: str


def _forecasts(grid: Grid, future: Grid) -> dict[int, _Found]:
    """Forecast each series that is long enough, from the first period that counts to the last whole one."""
    used = np.flatnonzero(grid.counts)
    if not used.size:
        return {}
    part = slice(used[0], int(np.flatnonzero(grid.periods.whole)[-1]) + 1)
    calls, begins = grid.calls[:, part], np.maximum(grid.begins - used[0], 0)
    found: dict[int, _Found] = {}
    left = np.ones(len(calls), bool)
    for season, slot, ahead in _seasons(grid, future):
        now = left & long_enough(begins, calls.shape[1], ahead.size, season)
        left &= ~now
        chosen = np.flatnonzero(now)
        if chosen.size:
            made = _forecast(calls[chosen], slot[part], ahead, season, begins[chosen])
            found |= dict(zip(chosen.tolist(), made, strict=True))
    return found


def _forecast(
    calls: Floats, slot: NDArray[np.int64], future: NDArray[np.int64], season: int, begins: Any
) -> list[_Found]:
    """Forecast roots of counts, whose noise has one size."""
    model = forecast(2 * np.sqrt(calls + 3 / 8), slot, future, season, begins)
    noise = np.nanmean(model.errors**2, axis=(1, 2))
    said, came = _back(model.ahead, noise[:, None, None]), _back(model.ahead + model.errors, 0.0)
    known = ~np.isnan(came)
    with np.errstate(divide="ignore", invalid="ignore"):
        error_rate = np.where(known, np.abs(came - said), 0).sum(axis=(1, 2)) / np.nansum(
            came, axis=(1, 2)
        )
    return [
        _Found(*parts)
        for parts in zip(
            _back(model.middle, noise[:, None]),
            _back(model.low, 0.0),
            _back(model.high, 0.0),
            np.where(known, said, 0).sum(axis=2),
            np.nansum(came, axis=2),
            error_rate.tolist(),
            model.coverage.tolist(),
            _mean(calls[:, -future.size :]) * future.size,
            map(name_of, model.method.tolist()),
            strict=True,
        )
    ]


def _seasons(grid: Grid, future: Grid) -> list[tuple[int, Any, Any]]:
    """Return the seasons to try, the longest first: its periods, and the slots of past and future."""
    week = (grid.hour_of_week, future.hour_of_week)
    if grid.periods.step == "day":
        return [(7, *week)]
    return [(168, *week), (24, grid.hour_of_day, future.hour_of_day)]


def _back(roots: Floats, noise: Floats | float) -> Floats:
    """Return counts of roots; the mean of a count is larger than the count of the mean root, by their variance / 4."""
    return np.asarray(np.maximum((np.maximum(roots, 0) ** 2 + noise) / 4 - 3 / 8, 0))


def _mean(values: Floats) -> Floats:
    """Return the mean of what is known of each series, NaN where nothing is."""
    known = np.count_nonzero(~np.isnan(values), axis=1)
    return np.asarray(np.nansum(values, axis=1) / np.where(known, known, np.nan))


def _series(found: _Found | None) -> tuple[float, ...]:
    return () if found is None else tuple(np.round(found.calls, 2).tolist())


def _outlook(found: _Found | None, calls: Estimate, *, new: bool = False) -> dict[str, Any]:
    if found is None:
        names = "forecast forecast_low forecast_high change_rate method"
        names += " backtest_error_rate backtest_coverage_rate"
        told = dict.fromkeys(names.split())
        return {"verdict": NEW if new else TOO_LITTLE, "calls": calls, "backtests": 0, **told}
    total = float(found.calls.sum())
    said, came = found.trial_totals, found.actual_totals
    ratio = came[said > 0] / said[said > 0] - 1
    trials = ratio.size
    spread = float(np.sqrt(np.mean(ratio**2) * (1 + 1 / trials))) if trials else 0.0
    half = float(special.stdtrit(max(trials, 1), 0.975)) * spread * total
    return {
        "verdict": "forecast" if trials >= LEAST_TRIALS and half < total / 2 else UNSURE,
        "calls": calls,
        "forecast": round(total, 2),
        "forecast_low": round(max(total - half, 0.0), 2),
        "forecast_high": round(total + half, 2),
        "change_rate": round(total / found.before - 1, 4) if found.before > 0 else None,
        "method": found.method,
        "backtests": trials,
        "backtest_error_rate": round(found.error_rate, 4)
        if np.isfinite(found.error_rate)
        else None,
        "backtest_coverage_rate": round(found.coverage_rate, 4),
    }


def _timeline(grid: Grid, found: _Found | None, edges: tuple[datetime, ...]) -> tuple[Period, ...]:
    past = [
        Period(
            start_at=grid.periods.edges[place],
            calls=None if np.isnan(calls) else round(float(calls), 2),
            forecast=None,
            forecast_low=None,
            forecast_high=None,
        )
        for place in np.flatnonzero(grid.asked)
        if grid.periods.edges[place] < edges[0]
        for calls in [grid.calls[0, place]]
    ]
    if found is None:
        return tuple(past)
    told = np.round([found.calls, found.low, found.high], 2).T.tolist()
    ahead = [
        Period(start_at=at, calls=None, forecast=calls, forecast_low=low, forecast_high=high)
        for at, (calls, low, high) in zip(edges[:-1], told, strict=True)
    ]
    return tuple(past + ahead)


def _asks(params: ForecastParams, window: Window) -> Mapping[str, Ask]:
    return ask(params, window, params.learn_days)


REPORT = Report(
    question="How much will be used, and how sure is that?",
    params=ForecastParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "calls",
            "forecast",
            "forecast_low",
            "forecast_high",
            "change_rate",
            "verdict",
            "forecast_series",
        )
    },
    reduce=reduce,
    asks=_asks,
    firsts=True,
    borrows=("anomalies.activity", BORROWED),
    on_request=(ARRIVALS,),
    charts=(
        Timeline(
            title="Calls and their forecast",
            table="timeline",
            x="start_at",
            y=("calls", "forecast"),
            band=("forecast_low", "forecast_high"),
        ),
        Bars(
            title="Forecast by operation", category="operation", value="forecast", color="service"
        ),
    ),
)
