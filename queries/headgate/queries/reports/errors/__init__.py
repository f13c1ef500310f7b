"""Errors: how often calls fail, what the failures are, whom they meet (REQ-SUC-01 to -03, REQ-ERR-01 to -03).

Every rate has the number of calls as its denominator (PIT-R0-01); failures that differ only in ids, numbers or
paths are one group (PIT-R0-02).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from headgate.queries.columns import Columns, Groups
from headgate.queries.declaration import Context, Params, Reduced, Report
from headgate.queries.estimate import Estimate, at_least, count, exactly, rate

WARN_BELOW_SUCCESS_RATE = 0.80
ALERT_ABOVE_ERROR_RATE = 0.20
_VERDICTS = (
    "`ok`; `alert` when error_rate > 0.20 (which is success_rate < 0.80); `no calls` without any"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorParams(Params):
    """How many groups to show."""

    limit: Annotated[int, "at most this many groups of errors, the most frequent first", Ge(1)] = 20


@dataclass(frozen=True, slots=True)
class Success:
    """How many calls ended well; the same numbers for one operation, one day and all."""

    calls: Annotated[Estimate, "uses, failed or not"]
    success_count: Annotated[Estimate, "calls that ended well"]
    failure_count: Annotated[Estimate, "calls that failed, timeouts included"]
    timeout_count: Annotated[Estimate, "calls that failed by taking too long"]
    success_rate: Annotated[Estimate | None, "success_count / calls; null without calls"]
    error_rate: Annotated[Estimate | None, "failure_count / calls; null without calls"]


@dataclass(frozen=True, slots=True)
class Reliability(Success):
    """One operation in the ranking, most reliable first."""

    rank: Annotated[int, "1 is the most reliable; equal rates share a rank"]
    service: Annotated[str, "service.name"]
    operation: Annotated[str, "span or event name"]
    verdict: Annotated[str, _VERDICTS]


@dataclass(frozen=True, slots=True)
class Day(Success):
    """One UTC date."""

    date: Annotated[str, "the date"]


@dataclass(frozen=True, slots=True)
class Row:
    """One group of failures with the same fingerprint: the same bug."""

    fingerprint: Annotated[str, "16 hex digits: type and normalised stack (or message)"]
    error_type: Annotated[str, "exception type or error.type; empty when unknown"]
    message: Annotated[str, "the latest message, as a sample"]
    count: Annotated[Estimate, "failed calls"]
    share: Annotated[float, "its share of all failures"]
    timeout_count: Annotated[Estimate, "those of them that were timeouts"]
    users_affected: Annotated[Estimate, "distinct users whose calls failed so"]
    first_seen_at: Annotated[datetime, "first failure in the window"]
    last_seen_at: Annotated[datetime, "last failure in the window"]
    operations: Annotated[tuple[str, ...], "where it happened, as `service operation`"]


@dataclass(frozen=True, slots=True)
class Summary(Success):
    """Everything in the window together."""

    verdict: Annotated[str, _VERDICTS]
    users_affected: Annotated[Estimate, "distinct users with any failed call"]
    groups: Annotated[int, "different errors, shown or not"]
    reliability: Annotated[tuple[Reliability, ...], "every operation, most reliable first"]
    days: Annotated[tuple[Day, ...], "every UTC date with calls, in order"]


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Rank operations, follow the days, and merge failures by fingerprint; rows by count, most first."""
    outcomes = columns["outcomes"]
    whole = _success(outcomes, np.ones(outcomes.rows, bool))
    found = _groups(columns["failures"], columns["affected"])
    affected = np.unique(columns["affected"]["user_hash"])
    sampled = bool(columns["failures"]["variance"].sum() > 0)
    days = Groups(outcomes["day_s"])
    summary = Summary(
        **whole,
        verdict=verdict(whole["error_rate"]),
        users_affected=(at_least if sampled else exactly)(affected.size),
        groups=len(found),
        reliability=_reliability(outcomes),
        days=tuple(
            Day(
                date=datetime.fromtimestamp(int(day), UTC).date().isoformat(),
                **_success(outcomes, days.number == number),
            )
            for number, (day,) in enumerate(days.labels)
        ),
    )
    return Reduced(summary, tuple(found[: context.params.limit]))


