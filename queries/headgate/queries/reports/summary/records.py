"""What the summary returns: its parameters, its records, what each field means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Ge

from headgate.queries.declaration import SteppedParams
from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation, OfPeriod
from headgate.queries.outcomes import Rated


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryParams(SteppedParams):
    """How long the lists are."""

    limit: Annotated[int, "at most this many operations", Ge(1)] = 10
    shortlist: Annotated[
        int, "at most this many entries of what fails, what is slow, what is new", Ge(1)
    ] = 5


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Rated):
    """One of the most used operations."""

    verdict: Annotated[
        str,
        "`healthy`, or what holds: `failing` (success_rate < 0.80), `slow` (p95 > 500 ms),"
        " `archive candidate` (not used for over 168 hours)",
    ]
    change_rate: Annotated[
        float | None,
        "calls a day against the window before; null without any, or records of all of it",
    ]
    calls_series: Annotated[
        tuple[float | None, ...], "calls of each period; null before its first record"
    ]
    error_rate: Annotated[float | None, "1 - success_rate"]
    reliability: Annotated[
        float | None,
        "the success rate that the calls prove: the lower end of its 95 % interval (REQ-ERR-03)",
    ]
    mean_ms: Annotated[Estimate | None, "mean duration; null where there are none"]
    p95_ms: Annotated[Estimate | None, "95th percentile of durations; null where there are none"]
    unique_users: Annotated[Estimate, "distinct users"]


@dataclass(frozen=True, slots=True)
class Number:
    """A key number, and that of the window before."""

    metric: Annotated[str, "`calls`, `unique_users`, `error_rate`, `mean_ms`, `p95_ms`"]
    value: Annotated[Estimate | None, "of this window; null without calls"]
    before: Annotated[Estimate | None, "of the window before, of the same length"]
    change_rate: Annotated[float | None, "value / before - 1; null where before is 0 or null"]


@dataclass(frozen=True, slots=True)
class Failing(OfOperation):
    """An operation that fails."""

    success_rate: Annotated[Estimate | None, "share of calls that ended well"]
    failure_count: Annotated[Estimate, "calls that failed"]


@dataclass(frozen=True, slots=True)
class Slow(OfOperation):
    """An operation that takes long."""

    p95_ms: Annotated[Estimate | None, "95th percentile of durations"]
    calls: Annotated[Estimate, "timed uses"]


@dataclass(frozen=True, slots=True)
class NewError:
    """A kind of failure, by when it was seen first in the window."""

    fingerprint: Annotated[str, "16 hex digits: the same bug has the same"]
    error_type: Annotated[str, "exception type or error.type; empty when unknown"]
    message: Annotated[str, "the latest message"]
    count: Annotated[Estimate, "failed calls"]
    first_seen_at: Annotated[datetime, "first failure in the window"]


@dataclass(frozen=True, slots=True)
class Period(OfPeriod):
    """Everything in one period."""

    calls: Annotated[float | None, "uses; null where nothing at all was recorded"]
    failures: Annotated[float | None, "those of them that failed"]


@dataclass(frozen=True, slots=True)
class Summary(Rated):
    """Everything in the window together."""

    services: Annotated[int, "distinct services"]
    operations: Annotated[int, "distinct pairs of service and operation"]
    healthy: Annotated[int, "operations with nothing to act on"]
    unhealthy: Annotated[int, "operations that fail, are slow, or have not been used for a week"]
    numbers: Annotated[tuple[Number, ...], "key numbers against the window before"]
    failing: Annotated[tuple[Failing, ...], "operations that fail most often, by their share"]
    slowest: Annotated[tuple[Slow, ...], "operations with the longest 95th percentile"]
    newest_errors: Annotated[tuple[NewError, ...], "kinds of failures, the newest first"]
    timeline: Annotated[tuple[Period, ...], "every period of the window, in order"]
