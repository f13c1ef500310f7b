"""What a comparison returns: metrics of both sides, what each field means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from headgate.queries.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of both sides. Interval and p-value take the calls of both as samples of what goes on."""

    metric: Annotated[
        str,
        "`calls_per_day`, `error_rate`, `mean_ms`, `p50_ms`, `p95_ms`, `p99_ms`, `unique_users`",
    ]
    value: Annotated[Estimate | None, "of the window and group asked for; null without calls"]
    against: Annotated[
        Estimate | None, "of what it is compared with; null without calls, or records yet"
    ]
    difference: Annotated[float | None, "value - against"]
    change_rate: Annotated[float | None, "value / against - 1; null where against is 0 or null"]
    standard_error: Annotated[float | None, "of the difference, by chance"]
    low: Annotated[float | None, "lower end of the 95 % interval of the difference"]
    high: Annotated[float | None, "upper end"]
    p_value: Annotated[
        float | None, "how probable so large a difference is by chance; null where not tested"
    ]
    verdict: Annotated[
        str,
        "`better` or `worse`, `more` or `fewer` where chance does not explain it (Benjamini and"
        " Hochberg over all rows), else `no clear difference`; `not tested`; `new`:"
        " its first record is later than what it is compared with",
    ]


@dataclass(frozen=True, slots=True)
class Row(Metric):
    """One metric of one operation."""

    service: Annotated[str, "service.name of the side asked for, else of the other"]
    operation: Annotated[str, "span or event name, likewise"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Both sides as a whole."""

    calls: Annotated[Estimate, "uses in the window and group asked for"]
    calls_against: Annotated[Estimate, "uses in what it is compared with"]
    against_since_at: Annotated[datetime, "begin of the period of the other side"]
    against_until_at: Annotated[datetime, "its end"]
    better: Annotated[int, "operations' metrics that are better, beyond chance"]
    worse: Annotated[int, "operations' metrics that are worse, beyond chance"]
    metrics: Annotated[tuple[Metric, ...], "every metric of everything together"]
