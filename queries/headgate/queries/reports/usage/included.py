"""What a report on usage includes on request: trends, performance, distribution, predictions (REQ-USE-08, -09)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.columns import Columns, parts
from headgate.queries.coverage import coverage
from headgate.queries.declaration import Ask, Context, Params, SteppedParams
from headgate.queries.durations import Durations, each_durations
from headgate.queries.estimate import Estimate, exactly
from headgate.queries.labels import OfOperation
from headgate.queries.outcomes import calls_of
from headgate.queries.periods import WEEKDAYS
from headgate.queries.reports import forecast
from headgate.queries.reports.forecast.records import ForecastParams, Foretold
from headgate.queries.reports.trend.classes import fits, trend_type
from headgate.queries.spread import by_operation
from headgate.queries.window import Window

BORROWS = ("performance.moments", "performance.buckets", "anomalies.activity")
ON_REQUEST = ("moments", "buckets", "activity")
_NOTHING = Columns({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Included(SteppedParams):
    """Which parts to include; `granularity=comprehensive` includes them all."""

    include_trends: Annotated[bool, "fill `trends`"] = False
    include_performance: Annotated[bool, "fill `performance`"] = False
    include_distribution: Annotated[bool, "fill `distribution`"] = False
    include_predictions: Annotated[bool, "fill `predictions`: a week, learnt from 56 days"] = False

    def includes(self, part: str) -> bool:
        """Return whether a part is asked for."""
        return self.granularity == "comprehensive" or getattr(self, f"include_{part}")


@dataclass(frozen=True, slots=True)
class User:
    """One of the users with the most uses."""

    user: Annotated[str, "`user.id`, else `enduser.id`"]
    calls: Annotated[Estimate, "uses"]
    share: Annotated[float, "their share of all uses"]


@dataclass(frozen=True, slots=True)
class Trend(OfOperation):
    """Which way one operation goes; the report `trend` says more."""

    trend: Annotated[
        str,
        "`growing`, `declining`, `stable`, `emerging`, `abandoned`, `new` or `not enough history`",
    ]
    velocity: Annotated[float, "slope of calls by period, over periods that were recorded whole"]
    growth_rate: Annotated[
        float | None,
        "last quarter of these periods against the first, less 1; null of what is `new`",
    ]


@dataclass(frozen=True, slots=True)
class Timed(OfOperation, Durations):
    """How long one operation takes; the report `performance` says more."""


@dataclass(frozen=True, slots=True)
class Part:
    """One hour of the day, or day of the week, local; the report `context` says more."""

    of: Annotated[str, "`hour` or `weekday`"]
    value: Annotated[int, "0 to 23, or 0 (Monday) to 6"]
    calls: Annotated[float, "uses"]
    share: Annotated[float, "share of all uses"]


@dataclass(frozen=True, slots=True)
class Prediction(OfOperation, Foretold):
    """What is to be expected of one operation; the report `forecast` says more."""

    verdict: Annotated[str, "`forecast`, `unsure`, `new` or `too little data`"]


def asks(params: Included, window: Window) -> dict[str, Ask]:
    """Ask for what the usual statements do not tell."""
    found = {}
    if params.includes("performance"):
        found["performance"] = Ask(window, params, ("moments", "buckets"))
    if params.includes("predictions"):
        found |= forecast.REPORT.asks(_ahead(params), window) if forecast.REPORT.asks else {}
    return found


def included(columns: Mapping[str, Columns], context: Context) -> dict[str, Any]:
    """Return the fields of a summary that hold what is included; empty where it is not asked for."""
    params = context.params
    return {
        "trends": _trends(columns, context) if params.includes("trends") else (),
        "performance": _performance(columns) if params.includes("performance") else (),
        "distribution": _distribution(columns["times"], context)
        if params.includes("distribution")
        else (),
        "predictions": _predictions(columns, context) if params.includes("predictions") else (),
    }


def _trends(columns: Mapping[str, Columns], context: Context) -> tuple[Trend, ...]:
    usage = columns["usage"]
    found = parts(usage, "service", "operation")
    calls = np.array([_by_period(part, context) for _, part in found])
    if not found:
        return ()
    known = coverage(columns, context, calls.sum(axis=0))
    chosen = known.whole if known.whole.sum() > 1 else ~known.missing
    labels = [label for label, _ in found]
    begun, new = [context.begun(label) for label in labels], [*map(context.is_new, labels)]
    fitted = fits(calls, chosen & np.array(begun), np.array(new))
    made = [
        Trend(
            service=label[0],
            operation=label[1],
            trend=trend_type(part.sum("calls"), fit.velocity, fit.periods, new=no_past),
            velocity=round(fit.velocity, 6),
            growth_rate=None if fit.growth_rate is None else round(fit.growth_rate, 4),
        )
        for (label, part), fit, no_past in zip(found, fitted, new, strict=True)
    ]
    return tuple(sorted(made, key=lambda t: (-abs(t.velocity), t.service, t.operation)))


def _by_period(part: Columns, context: Context) -> NDArray[np.float64]:
    position = context.periods.index(part["period_s"].astype(np.int64))
    return np.bincount(position, part["calls"], len(context.periods)).astype(np.float64)


def _performance(columns: Mapping[str, Columns]) -> tuple[Timed, ...]:
    spread = by_operation(columns["performance.buckets"])
    moments = dict(parts(columns["performance.moments"], "service", "operation"))
    timed = [(part, spread.get(label, _NOTHING)) for label, part in moments.items()]
    made = [
        Timed(service=service, operation=operation, **found)
        for (service, operation), found in zip(moments, each_durations(timed), strict=True)
    ]
    return tuple(sorted(made, key=lambda t: (-t.total_ms.value, t.service, t.operation)))


def _distribution(times: Columns, context: Context) -> tuple[Part, ...]:
    if not times.rows:
        return ()
    every = times.sum("calls")
    # Days of UTC know no hours.
    wanted = [("hour", 24)] if context.step.total_seconds() <= 3600 else []
    return tuple(
        Part(of, value, round(float(calls), 2), round(float(calls) / every, 4))
        for of, size in [*wanted, ("weekday", len(WEEKDAYS))]
        for value, calls in enumerate(np.bincount(times[of].astype(int), times["calls"], size))
    )


def _predictions(columns: Mapping[str, Columns], context: Context) -> tuple[Prediction, ...]:
    found = forecast.reduce(
        {**columns, "activity": _window_of(columns, context)},
        replace(context, params=_ahead(context.params)),
    )
    names = [field.name for field in fields(Prediction)]
    return tuple(Prediction(*(getattr(row, name) for name in names)) for row in found.rows)


def _window_of(columns: Mapping[str, Columns], context: Context) -> Columns:
    """Return the activity of the window alone, of what was learnt from."""
    learnt = columns["learnt.activity"]
    if not learnt.rows:
        return learnt
    return learnt.chosen(learnt["period_s"] >= context.window.since.timestamp())


def _ahead(params: Included) -> ForecastParams:
    common = {field.name: getattr(params, field.name) for field in fields(Params)}
    return ForecastParams(**common, step="day")


def users_of(people: Columns, all_calls: float, share: float) -> tuple[User, ...]:
    """Return the users; of a sample of people each stands for others in totals, but only for himself here."""
    found = []
    for (user,), part in parts(people, "user"):
        calls = calls_of(part) if share == 1 else exactly(round(part.sum("calls") * share, 6))
        part_of_all = round(calls.value / all_calls, 4) if all_calls else 0.0
        found.append(User(user, calls, part_of_all))
    return tuple(sorted(found, key=lambda user: (-user.calls.value, user.user)))
