"""What the report on anomalies returns: its parameters, its records, what each field means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from headgate.queries.declaration import Params
from headgate.queries.estimate import Estimate
from headgate.queries.labels import Label, OfOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyParams(Params):
    """What is compared with what, and how often chance may raise an alarm."""

    step: Annotated[Literal["hour", "day"], "length of the periods that are judged"] = "hour"
    learn_days: Annotated[
        float, "days before the window that show what is usual", Gt(0), Le(3650)
    ] = 28.0
    false_alarms: Annotated[
        float, "how many alarms chance may raise in one answer, on average", Gt(0), Le(100)
    ] = 0.1
    limit: Annotated[int, "at most this many operations are judged, the most used", Ge(1)] = 50


@dataclass(frozen=True, slots=True)
class Row(OfOperation):
    """One operation, and the verdict on it."""

    verdict: Annotated[
        str,
        "`unusual now`: an anomaly lasts until the end of the window; `was unusual`; `changed`: its level"
        " did; `new`: its first record lies in the window, and there is too little since to judge it; `usual`;"
        " `too little data`: under 72 hours (21 days) since its first record",
    ]
    calls: Annotated[Estimate, "uses in the window"]
    expected_calls: Annotated[float | None, "what was usual for these periods"]
    anomalies: Annotated[int, "anomalies in the window"]
    calls_series: Annotated[
        tuple[float | None, ...],
        "calls of each period of the window; null in gaps, and up to the end of the period that its first record is in",
    ]
    learnt_periods: Annotated[
        int, "periods that show what is usual, gaps left out: from its first record on"
    ]


@dataclass(frozen=True)
class Unusual(Label):
    """What was not as usual, and since when."""

    service: Annotated[str, "service.name; empty for everything together"]
    operation: Annotated[str, "span or event name; empty likewise"]
    metric: Annotated[str, "`calls`, `error rate` or `mean duration (ms)`"]
    began_at: Annotated[datetime, "begin of its first period"]


@dataclass(frozen=True, slots=True)
class Anomaly(Unusual):
    """Successive periods in which something was far from usual, to the same side, each alone or together."""

    ended_at: Annotated[datetime, "end of its last period"]
    periods: Annotated[int, "how many of them were odd"]
    observed: Annotated[float, "mean of the metric in them"]
    expected: Annotated[float, "mean of what is usual in them"]
    score: Annotated[
        float,
        "how far from usual, in robust standard deviations, of the clearest of its blocks of 1, 6 or 24"
        " periods; the sign is the side",
    ]


@dataclass(frozen=True, slots=True)
class Shift(Unusual):
    """A lasting change of level, hours of the week taken into account."""

    before: Annotated[float, "median of the metric before"]
    after: Annotated[float, "median after"]
    p_value: Annotated[float, "Pettitt's, for correlated periods, corrected by Holm's procedure"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Successive periods in which nothing at all was recorded."""

    began_at: Annotated[datetime, "begin of the first"]
    ended_at: Annotated[datetime, "end of the last"]
    periods: Annotated[int, "how many"]
    expected_calls: Annotated[float | None, "what would have been usual in them"]


@dataclass(frozen=True, slots=True)
class Period:
    """Everything together, in one period of the window."""

    start_at: Annotated[datetime, "its begin"]
    calls: Annotated[float | None, "uses; null in a gap and where the window cuts the period"]
    expected: Annotated[float | None, "what is usual"]
    expected_low: Annotated[float | None, "lower end of what chance explains"]
    expected_high: Annotated[float | None, "upper end of it"]
    anomaly: Annotated[bool, "whether it is odd"]


@dataclass(frozen=True, slots=True)
class Summary:
    """How much is unusual."""

    verdict: Annotated[
        str,
        "`unusual now`, `was unusual`, `changed`, `usual` or `too little data`: the first that holds of"
        " everything together or of an operation that is not `new`",
    ]
    calls: Annotated[Estimate, "uses in the window"]
    judged: Annotated[int, "periods of series that were compared"]
    threshold: Annotated[
        float | None, "score from which a period is odd, by `false_alarms` and `judged`"
    ]
    learnt_periods: Annotated[int, "periods that show what is usual, gaps left out"]
    missing_periods: Annotated[int, "periods of the window that are gaps: not judged, not zero"]
    anomalies: Annotated[tuple[Anomaly, ...], "the oddest first"]
    shifts: Annotated[tuple[Shift, ...], "changes of level that began in the window, surest first"]
    gaps: Annotated[tuple[Gap, ...], "in order"]
    timeline: Annotated[tuple[Period, ...], "everything together, in order"]
