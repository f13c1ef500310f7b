"""Forecast: how much will be used, with intervals that were tried out on the past (REQ-TRD-10)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from scipy import special

from headgate.queries.charts import Bars, Timeline
from headgate.queries.columns import Columns
from headgate.queries.declaration import Ask, Context, Params, Reduced, Report
from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation
from headgate.queries.periods import periods
from headgate.queries.series.backtest import Forecast, forecast, name_of
from headgate.queries.series.grid import EVERYTHING, Grid, ask, calls_by_operation, gridded
from headgate.queries.window import Window

Floats = NDArray[np.float64]
TOO_LITTLE, UNSURE = "too little data", "unsure"
LEAST_TRIALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastParams(Params):
    """How far ahead, and by how much of the past."""

    step: Annotated[Literal["hour", "day"], "length of the periods that are forecast"] = "hour"
    horizon_days: Annotated[
        float, "days to forecast, from the end of the window", Gt(0), Le(366)
    ] = 7.0
    learn_days: Annotated[float, "days before the window that are learnt from", Gt(0), Le(3650)] = (
        56.0
    )
    limit: Annotated[int, "at most this many operations are forecast, the most used", Ge(1)] = 20


@dataclass(frozen=True)
class Foretold:
    """A forecast with its interval."""

    forecast: Annotated[float | None, "uses to come; null where there is no forecast"]
    forecast_low: Annotated[float | None, "lower end of its 95 % interval"]
    forecast_high: Annotated[float | None, "upper end of it"]


@dataclass(frozen=True, slots=True)
class Outlook(Foretold):
    """What is to come; the same numbers for one operation and for all."""

    verdict: Annotated[
        str,
        "`forecast`; `unsure`: fewer than four trials, or an interval that reaches from half the forecast or less to"
        " one and a half or more; `too little data`: fewer than two seasons and four trials of the horizon",
    ]
    calls: Annotated[Estimate, "uses in the window"]
    change_rate: Annotated[
        float | None, "forecast against as many periods before it, gaps left out, less 1"
    ]
    method: Annotated[
        str | None, "`holt-winters`, `same hour before` or `drift`: what erred least in the trials"
    ]
    backtests: Annotated[int, "trials: forecasts from earlier origins, compared with what came"]
    backtest_error_rate: Annotated[
        float | None, "sum of absolute errors of single periods in them, by the sum of uses"
    ]
    backtest_coverage_rate: Annotated[
        float | None, "share of periods within their 95 % interval, in trials that did not make it"
    ]


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Outlook):
    """One operation of one service."""

    forecast_series: Annotated[tuple[float | None, ...], "forecast of each period"]


@dataclass(frozen=True, slots=True)
class Period(Foretold):
    """Everything together, in one period of the window or of the horizon."""

    start_at: Annotated[datetime, "its begin"]
    calls: Annotated[
        float | None, "uses; null in a gap, in a period that is cut, and in the future"
    ]


@dataclass(frozen=True, slots=True)
class Summary(Outlook):
    """Everything together."""

    horizon_since_at: Annotated[datetime, "begin of what is forecast"]
    horizon_until_at: Annotated[datetime, "end of it"]
    learnt_periods: Annotated[int, "periods that were learnt from, gaps left out"]
    timeline: Annotated[tuple[Period, ...], "the window, then the horizon"]


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Forecast every series; rows by forecast, most first."""
    params: ForecastParams = context.params
    counted = calls_by_operation(columns["activity"])
    grid = gridded(columns, context, params.limit)
    future = _future(grid, params.horizon_days)
    found = _forecast(grid, future)
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            forecast_series=()
            if found is None
            else tuple(np.round(found.calls[number], 2).tolist()),
            **_outlook(found, number, counted[label]),
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
        timeline=_timeline(grid, found, edges) if columns["activity"].rows else (),
        **_outlook(found, 0, counted[EVERYTHING]),
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
    return Grid((), nothing, nothing, nothing, nothing, ahead, none, none, none)


