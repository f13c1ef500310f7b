"""Context: how usage is spread over services and any dimension, hours of the day and days of the week (REQ-DIST)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from headgate.queries.charts import Bars, HeatMap, Share
from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Ask, Context, Params, Reduced, Report
from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation
from headgate.queries.outcomes import Rated, calls_of, error_rate, rated
from headgate.queries.periods import WEEKDAYS
from headgate.queries.reports.context.clock import busiest_weekday, cell_hours
from headgate.queries.window import Window

PEAK_HOURS = 3
USUAL = ("project", "file_type", "agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextParams(Params):
    """Which dimensions to list, and how far."""

    dimensions: Annotated[
        str,
        "dimensions or attributes to list the top values of, with commas: project,file_type,user.id; unless"
        " given, those of project, file_type and agent that are counted",
    ] = ""
    limit: Annotated[int, "at most this many values of each of them", Ge(1)] = 5


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Rated):
    """One operation of one service (or, with `by`, one value)."""

    share: Annotated[float, "its share of all calls"]
    cumulative_share: Annotated[float, "share of this and all rows above"]


@dataclass(frozen=True, slots=True)
class Value(Rated):
    """One of the most frequent values of a dimension."""

    dimension: Annotated[str, "`service`, or a dimension"]
    value: Annotated[str, "its value; empty where a call has none"]
    share: Annotated[float, "share of all uses that the dimension was counted for"]


@dataclass(frozen=True, slots=True)
class Part:
    """What fell into one part of the day or the week."""

    calls: Annotated[Estimate, "uses"]
    share: Annotated[float, "share of all uses"]
    error_rate: Annotated[Estimate | None, "share of its calls that failed"]


@dataclass(frozen=True, slots=True)
class Hour(Part):
    """One hour of the local day, over all days."""

    hour: Annotated[int, "0 to 23"]
    calls_per_hour: Annotated[
        float | None, "uses / how long this hour lasted in the window; null where it did not occur"
    ]


@dataclass(frozen=True, slots=True)
class Day(Part):
    """One day of the week, over all weeks."""

    weekday: Annotated[str, "day of the week"]
    calls_per_day: Annotated[
        float | None, "uses / (how long this weekday lasted in the window / 24 h)"
    ]


@dataclass(frozen=True, slots=True)
class Cell:
    """One hour of one weekday."""

    weekday: Annotated[str, "day of the week"]
    hour: Annotated[int, "0 to 23"]
    calls: Annotated[float, "uses"]
    hours: Annotated[float, "how long it lasted in the window: clocks change, windows cut"]
    calls_per_hour: Annotated[float | None, "calls / hours; null where it did not occur"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything in the window together."""

    calls: Annotated[Estimate, "uses"]
    services: Annotated[int, "distinct services"]
    operations: Annotated[int, "distinct pairs of service and operation (or value, with `by`)"]
    operations_for_80_percent: Annotated[int, "how many of the most used make 80 % of all calls"]
    timezone: Annotated[str, "whose hours and weekdays these are"]
    busiest_hours: Annotated[
        tuple[int, ...], "the three local hours with the most calls; none where only days are kept"
    ]
    busiest_weekday: Annotated[str | None, "the local weekday with the most calls a day"]
    top: Annotated[tuple[Value, ...], "most frequent services, and values of each dimension"]
    hours: Annotated[tuple[Hour, ...], "every hour of the day; none where only days are kept"]
    weekdays: Annotated[tuple[Day, ...], "Monday to Sunday"]
    cells: Annotated[tuple[Cell, ...], "hour by weekday; none where only days are kept"]


def asks(params: ContextParams, window: Window) -> Mapping[str, Ask]:
    """Ask for each dimension, from its own rollup where there is one; for the usual ones only there."""
    wanted = listed(params.dimensions)
    return {
        name: Ask(
            window,
            replace(params, by=name, dimensions=""),
            ("outcomes",),
            counted_only=not wanted,
        )
        for name in wanted or USUAL
    }