def verdict(error_rate: Estimate | None) -> str:
    """Return REQ-SUC-02 and -03 as a word: they name the same threshold from both sides."""
    if error_rate is None:
        return "no calls"
    return "alert" if error_rate.value > ALERT_ABOVE_ERROR_RATE else "ok"


def _success(outcomes: Columns, mask: np.ndarray) -> dict[str, Any]:
    def sums(chosen: np.ndarray) -> tuple[float, float, float]:
        calls, variance, arrivals = (
            float(outcomes[name][chosen].sum()) for name in ("calls", "variance", "arrivals")
        )
        return calls, variance, arrivals

    calls = sums(mask)
    well = sums(mask & (outcomes["outcome"] == "ok"))
    failed = sums(mask & (outcomes["outcome"] != "ok"))
    late = sums(mask & (outcomes["outcome"] == "timeout"))
    return {
        "calls": count(*calls),
        "success_count": count(*well),
        "failure_count": count(*failed),
        "timeout_count": count(*late),
        "success_rate": rate(well[0], calls[0], well[1], failed[1]).rounded(4)
        if calls[0]
        else None,
        "error_rate": rate(failed[0], calls[0], failed[1], well[1]).rounded(4)
        if calls[0]
        else None,
    }


def _reliability(outcomes: Columns) -> tuple[Reliability, ...]:
    groups = Groups(outcomes["service"], outcomes["operation"])
    of = [_success(outcomes, groups.number == number) for number in range(len(groups.labels))]
    share = [
        part["success_count"].value / part["calls"].value if part["calls"].value else 0.0
        for part in of
    ]
    order = sorted(
        range(len(of)), key=lambda i: (-share[i], -of[i]["calls"].value, groups.labels[i])
    )
    return tuple(
        Reliability(
            rank=1 + sum(other > share[number] for other in share),
            service=groups.labels[number][0],
            operation=groups.labels[number][1],
            verdict=verdict(of[number]["error_rate"]),
            **of[number],
        )
        for number in order
    )


def _groups(failures: Columns, affected: Columns) -> list[Row]:
    groups = Groups(failures["fingerprint"])
    pairs = {
        (int(a), int(b))
        for a, b in zip(affected["fingerprint"], affected["user_hash"], strict=True)
    }
    users: dict[int, int] = {}
    for error, _ in pairs:
        users[error] = users.get(error, 0) + 1
    every = float(failures["failures"].sum())
    rows = []
    for number, (value,) in enumerate(groups.labels):
        mask = groups.number == number
        n, variance, arrivals = (
            float(failures[name][mask].sum()) for name in ("failures", "variance", "arrivals")
        )
        late = float(failures["timeouts"][mask].sum())
        # Equal instants are told apart by the text, so that the order of rows does not matter.
        latest = max(
            zip(
                failures["last_ns"][mask].tolist(),
                failures["error_type"][mask].tolist(),
                failures["message"][mask].tolist(),
                strict=True,
            )
        )
        sampled = variance > 0
        rows.append(
            Row(
                fingerprint=f"{int(value):016x}",
                error_type=latest[1],
                message=latest[2],
                count=count(n, variance, arrivals),
                share=round(n / every, 4),
                timeout_count=count(late, variance * late / n, 0.0) if sampled else exactly(late),
                users_affected=(at_least if sampled else exactly)(users.get(int(value), 0)),
                first_seen_at=_instant(int(failures["first_ns"][mask].min())),
                last_seen_at=_instant(latest[0]),
                operations=tuple(
                    sorted(
                        {
                            f"{service} {operation}"
                            for service, operation in zip(
                                failures["service"][mask], failures["operation"][mask], strict=True
                            )
                        }
                    )
                ),
            )
        )
    return sorted(rows, key=lambda row: (-row.count.value, row.fingerprint))


def _instant(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)


REPORT = Report(
    question="How often do calls fail, with which errors, and whom do they meet?",
    params=ErrorParams,
    summary=Summary,
    row=Row,
    tables={
        "reliability": ("rank", "service", "operation", "calls", "failure_count", "success_rate"),
        "days": ("date", "calls", "failure_count", "timeout_count", "error_rate"),
        "rows": ("error_type", "message", "count", "users_affected", "last_seen_at", "operations"),
    },
    reduce=reduce,
)