@dataclass(frozen=True, slots=True)
class _Found:
    """Forecasts in calls [series, horizon], the trials' totals and errors, and what came before."""

    calls: Floats
    low: Floats
    high: Floats
    trial_totals: Floats
    actual_totals: Floats
    error_rate: Floats
    before: Floats
    model: Forecast


def _forecast(grid: Grid, future: Grid) -> _Found | None:
    """Forecast roots of counts, whose noise has one size; from the first period that counts to the last whole one."""
    used = np.flatnonzero(grid.counts)
    if not used.size:
        return None
    part = slice(used[0], int(np.flatnonzero(grid.periods.whole)[-1]) + 1)
    calls = grid.calls[:, part]
    for season, slot, ahead in _seasons(grid, future):
        model = forecast(2 * np.sqrt(calls + 3 / 8), slot[part], ahead, season)
        if model is not None:
            break
    else:
        return None
    noise = np.nanmean(model.errors**2, axis=(1, 2))
    actual = model.ahead + model.errors
    said, came = _back(model.ahead, noise[:, None, None]), _back(actual, 0.0)
    known = ~np.isnan(came)
    horizon = len(future.periods)
    with np.errstate(divide="ignore", invalid="ignore"):
        error_rate = np.where(known, np.abs(came - said), 0).sum(axis=(1, 2)) / np.nansum(
            came, axis=(1, 2)
        )
    return _Found(
        _back(model.middle, noise[:, None]),
        _back(model.low, 0.0),
        _back(model.high, 0.0),
        np.where(known, said, 0).sum(axis=2),
        np.nansum(came, axis=2),
        error_rate,
        np.nanmean(calls[:, -horizon:], axis=1) * horizon
        if ~np.isnan(calls[:, -horizon:]).all()
        else np.full(len(calls), np.nan),
        model,
    )


def _seasons(grid: Grid, future: Grid) -> list[tuple[int, Any, Any]]:
    """Return the seasons to try, the longest first: its periods, and the slots of past and future."""
    week = (grid.hour_of_week, future.hour_of_week)
    if grid.periods.step == "day":
        return [(7, *week)]
    return [(168, *week), (24, grid.hour_of_day, future.hour_of_day)]


def _back(roots: Floats, noise: Floats | float) -> Floats:
    """Return counts of roots; the mean of a count is larger than the count of the mean root, by their variance / 4."""
    return np.asarray(np.maximum((np.maximum(roots, 0) ** 2 + noise) / 4 - 3 / 8, 0))


def _outlook(found: _Found | None, number: int, calls: Estimate) -> dict[str, Any]:
    if found is None:
        names = "forecast forecast_low forecast_high change_rate method"
        names += " backtest_error_rate backtest_coverage_rate"
        told = dict.fromkeys(names.split())
        return {"verdict": TOO_LITTLE, "calls": calls, "backtests": 0, **told}
    total = float(found.calls[number].sum())
    said, came = found.trial_totals[number], found.actual_totals[number]
    ratio = came[said > 0] / said[said > 0] - 1
    trials = ratio.size
    spread = float(np.sqrt(np.mean(ratio**2) * (1 + 1 / trials))) if trials else 0.0
    half = float(special.stdtrit(max(trials, 1), 0.975)) * spread * total
    before = float(found.before[number])
    return {
        "verdict": "forecast" if trials >= LEAST_TRIALS and half < total / 2 else UNSURE,
        "calls": calls,
        "forecast": round(total, 2),
        "forecast_low": round(max(total - half, 0.0), 2),
        "forecast_high": round(total + half, 2),
        "change_rate": round(total / before - 1, 4) if before > 0 else None,
        "method": name_of(int(found.model.method[number])),
        "backtests": trials,
        "backtest_error_rate": round(float(found.error_rate[number]), 4)
        if np.isfinite(found.error_rate[number])
        else None,
        "backtest_coverage_rate": round(float(found.model.coverage[number]), 4),
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
    told = np.round([found.calls[0], found.low[0], found.high[0]], 2).T.tolist()
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
    borrows=("anomalies.activity",),
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