def listed(dimensions: str) -> list[str]:
    """Return the names of a list with commas, each once."""
    return list(dict.fromkeys(name.strip() for name in dimensions.split(",") if name.strip()))


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Count by operation, dimension and time; rows by calls, most first."""
    outcomes, times = columns["outcomes"], columns["times"]
    rows = _rows(outcomes)
    by_hour = context.step <= timedelta(hours=1)
    lasted = cell_hours(context.window, context.zone)
    hours = _hours(times, lasted) if by_hour and times.rows else ()
    days = _days(times, lasted) if times.rows else ()
    limit = context.params.limit
    top = _top("service", outcomes, "service", limit)
    for name in listed(context.params.dimensions) or USUAL:
        if f"{name}.outcomes" in columns:
            top += _top(name, columns[f"{name}.outcomes"], "operation", limit)
    busiest = sorted(hours, key=lambda hour: (-hour.calls.value, hour.hour))[:PEAK_HOURS]
    summary = Summary(
        calls=calls_of(outcomes),
        services=len({row.service for row in rows}),
        operations=len(rows),
        operations_for_80_percent=sum(
            row.cumulative_share - row.share < 0.8 - 1e-9 for row in rows
        ),
        timezone=context.zone.key,
        busiest_hours=tuple(hour.hour for hour in busiest if hour.calls.value),
        busiest_weekday=WEEKDAYS[
            busiest_weekday(np.array([day.calls.value for day in days]), lasted)
        ]
        if days
        else None,
        top=top,
        hours=hours,
        weekdays=days,
        cells=_cells(times, lasted) if by_hour and times.rows else (),
    )
    return Reduced(summary, tuple(rows))


def _rows(outcomes: Columns) -> list[Row]:
    found = [(rated(part), label) for label, part in parts(outcomes, "service", "operation")]
    found.sort(key=lambda entry: (-entry[0]["calls"].value, entry[1]))
    running = np.cumsum([numbers["calls"].value for numbers, _ in found])
    return [
        Row(
            service=label[0],
            operation=label[1],
            share=round(float(numbers["calls"].value / running[-1]), 4),
            cumulative_share=round(float(total / running[-1]), 4),
            **numbers,
        )
        for (numbers, label), total in zip(found, running, strict=True)
    ]


def _top(dimension: str, outcomes: Columns, name: str, limit: int) -> tuple[Value, ...]:
    every = outcomes.sum("calls")
    found = [
        Value(
            dimension=dimension,
            value=value,
            share=round(part.sum("calls") / every, 4),
            **rated(part),
        )
        for (value,), part in parts(outcomes, name)
    ]
    found.sort(key=lambda value: (-value.calls.value, value.value))
    return tuple(found[:limit])


def _hours(times: Columns, lasted: NDArray[np.float64]) -> tuple[Hour, ...]:
    every = times.sum("calls")
    found = []
    for hour in range(24):
        part = times.chosen(times["hour"] == hour)
        found.append(
            Hour(
                hour=hour,
                calls_per_hour=_rate(part.sum("calls"), float(lasted[:, hour].sum())),
                **_part(part, every),
            )
        )
    return tuple(found)


def _days(times: Columns, lasted: NDArray[np.float64]) -> tuple[Day, ...]:
    every = times.sum("calls")
    found = []
    for number, weekday in enumerate(WEEKDAYS):
        part = times.chosen(times["weekday"] == number)
        found.append(
            Day(
                weekday=weekday,
                calls_per_day=_rate(part.sum("calls"), float(lasted[number].sum()) / 24),
                **_part(part, every),
            )
        )
    return tuple(found)


def _part(part: Columns, every: float) -> dict[str, Any]:
    """Return the fields of `Part`."""
    share = round(part.sum("calls") / every, 4)
    return {"calls": calls_of(part), "share": share, "error_rate": error_rate(part)}


def _cells(times: Columns, lasted: NDArray[np.float64]) -> tuple[Cell, ...]:
    place = times["weekday"].astype(np.int64) * 24 + times["hour"].astype(np.int64)
    calls = np.bincount(place, times["calls"], 7 * 24).reshape(7, 24)
    return tuple(
        Cell(
            weekday=weekday,
            hour=hour,
            calls=float(calls[number, hour]),
            hours=round(float(lasted[number, hour]), 4),
            calls_per_hour=_rate(float(calls[number, hour]), float(lasted[number, hour])),
        )
        for number, weekday in enumerate(WEEKDAYS)
        for hour in range(24)
    )


def _rate(calls: float, size: float) -> float | None:
    return round(calls / size, 4) if size else None


REPORT = Report(
    question="Who uses it, for what, at which hours and on which days?",
    params=ContextParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": ("service", "operation", "calls", "share", "cumulative_share", "success_rate"),
        "top": ("dimension", "value", "calls", "share", "success_rate"),
        "weekdays": ("weekday", "calls", "share", "calls_per_day", "error_rate"),
        "hours": ("hour", "calls", "share", "calls_per_hour", "error_rate"),
    },
    charts=(
        HeatMap(
            title="When it is used", table="cells", x="hour", y="weekday", value="calls_per_hour"
        ),
        Bars(
            title="Hours of the day",
            table="hours",
            category="hour",
            value="calls",
            sort=False,
            limit=24,
        ),
        Bars(
            title="Days of the week",
            table="weekdays",
            category="weekday",
            value="calls",
            sort=False,
        ),
        Share(title="Shares of all calls", category="operation", value="calls"),
    ),
    reduce=reduce,
    asks=asks,
)
