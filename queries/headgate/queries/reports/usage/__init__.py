"""Usage: what is used, how often, by how many, when most and when last (REQ-USE-01 to -10, REQ-ALRT-04)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from headgate.queries.charts import Bars, Share, Timeline
from headgate.queries.columns import Columns, parts
from headgate.queries.coverage import ARRIVALS, BORROWED, anyone, coverage, from_first
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.estimate import Estimate, at_least, exactly, people_total
from headgate.queries.labels import OfOperation, OfPeriod
from headgate.queries.outcomes import ARCHIVE_AFTER_HOURS, Rated, calls_of, rated
from headgate.queries.periods import WEEKDAYS
from headgate.queries.reports.context.clock import busiest_weekday, cell_hours
from headgate.queries.reports.usage.included import (
    BORROWS,
    ON_REQUEST,
    Included,
    Part,
    Prediction,
    Timed,
    Trend,
    User,
    included,
    users_of,
)
from headgate.queries.reports.usage.included import asks as asks_included
from headgate.queries.uncertain import mean_of
from headgate.queries.window import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = Columns({})


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageParams(Included):
    """How many users to name, and what to include."""

    top_users: Annotated[
        int, "with granularity=comprehensive: name at most this many users", Ge(1)
    ] = 10


@dataclass(frozen=True, slots=True)
class Frequency(Rated):
    """How often and when; the same numbers for one operation and for all."""

    calls_before: Annotated[Estimate, "uses in the window before, of the same length, as recorded"]
    change_rate: Annotated[
        float | None,
        "calls a day / calls a day before - 1; null without calls before, or records of all of it",
    ]
    calls_per_day: Annotated[
        Estimate, "calls / max(days of the window that there are records of, 1)"
    ]
    calls_per_week: Annotated[Estimate, "calls / max(days / 7, 1)"]
    calls_per_month: Annotated[Estimate, "calls / max(days / 30, 1)"]
    unique_users: Annotated[Estimate, "distinct users (`user.id`, else `enduser.id`)"]
    unique_contexts: Annotated[Estimate, "distinct contexts (`headgate.context.type`)"]
    sessions: Annotated[Estimate, "distinct sessions (`session.id`)"]
    peak_daily_calls: Annotated[Estimate, "calls of the busiest date of the time zone"]
    peak_date: Annotated[str | None, "that date; null when nothing was used"]
    last_used_at: Annotated[datetime | None, "when last used in the window; null when never"]
    hours_since_last_use: Annotated[float | None, "hours from then to the time of asking"]
    mean_array_size: Annotated[
        Estimate | None, "mean `headgate.array.size` of tracked calls; null where not recorded"
    ]


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Frequency):
    """One operation of one service."""

    share: Annotated[float, "its share of all calls"]
    verdict: Annotated[str, "`in use`, or `archive candidate` when last used over 168 hours ago"]
    calls_series: Annotated[
        tuple[float | None, ...], "calls of each period; null before its first record"
    ]


@dataclass(frozen=True, slots=True)
class Period(OfPeriod):
    """Everything in one period."""

    calls: Annotated[Estimate | None, "uses; null where nothing at all was recorded"]


@dataclass(frozen=True, slots=True)
class Summary(Frequency):
    """Everything in the window together."""

    services: Annotated[int, "distinct services"]
    operations: Annotated[int, "distinct pairs of service and operation"]
    busiest_hour: Annotated[int | None, "hour of the day (0 to 23, local) with the most calls"]
    busiest_weekday: Annotated[str | None, "weekday (local) with the most calls a day"]
    timeline: Annotated[tuple[Period, ...], "every period of the window, in order"]
    users: Annotated[tuple[User, ...], "users by calls, with granularity=comprehensive"]
    trends: Annotated[tuple[Trend, ...], "with include_trends: the fastest change first"]
    performance: Annotated[
        tuple[Timed, ...], "with include_performance: durations, most time in total first"
    ]
    distribution: Annotated[
        tuple[Part, ...], "with include_distribution: hours, if they are kept, and weekdays"
    ]
    predictions: Annotated[
        tuple[Prediction, ...], "with include_predictions (experimental): the next week, most first"
    ]


def asks(params: UsageParams, window: Window) -> Mapping[str, Ask]:
    """Ask for the window before; who they were only where everything is wanted."""
    found = {"before": Ask(window.before, params, ("before",)), **anyone(params, window)}
    found |= asks_included(params, window)
    if params.granularity == "comprehensive":
        found["all"] = Ask(window, params, ("people",))
    return found


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Add up the days of each operation and of all; rows by calls, most first."""
    usage, before = columns["usage"], columns["before.before"]
    known = {
        name: _by_label(columns[name])
        for name in ("users", "sessions", "session_people", "attributes")
    }
    earlier = dict(parts(before, "service", "operation"))
    all_calls = usage.sum("calls")
    rows = []
    for label, part in parts(usage, "service", "operation"):
        found = _frequency(part, earlier.get(label, _NOTHING), known, label, context)
        idle = found["hours_since_last_use"] > ARCHIVE_AFTER_HOURS  # REQ-ALRT-04
        rows.append(
            Row(
                service=label[0],
                operation=label[1],
                share=round(part.sum("calls") / all_calls, 4) if all_calls else 0.0,
                verdict="archive candidate" if idle else "in use",
                calls_series=from_first(_per_period(part, context), context, label),
                **found,
            )
        )
    rows.sort(key=lambda row: (-row.calls.value, row.service, row.operation))
    hour, weekday = _busiest(columns["times"], context)
    summary = Summary(
        services=len({row.service for row in rows}),
        operations=len(rows),
        busiest_hour=hour,
        busiest_weekday=weekday,
        timeline=_timeline(columns, context),
        users=users_of(columns.get("all.people", _NOTHING), all_calls, context.people),
        **included(columns, context),
        **_frequency(usage, before, known, None, context),
    )
    return Reduced(summary, tuple(rows))


