"""Usage: what is used, how often, by how many, and when last (REQ-USE-01 to -05, REQ-ALRT-04)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from headgate.queries.charts import Bars, Share
from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Context, Params, Reduced, Report
from headgate.queries.estimate import Estimate, at_least, count, exactly, rate

ABANDONED_HOURS = 168
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often and when; the same numbers for one operation and for all."""

    calls: Annotated[Estimate, "uses: server, consumer and root spans, tracked calls, named events"]
    calls_per_day: Annotated[Estimate, "calls / max(days of the window, 1)"]
    calls_per_week: Annotated[Estimate, "calls / max(days / 7, 1)"]
    calls_per_month: Annotated[Estimate, "calls / max(days / 30, 1)"]
    unique_users: Annotated[Estimate, "distinct users (`user.id`, else `enduser.id`)"]
    sessions: Annotated[Estimate, "distinct sessions (`session.id`)"]
    peak_daily_calls: Annotated[Estimate, "calls of the busiest UTC date"]
    peak_date: Annotated[str | None, "that date; null when nothing was used"]
    last_used_at: Annotated[datetime | None, "when last used in the window; null when never"]
    hours_since_last_use: Annotated[float | None, "hours from then to the time of asking"]
    success_rate: Annotated[Estimate | None, "share of calls that ended well; null without calls"]


@dataclass(frozen=True, slots=True)
class Row(Frequency):
    """One operation of one service."""

    service: Annotated[str, "service.name"]
    operation: Annotated[str, "span or event name"]
    share: Annotated[float, "its share of all calls"]
    verdict: Annotated[str, "`in use`, or `archive candidate` when last used over 168 hours ago"]


@dataclass(frozen=True, slots=True)
class Summary(Frequency):
    """Everything in the window together."""

    services: Annotated[int, "distinct services"]
    operations: Annotated[int, "distinct pairs of service and operation"]


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Add up the days of each operation and of all; rows by calls, most first."""
    usage, sessions = columns["usage"], columns["sessions"]
    users = _by_label(columns["users"], "users")
    kept = _by_label(sessions, "sessions")
    seen = _by_label(sessions, "last_ns")
    thinned = bool(sessions.rows and sessions["weight"].max() > 1)

    def frequency(rows: Columns, label: tuple[str, str] | None) -> dict[str, Any]:
        distinct = (users.get(label, 0), kept.get(label, 0))
        return _frequency(rows, distinct, seen.get(label, 0), context, thinned=thinned)

    all_calls = usage.sum("calls")
    rows = []
    for (service, operation), part in parts(usage, "service", "operation"):
        found = frequency(part, (service, operation))
        rows.append(
            Row(
                service=service,
                operation=operation,
                share=round(part.sum("calls") / all_calls, 4) if all_calls else 0.0,
                verdict=verdict(found["hours_since_last_use"]),
                **found,
            )
        )
    rows.sort(key=lambda row: (-row.calls.value, row.service, row.operation))
    summary = Summary(
        services=len({row.service for row in rows}),
        operations=len(rows),
        **frequency(usage, None),
    )
    return Reduced(summary, tuple(rows))


def verdict(hours_since_last_use: float) -> str:
    """Return REQ-ALRT-04 for the last use as words."""
    return "archive candidate" if hours_since_last_use > ABANDONED_HOURS else "in use"


def _frequency(
    usage: Columns, distinct: tuple[int, int], seen_ns: int, context: Context, *, thinned: bool
) -> dict[str, Any]:
    days = context.window.days
    calls = _calls(usage)
    ends = [int(usage["last_ns"].max(initial=0)), seen_ns if usage.rows else 0]
    last = EPOCH + timedelta(microseconds=max(ends) // 1000)
    hours = max((context.now - last) / timedelta(hours=1), 0.0)
    users, sessions = distinct
    peak_date, peak = _peak(usage)
    return {
        "calls": calls,
        "calls_per_day": calls.scaled(1 / max(days, 1)).rounded(2),
        "calls_per_week": calls.scaled(1 / max(days / 7, 1)).rounded(2),
        "calls_per_month": calls.scaled(1 / max(days / 30, 1)).rounded(2),
        "unique_users": exactly(users) if calls.exact else at_least(users),
        "sessions": at_least(sessions) if thinned else exactly(sessions),
        "peak_daily_calls": peak,
        "peak_date": peak_date,
        "last_used_at": last if usage.rows else None,
        "hours_since_last_use": round(hours, 2) if usage.rows else None,
        "success_rate": _success_rate(usage),
    }


def _calls(usage: Columns) -> Estimate:
    return count(usage.sum("calls"), usage.sum("variance"), usage.sum("arrivals"))


def _peak(usage: Columns) -> tuple[str | None, Estimate]:
    """Return the busiest date (of equal ones the first) and its calls."""
    days = parts(usage, "day_s")
    if not days:
        return None, exactly(0)
    (day_s,), busiest = max(days, key=lambda day: day[1].sum("calls"))
    return (EPOCH + timedelta(seconds=int(day_s))).date().isoformat(), _calls(busiest)


def _success_rate(usage: Columns) -> Estimate | None:
    if not usage.rows:
        return None
    well = usage.chosen(usage["outcome"] == "ok")
    lost = usage.sum("variance") - well.sum("variance")
    return rate(well.sum("calls"), usage.sum("calls"), well.sum("variance"), lost).rounded(4)


def _by_label(columns: Columns, name: str) -> dict[tuple[str, str] | None, int]:
    """Return a number by (service, operation), and the whole's under None."""
    rows = zip(
        columns["service"].tolist(),
        columns["operation"].tolist(),
        columns["whole"].tolist(),
        columns[name].tolist(),
        strict=True,
    )
    return {
        None if whole else (service, operation): int(n) for service, operation, whole, n in rows
    }


REPORT = Report(
    question="What is used, how often, by how many people, and when was it last used?",
    params=Params,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "calls",
            "share",
            "unique_users",
            "sessions",
            "success_rate",
            "hours_since_last_use",
        ),
    },
    reduce=reduce,
    charts=(
        Bars(title="Calls by operation", category="operation", value="calls"),
        Share(title="Share of calls", category="operation", value="calls"),
    ),
)
