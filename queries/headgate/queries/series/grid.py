"""From rows of usage to series: one a service and operation, the first of everything, over the periods that count.

A period counts if it lies within the window, something was in use before or in it, and it is no gap (see
`headgate.queries.gaps`): what tells is what anybody did, not only what was asked about. Of an operation, those count
that begin when there were records of it already. The others are NaN: missing, not zero (REQ-CAP-24).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.queries.columns import numbered, parts
from headgate.queries.coverage import ANYONE, ARRIVALS, anyone, calls_of_anyone
from headgate.queries.declaration import Ask
from headgate.queries.errors import ReportError
from headgate.queries.estimate import count
from headgate.queries.gaps import missing
from headgate.queries.periods import Periods, periods
from headgate.queries.window import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.queries.columns import Columns
    from headgate.queries.declaration import Context
    from headgate.queries.estimate import Estimate

    Floats = NDArray[np.float64]

EVERYTHING = ("", "")
HOURS_KEPT = timedelta(days=90)
LABEL = "learnt"
LEARNT_ANYONE = f"{LABEL}_anyone"


@dataclass(frozen=True)
class Grid:
    """Series of calls, failures, timed calls and their durations (ns), each float64 [series, periods].

    `labels` are (service, operation), the first EVERYTHING; `counts` says which periods count, `gaps` which are gaps,
    `asked` which begin within the window that was asked for, or hold its begin; `begins` is the number of each series'
    first period that begins when there were records of it, or later.
    """

    labels: tuple[tuple[str, str], ...]
    calls: Floats
    failures: Floats
    timed: Floats
    duration_ns: Floats
    periods: Periods
    counts: NDArray[np.bool_]
    gaps: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    begins: NDArray[np.int64]

    @cached_property
    def learnt(self) -> NDArray[np.int64]:
        """How many periods are known of each series."""
        return np.asarray(np.count_nonzero(~np.isnan(self.calls), axis=1))

    @cached_property
    def hour_of_week(self) -> NDArray[np.int64]:
        """The hour of the local week of each period, Monday's first is 0; of days, 24 times the weekday."""
        zone = self.periods.zone
        local = [edge.astimezone(zone) for edge in self.periods.edges[:-1]]
        hourly = self.periods.step == "hour"
        return np.array([24 * at.weekday() + (at.hour if hourly else 0) for at in local], np.int64)

    @cached_property
    def hour_of_day(self) -> NDArray[np.int64]:
        """The local hour of each period; 0 for days."""
        return self.hour_of_week % 24

    def error_rate(self, least: float = 1.0) -> Floats:
        """Return failures / calls, NaN under `least` calls."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.calls >= least, self.failures / self.calls, np.nan)

    def mean_ms(self, least: float = 1.0) -> Floats:
        """Return mean durations in ms, NaN under `least` timed calls."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.timed >= least, self.duration_ns / self.timed / 1e6, np.nan)

    def shown(self, values: Floats) -> tuple[float | None, ...]:
        """Return one series within the window that was asked for, null where missing."""
        return tuple(
            None if np.isnan(v) else round(float(v), 4) for v in values[self.asked].tolist()
        )


def ask(params: Any, window: Window, learn_days: float) -> Mapping[str, Ask]:
    """Return the question for what is learnt from, the window and the days before it; and what anybody did then.

    Of a question that is not narrowed its own answer tells that.
    """
    learnt = Window(window.since - timedelta(days=learn_days), window.until)
    stepped = replace(params, step=_step(params, window, learn_days))
    asked = {LABEL: Ask(learnt, stepped, ("activity",))}
    narrowed = params.service or params.operation or params.where or params.by
    # Under a label of its own: a report may ask what anybody did in its window as well.
    return asked | {LEARNT_ANYONE: anyone(stepped, learnt)[ANYONE]} if narrowed else asked


def _step(params: Any, window: Window, learn_days: float) -> str:
    """Return the step: days where they are asked for, and where hours are not kept for so long."""
    long = window.until - window.since + timedelta(days=learn_days) > HOURS_KEPT
    return "day" if long or params.step == "day" else "hour"


