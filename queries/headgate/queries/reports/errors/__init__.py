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

from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Context, Params, Reduced, Report
from headgate.queries.estimate import Estimate, at_least, count, exactly, rate

ALERT_ABOVE_ERROR_RATE = 0.20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    whole = _success(outcomes)
    found = _groups(columns["failures"], columns["affected"])
    affected = np.unique(columns["affected"]["user_hash"])
    sampled = columns["failures"].sum("variance") > 0
    summary = Summary(
        **whole,
        verdict=verdict(whole["error_rate"]),
        users_affected=(at_least if sampled else exactly)(affected.size),
        groups=len(found),
        reliability=_reliability(outcomes),
        days=tuple(
            Day(
                date=(EPOCH + timedelta(seconds=int(day_s))).date().isoformat(),
                **_success(part),
            )
            for (day_s,), part in parts(outcomes, "day_s")
        ),
    )
    return Reduced(summary, tuple(found[: context.params.limit]))


def verdict(error_rate: Estimate | None) -> str:
    """Return REQ-SUC-02 and -03 as a word: they name the same threshold from both sides."""
    if error_rate is None:
        return "no calls"
    return "alert" if error_rate.value > ALERT_ABOVE_ERROR_RATE else "ok"


def _success(outcomes: Columns) -> dict[str, Any]:
    well = outcomes.chosen(outcomes["outcome"] == "ok")
    failed = outcomes.chosen(outcomes["outcome"] != "ok")
    late = outcomes.chosen(outcomes["outcome"] == "timeout")
    calls = outcomes.sum("calls")
    spread = (well.sum("variance"), failed.sum("variance"))
    return {
        "calls": _calls(outcomes),
        "success_count": _calls(well),
        "failure_count": _calls(failed),
        "timeout_count": _calls(late),
        "success_rate": rate(well.sum("calls"), calls, *spread).rounded(4) if calls else None,
        "error_rate": rate(failed.sum("calls"), calls, *spread[::-1]).rounded(4) if calls else None,
    }


def _calls(outcomes: Columns) -> Estimate:
    return count(outcomes.sum("calls"), outcomes.sum("variance"), outcomes.sum("arrivals"))


def _reliability(outcomes: Columns) -> tuple[Reliability, ...]:
    found = [
        (1 - part.chosen(part["outcome"] != "ok").sum("calls") / part.sum("calls"), label, part)
        for label, part in parts(outcomes, "service", "operation")
    ]
    found.sort(key=lambda entry: (-entry[0], -entry[2].sum("calls"), entry[1]))
    rates = [entry[0] for entry in found]
    ranked = []
    for share, (service, operation), part in found:
        success = _success(part)
        ranked.append(
            Reliability(
                rank=1 + rates.index(share),
                service=service,
                operation=operation,
                verdict=verdict(success["error_rate"]),
                **success,
            )
        )
    return tuple(ranked)


def _groups(failures: Columns, affected: Columns) -> list[Row]:
    users = {
        label: np.unique(part["user_hash"]).size for label, part in parts(affected, "fingerprint")
    }
    every = failures.sum("failures")
    rows = []
    for label, part in parts(failures, "fingerprint"):
        n, variance = part.sum("failures"), part.sum("variance")
        texts = (part["last_ns"], part["error_type"], part["message"])
        # Equal instants are told apart by the text, so that the order of rows does not matter.
        latest = max(zip(*(column.tolist() for column in texts), strict=True))
        rows.append(
            Row(
                fingerprint=f"{int(label[0]):016x}",
                error_type=latest[1],
                message=latest[2],
                count=count(n, variance, part.sum("arrivals")),
                share=round(n / every, 4),
                timeout_count=count(part.sum("timeouts"), part.sum("timeout_variance"), 0.0),
                users_affected=(at_least if variance > 0 else exactly)(users.get(label, 0)),
                first_seen_at=_instant(int(part["first_ns"].min())),
                last_seen_at=_instant(latest[0]),
                operations=tuple(
                    f"{service} {operation}"
                    for (service, operation), _ in parts(part, "service", "operation")
                ),
            )
        )
    return sorted(rows, key=lambda row: (-row.count.value, row.fingerprint))


def _instant(nanoseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)


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