def _frequency(
    usage: Columns,
    before: Columns,
    known: Mapping[str, Mapping[Any, Columns]],
    label: tuple[str, str] | None,
    context: Context,
) -> dict[str, Any]:
    days = context.window.days
    found, calls_before = rated(usage), calls_of(before)
    calls: Estimate = found["calls"]
    users, events, drawn, said = (found.get(label, _NOTHING) for found in known.values())
    kept = known["sessions"]
    # A use of a thinned table may have been the only one of its session or context.
    bound = at_least if None in kept and kept[None]["weight"].max() > 1 else exactly
    ends = [int(usage["last_ns"].max(initial=0)), int(events["last_ns"].max(initial=0))]
    last = EPOCH + timedelta(microseconds=max(ends) // 1000)
    hours = max((context.now - last) / timedelta(hours=1), 0.0)
    peak_date, peak = _peak(usage, context)
    size = mean_of(said, "size")
    return {
        "calls_before": calls_before,
        "change_rate": context.change_rate(calls.value, calls_before.value, "before", label),
        "calls_per_day": calls.scaled(1 / max(days, 1)).rounded(2),
        "calls_per_week": calls.scaled(1 / max(days / 7, 1)).rounded(2),
        "calls_per_month": calls.scaled(1 / max(days / 30, 1)).rounded(2),
        "unique_users": (exactly if calls.exact else at_least)(users.sum("users")),
        "unique_contexts": bound(said.sum("contexts")),
        "sessions": people_total(
            drawn.sum("sessions"), drawn.sum("squares"), int(drawn.sum("people")), context.people
        )
        if context.people < 1
        else bound(events.sum("sessions")),
        "peak_daily_calls": peak,
        "peak_date": peak_date,
        "last_used_at": last if usage.rows else None,
        "hours_since_last_use": round(hours, 2) if usage.rows else None,
        **found,
        "mean_array_size": None if size is None else size.rounded(2),
    }


def _peak(usage: Columns, context: Context) -> tuple[str | None, Estimate]:
    """Return the busiest local date (of equal ones the first) and its calls."""
    if not usage.rows:
        return None, exactly(0)
    days, position = np.unique(usage["day_s"], return_inverse=True)
    busiest = int(np.bincount(position, usage["calls"]).argmax())
    start = EPOCH + timedelta(seconds=int(days[busiest]))
    return start.astimezone(context.zone).date().isoformat(), calls_of(
        usage.chosen(position == busiest)
    )


def _per_period(columns: Columns, context: Context, name: str = "calls") -> Any:
    position = context.periods.index(columns["period_s"].astype(np.int64))
    return np.bincount(position, columns[name], len(context.periods)).astype(np.float64)


def _timeline(columns: Mapping[str, Columns], context: Context) -> tuple[Period, ...]:
    usage = columns["usage"]
    if not usage.rows:
        return ()
    position = context.periods.index(usage["period_s"].astype(np.int64))
    known = coverage(columns, context, _per_period(usage, context))
    return tuple(
        Period(
            context.periods.label(number),
            bool(known.whole[number]),
            None if known.missing[number] else calls_of(usage.chosen(position == number)),
        )
        for number in range(len(context.periods))
    )


def _busiest(times: Columns, context: Context) -> tuple[int | None, str | None]:
    if not times.rows:
        return None, None
    hours = np.bincount(times["hour"].astype(np.int64), times["calls"])
    days = np.bincount(times["weekday"].astype(np.int64), times["calls"], 7).astype(np.float64)
    busiest = busiest_weekday(days, cell_hours(context.window, context.zone))
    # Days of UTC know no hours.
    known = context.step <= timedelta(hours=1)
    return int(hours.argmax()) if known else None, WEEKDAYS[busiest]


def _by_label(columns: Columns) -> dict[Any, Columns]:
    """Return rows by (service, operation), and the whole's under None."""
    if not columns.rows:
        return {}
    whole = columns["whole"] == 1
    found: dict[Any, Columns] = dict(parts(columns.chosen(~whole), "service", "operation"))
    return found | {None: columns.chosen(whole)}


REPORT = Report(
    question="What is used, how often, by how many people, and when was it last used?",
    params=UsageParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "calls",
            "share",
            "change_rate",
            "calls_series",
            "unique_users",
            "success_rate",
            "sessions",
            "hours_since_last_use",
        ),
        "users": ("user", "calls", "share"),
        "trends": ("service", "operation", "trend", "velocity", "growth_rate"),
        "performance": ("service", "operation", "calls", "mean_ms", "p50_ms", "p95_ms", "verdict"),
        "distribution": ("of", "value", "calls", "share"),
        "predictions": (
            "service",
            "operation",
            "forecast",
            "forecast_low",
            "forecast_high",
            "verdict",
        ),
    },
    charts=(
        Timeline(title="Calls over time", table="timeline", x="period", y=("calls",)),
        Bars(title="What is used most", category="operation", value="calls", color="service"),
        Share(title="Shares of all calls", category="operation", value="calls"),
    ),
    reduce=reduce,
    asks=asks,
    borrows=(*BORROWS, BORROWED),
    on_request=("before", "people", ARRIVALS, *ON_REQUEST),
    rare=("attributes",),
    firsts=True,
)