def gridded(columns: Mapping[str, Columns], context: Context, most: int) -> Grid:
    """Return the series of everything and of the `most` used operations, of what was asked as LABEL."""
    activity, window = columns[f"{LABEL}.activity"], context.beside[LABEL]
    step = _step(context.params, context.window, context.params.learn_days)
    if step == "hour" and context.step and context.now - window.since >= HOURS_KEPT + timedelta(1):
        raise ReportError(
            f"hours are kept for {HOURS_KEPT.days} days and the window begins earlier; ask with step=day"
        )
    grid = periods(window, step, context.zone, context.params.week_start)
    labels, place = _places(activity, most)
    period = grid.index(activity["period_s"].astype(np.int64))
    cell = place * len(grid) + period
    shape = (len(labels) + 1, len(grid))
    made = {}
    for name in ("calls", "failures", "timed", "duration"):
        weights = activity[name].astype(np.float64)
        flat = np.bincount(cell, weights, shape[0] * shape[1]).reshape(shape)
        made[name] = np.vstack([flat.sum(axis=0), flat[:-1]])
    gone, used = _gaps(columns, context, grid, made["calls"][0])
    begins = _begins(labels, grid, context)
    begun = np.arange(len(grid)) >= begins[:, None]
    counts = grid.whole & ~gone & used & begun[0]
    for name, values in made.items():
        made[name] = np.where(counts & begun, values, np.nan)
    edges = np.array(grid.edges[1:])
    return Grid(
        (EVERYTHING, *labels),
        made["calls"],
        made["failures"],
        made["timed"],
        made["duration"],
        grid,
        counts,
        gone & grid.whole,
        np.array([edge > context.window.since for edge in edges], bool),
        begins,
    )


def _gaps(
    columns: Mapping[str, Columns], context: Context, grid: Periods, calls: Floats
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which periods are gaps, and before or in which something was in use."""
    arrivals, params = columns.get(f"{LEARNT_ANYONE}.{ARRIVALS}"), context.params
    everything = calls if arrivals is None else calls_of_anyone(arrivals, grid, calls)
    if everything is None:
        return np.zeros(len(grid), bool), np.cumsum(calls) > 0
    # Of attributes and their values it is not known whether they were there before they were used.
    alone = params.where or params.by
    return missing(everything), np.cumsum(calls if alone else everything) > 0


def _begins(labels: list[tuple[str, str]], grid: Periods, context: Context) -> NDArray[np.int64]:
    """Return where everything and each operation begins: 0 where it was there before, or that is not known.

    Everything together begins with the store's records, or the service's, and the window with them; of one operation
    it begins as that does.
    """
    firsts = [context.firsts.get(label, grid.window.since) for label in labels]
    times = np.array([first.timestamp() for first in firsts], float)
    times[times <= grid.window.since.timestamp()] = -np.inf
    found = np.searchsorted(grid.edges_s[:-1], times)
    whole = min(found.min(), _first_of(grid, context)) if context.params.operation and labels else 0
    return np.array([whole, *found], np.int64)


def _first_of(grid: Periods, context: Context) -> int:
    """Return where the operation that was asked for begins, in whichever service had it first."""
    params = context.params
    times = [
        first.timestamp()
        for (service, operation), first in context.firsts.items()
        if operation == params.operation and params.service in (None, service)
    ]
    known = [time for time in times if time > grid.window.since.timestamp()]
    if len(known) < len(times) or not known:
        return 0
    return int(np.searchsorted(grid.edges_s[:-1], min(known)))


def _places(activity: Columns, most: int) -> tuple[list[tuple[str, str]], NDArray[np.int64]]:
    """Return the most used operations, and each row's number among them; the last number for all others."""
    if not activity.rows:
        return [], np.empty(0, np.int64)
    services, operations = activity["service"], activity["operation"]
    (service, height), (operation, width) = numbered(services), numbered(operations)
    code = service * width + operation
    if height * width > 4 * code.size:  # services that share few names
        code = np.unique(code, return_inverse=True)[1]
    pairs = np.flatnonzero(np.bincount(code))
    calls = np.bincount(code, activity["calls"].astype(np.float64))[pairs]
    top = np.lexsort((np.arange(pairs.size), -calls))[:most]
    row = np.empty(code.max() + 1, np.int64)
    row[code] = np.arange(code.size)
    number = np.full(row.size, top.size)
    number[pairs[top]] = np.arange(top.size)
    labels = [(str(services[r]), str(operations[r])) for r in row[pairs[top]]]
    return labels, number[code]


def calls_by_operation(activity: Columns) -> dict[tuple[str, str], Estimate]:
    """Return the calls of the window that was asked for: of each operation, and of EVERYTHING."""
    found = {label: _calls(part) for label, part in parts(activity, "service", "operation")}
    return {EVERYTHING: _calls(activity), **found}


def _calls(activity: Columns) -> Estimate:
    return count(activity.sum("calls"), activity.sum("variance"), activity.sum("arrivals"))
