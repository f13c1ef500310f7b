"""What the report on errors returns: its parameters, its records, what each field means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from headgate.queries.declaration import Params
from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation
from headgate.queries.outcomes import VERDICTS, Success

State = Literal["new", "regressed", "ongoing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorParams(Params):
    """How many groups to show, how far to look back, and what counts as significant."""

    limit: Annotated[int, "at most this many groups of errors, the most frequent first", Ge(1)] = 20
    lookback_days: Annotated[
        float, "days before the window in which an error may have been seen already", Gt(0)
    ] = 30.0
    significance: Annotated[
        float, "differences and associations are shown up to this share of false discoveries", Gt(0)
    ] = 0.01


@dataclass(frozen=True, slots=True)
class Reliability(OfOperation, Success):
    """One operation in the ranking, most reliable first."""

    rank: Annotated[int, "1 is the most reliable; equal scores share a rank"]
    proved_rate: Annotated[
        float,
        "success rate that is proved: the lower end of Wilson's 95 % interval, so that 1 of 1 ranks"
        " below 9 999 of 10 000",
    ]
    verdict: Annotated[str, VERDICTS]


@dataclass(frozen=True, slots=True)
class Day(Success):
    """One day of the time zone."""

    date: Annotated[str, "the date"]
    whole: Annotated[
        bool, "whether all of it is in the window and was recorded: no hour of it is a gap"
    ]


@dataclass(frozen=True, slots=True)
class Failed:
    """How many calls failed in one way."""

    count: Annotated[Estimate, "failed calls"]
    share: Annotated[float, "its share of all failures"]


@dataclass(frozen=True, slots=True)
class Kind(Failed):
    """Failures of one type in one service."""

    error_type: Annotated[str, "exception type or error.type; empty when unknown"]
    service: Annotated[str, "service.name"]
    groups: Annotated[int, "different errors of that type"]


@dataclass(frozen=True, slots=True)
class Code(Failed):
    """Failures that ended with one code."""

    code: Annotated[str, "`http 503`, `grpc 14`, else error.type, else the exception's type"]


@dataclass(frozen=True, slots=True)
class Difference:
    """An attribute's value that failures have more often than successes of the same operations."""

    key: Annotated[
        str,
        "attribute of a call, or of its resource (of raw spans, that are kept for 7 days); or `operation`",
    ]
    value: Annotated[str, "its value"]
    failures: Annotated[float, "failed calls with it"]
    failure_share: Annotated[
        float, "share of failures that have it, of the operations whose calls have it"
    ]
    success_share: Annotated[float, "share of successes that have it, of the same operations"]
    odds_ratio: Annotated[
        float,
        "odds of failing with it, divided by those without it, within operations: Mantel and Haenszel's"
        " common odds ratio",
    ]
    odds_ratio_low: Annotated[float, "lower end of the ratio's 95 % interval"]
    odds_ratio_high: Annotated[float, "upper end of the ratio's 95 % interval"]
    error_rate: Annotated[float, "share of calls with it that fail"]
    q_value: Annotated[
        float,
        "one-sided probability within operations (Cochran, Mantel and Haenszel; Fisher's for few calls and"
        " for `operation`), corrected by Benjamini and Hochberg's procedure",
    ]


@dataclass(frozen=True, slots=True)
class Association:
    """How failing goes together with a number: the duration, a size, an order."""

    measure: Annotated[str, "`duration`, or the attribute that holds the number"]
    calls: Annotated[float, "calls that have the number"]
    effect: Annotated[
        float,
        "rank-biserial correlation within operations, -1 to 1: above 0 failed calls have larger numbers",
    ]
    q_value: Annotated[float | None, "van Elteren's probability, corrected likewise"]


@dataclass(frozen=True, slots=True)
class Speed:
    """Timed calls of one speed class."""

    speed: Annotated[str, "`fast` below 0.1 s, `medium` below 1 s, else `slow`"]
    calls: Annotated[float, "timed calls"]
    failure_count: Annotated[float, "those of them that failed"]
    error_rate: Annotated[float, "failure_count / calls"]


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about it, by one of the rules in docs/explanation/errors.md."""

    rule: Annotated[str, "name of the rule"]
    advice: Annotated[str, "what to look at, with the numbers that say so"]


@dataclass(frozen=True, slots=True)
class Row(Failed):
    """One group of failures with the same fingerprint: the same bug."""

    fingerprint: Annotated[str, "16 hex digits: type and normalised stack (or message)"]
    error_type: Annotated[str, "exception type or error.type; empty when unknown"]
    message: Annotated[str, "the latest message, as a sample"]
    state: Annotated[
        State,
        "`ongoing`: also seen in the window before, of the same length; `regressed`: not then, but in"
        " the lookback; `new`: in neither",
    ]
    timeout_count: Annotated[Estimate, "those of them that were timeouts"]
    users_affected: Annotated[Estimate, "distinct users whose calls failed so"]
    daily_series: Annotated[
        tuple[float | None, ...], "failed calls of each day; null where nothing at all was recorded"
    ]
    first_seen_at: Annotated[datetime, "first failure in the window"]
    last_seen_at: Annotated[datetime, "last failure in the window"]
    known_since_at: Annotated[datetime, "first failure in the window or its lookback"]
    operations: Annotated[tuple[str, ...], "where it happened, as `service operation`"]
    differs: Annotated[
        tuple[str, ...],
        "attributes that mark it, as `key=value (5 times)`: significantly more frequent in its failures"
        " than in successes, with so many times the odds; at most three",
    ]


@dataclass(frozen=True, slots=True)
class Summary(Success):
    """Everything in the window together."""

    verdict: Annotated[
        str,
        "`alert` when error_rate > 0.20; `attention` when an operation with 5 failures or more has such a"
        " rate; else `ok`; `no calls` without any",
    ]
    users_affected: Annotated[Estimate, "distinct users with any failed call"]
    groups: Annotated[int, "different errors, shown or not"]
    new_groups: Annotated[int, "those never seen before"]
    speed_association: Annotated[
        float | None, "Cramér's V of speed class and outcome, 0 to 1; null where nothing varies"
    ]
    speed_p_value: Annotated[float | None, "chi-square's probability of that by chance"]
    recommendations: Annotated[tuple[Advice, ...], "what to do, the most urgent first"]
    reliability: Annotated[tuple[Reliability, ...], "every operation, most reliable first"]
    days: Annotated[
        tuple[Day, ...], "every day of the window of which anything was recorded, in order"
    ]
    types: Annotated[tuple[Kind, ...], "failures by type and service, most first"]
    codes: Annotated[tuple[Code, ...], "failures by code, most first"]
    differences: Annotated[
        tuple[Difference, ...],
        "what failures have more often than successes, by odds ratio; at most twenty",
    ]
    associations: Annotated[tuple[Association, ...], "numbers that go together with failing"]
    speeds: Annotated[tuple[Speed, ...], "failures by speed class"]
