"""Usage: what is used, how often, by how many, and when last (REQ-USE-01 to -05, REQ-ALRT-04)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np

from headgate.queries.columns import Columns, Groups
from headgate.queries.declaration import Context, Params, Reduced, Report
from headgate.queries.estimate import Estimate, at_least, count, exactly, rate

ABANDONED_HOURS = 168


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
    groups = Groups(usage["service"], usage["operation"])
    users = _by_label(columns["users"], "users")
    kept = _by_label(sessions, "sessions")
    seen = _by_label(sessions, "last_ns")
    thinned = bool(sessions.rows and sessions["weight"].max() > 1)
    all_calls = float(usage["calls"].sum())
    rows = []
    for number, label in enumerate(groups.labels):
        service, operation = label
        part = _Part(usage, groups.number == number)
        frequency = _frequency(
            part,
            users.get(label, 0),
            kept.get(label, 0),
            seen.get(label, 0),
            context,
            thinned=thinned,
        )
        hours = frequency["hours_since_last_use"]
        abandoned = isinstance(hours, float) and hours > ABANDONED_HOURS
        rows.append(
            Row(
                service=service,
                operation=operation,
                share=round(part.calls / all_calls, 4) if all_calls else 0.0,
                verdict="archive candidate" if abandoned else "in use",
                **frequency,
            )
        )
    rows.sort(key=lambda row: (-row.calls.value, row.service, row.operation))
    whole = _Part(usage, np.ones(usage.rows, bool))
    summary = Summary(
        services=len({service for service, _ in groups.labels}),
        operations=len(groups.labels),
        **_frequency(
            whole,
            users.get(None, 0),
            kept.get(None, 0),
            seen.get(None, 0),
            context,
            thinned=thinned,
        ),
    )
    return Reduced(summary, tuple(rows))


class _Part:
    """The rows of `usage` that belong together."""

    def __init__(self, usage: Columns, mask: np.ndarray) -> None:
        self.calls = float(usage["calls"][mask].sum())
        self.variance = float(usage["variance"][mask].sum())
        self.arrivals = float(usage["arrivals"][mask].sum())
        well = mask & (usage["outcome"] == "ok")
        self.well = float(usage["calls"][well].sum())
        self.well_variance = float(usage["variance"][well].sum())
        self.last_ns = int(usage["last_ns"][mask].max(initial=0))
        self.peak_day_s, self.peak = None, exactly(0)
        days, place = np.unique(usage["day_s"][mask], return_inverse=True)
        if days.size:
            daily = np.bincount(place, weights=usage["calls"][mask])
            busiest = int(daily.argmax())
            chosen = mask & (usage["day_s"] == days[busiest])
            self.peak_day_s = int(days[busiest])
            self.peak = count(
                float(daily[busiest]),
                float(usage["variance"][chosen].sum()),
                float(usage["arrivals"][chosen].sum()),
            )


def _frequency(
    part: _Part, users: int, sessions: int, seen_ns: int, context: Context, *, thinned: bool
) -> dict[str, Any]:
    days = context.window.days
    calls = count(part.calls, part.variance, part.arrivals)
    distinct = at_least if part.variance > 0 else exactly
    last_ns = max(part.last_ns, seen_ns if part.calls else 0)
    last = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=last_ns // 1000)
    hours = max((context.now - last) / timedelta(hours=1), 0.0)
    return {
        "calls": calls,
        "calls_per_day": calls.scaled(1 / max(days, 1)).rounded(2),
        "calls_per_week": calls.scaled(1 / max(days / 7, 1)).rounded(2),
        "calls_per_month": calls.scaled(1 / max(days / 30, 1)).rounded(2),
        "unique_users": distinct(users),
        "sessions": at_least(sessions) if thinned else exactly(sessions),
        "peak_daily_calls": part.peak,
        "peak_date": None
        if part.peak_day_s is None
        else datetime.fromtimestamp(part.peak_day_s, UTC).date().isoformat(),
        "last_used_at": last if last_ns else None,
        "hours_since_last_use": round(hours, 2) if last_ns else None,
        "success_rate": rate(
            part.well, part.calls, part.well_variance, part.variance - part.well_variance
        ).rounded(4)
        if part.calls
        else None,
    }


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
)
