"""Success: how often calls end well, and how good their results are (REQ-SUC-01 to -06).

Applications say how good a result is with two attributes of the call: `headgate.quality.score` (0 to 1) and
`headgate.quality.gates_passed` (true or false).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from headgate.queries.charts import Bars, Gauge, Timeline
from headgate.queries.columns import Columns, parts
from headgate.queries.coverage import ARRIVALS, BORROWED, anyone, coverage
from headgate.queries.declaration import Context, Reduced, Report, SteppedParams
from headgate.queries.estimate import Estimate, count, exactly
from headgate.queries.labels import OfOperation, OfPeriod
from headgate.queries.outcomes import WARN_BELOW_SUCCESS_RATE, Success, success
from headgate.queries.uncertain import mean_of, variance_of

LEAST_QUALITY_SCORE = 0.70
_NOTHING = Columns({})


@dataclass(frozen=True, slots=True)
class Quality(Success):
    """How calls ended and how good they were."""

    quality_gate_failures: Annotated[
        Estimate, "calls with `headgate.quality.gates_passed` = false, ended well or not"
    ]
    scored_calls: Annotated[Estimate, "calls with a `headgate.quality.score`"]
    avg_quality_score: Annotated[Estimate, "mean score of those (0 to 1); 0 where there are none"]
    verdict: Annotated[
        str,
        "`ok`, `no calls`, or all that hold: `low success` (success_rate < 0.80: REQ-SUC-02, which is"
        " error_rate > 0.20: -03), `gates failed` (any: -04), `low quality` (mean score < 0.70: -05)",
    ]


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Quality):
    """One operation of one service."""

    success_series: Annotated[
        tuple[float | None, ...], "success rate of each period; null without calls"
    ]


@dataclass(frozen=True, slots=True)
class Period(OfPeriod, Success):
    """Everything in one period."""


@dataclass(frozen=True, slots=True)
class Summary(Quality):
    """Everything in the window together."""

    attention: Annotated[int, "operations whose verdict is not `ok`"]
    timeline: Annotated[
        tuple[Period, ...], "every period of the window of which anything was recorded, in order"
    ]


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Count outcomes, average scores; rows with most failures first."""
    outcomes, quality = columns["usage"], columns["quality"]
    scored = dict(parts(quality, "service", "operation"))
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            success_series=_series(part, context),
            **_quality(part, scored.get(label, _NOTHING)),
        )
        for label, part in parts(outcomes, "service", "operation")
    ]
    rows.sort(
        key=lambda row: (
            -row.failure_count.value,
            -row.quality_gate_failures.value,
            -row.calls.value,
            row.service,
            row.operation,
        )
    )
    summary = Summary(
        attention=sum(row.verdict != "ok" for row in rows),
        timeline=_timeline(columns, context),
        **_quality(outcomes, quality),
    )
    return Reduced(summary, tuple(rows))


def _quality(outcomes: Columns, quality: Columns) -> dict[str, Any]:
    found = success(outcomes)
    gates = count(
        quality.sum("gate_failures"),
        variance_of(quality, "gate_variance", "gate_noise"),
        quality.sum("failures"),
    )
    scored = variance_of(quality, "scored_s0", "scored_noise")
    score = mean_of(quality, "scored")
    return found | {
        "quality_gate_failures": gates,
        "scored_calls": count(quality.sum("scored_n"), scored, quality.sum("scored")),
        "avg_quality_score": exactly(0) if score is None else score.rounded(4),
        "verdict": verdict(
            found["success_rate"], gates.value, None if score is None else score.value
        ),
    }


def verdict(success_rate: Estimate | None, gate_failures: float, score: float | None) -> str:
    """Return the thresholds of REQ-SUC-02 to -05 as words; `score` is None where no call has one."""
    if success_rate is None:
        return "no calls"
    words = []
    if success_rate.value < WARN_BELOW_SUCCESS_RATE:
        words.append("low success")
    if gate_failures > 0:
        words.append("gates failed")
    if score is not None and score < LEAST_QUALITY_SCORE:
        words.append("low quality")
    return ", ".join(words) or "ok"


def _series(outcomes: Columns, context: Context) -> tuple[float | None, ...]:
    position = context.periods.index(outcomes["period_s"].astype(np.int64))
    calls = np.bincount(position, outcomes["calls"], len(context.periods))
    well = outcomes["calls"] * (outcomes["outcome"] == "ok")
    succeeded = np.bincount(position, well.astype(np.float64), len(context.periods))
    return tuple(
        round(float(part / whole), 4) if whole else None
        for part, whole in zip(succeeded, calls, strict=True)
    )


def _timeline(columns: Mapping[str, Columns], context: Context) -> tuple[Period, ...]:
    outcomes = columns["usage"]
    if not outcomes.rows:
        return ()
    by_start = {start: part for (start,), part in parts(outcomes, "period_s")}
    position = context.periods.index(outcomes["period_s"].astype(np.int64))
    calls = np.bincount(position, outcomes["calls"], len(context.periods))
    known = coverage(columns, context, calls)
    return tuple(
        Period(
            period=context.periods.label(number),
            whole=bool(known.whole[number]),
            **success(by_start.get(start, _NOTHING)),
        )
        for number, start in enumerate(context.periods.edges_s[:-1].tolist())
        if not known.missing[number]
    )


REPORT = Report(
    question="How often do calls end well, and how good are their results?",
    params=SteppedParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "verdict",
            "success_rate",
            "success_series",
            "calls",
            "failure_count",
            "timeout_count",
            "quality_gate_failures",
            "avg_quality_score",
        ),
    },
    charts=(
        Gauge(
            title="Success rate",
            value="success_rate",
            low=0,
            high=1,
            bands=((WARN_BELOW_SUCCESS_RATE, "low"), (0.95, "attention"), (1, "good")),
        ),
        Timeline(title="Success over time", table="timeline", x="period", y=("success_rate",)),
        Timeline(
            title="Failures over time",
            table="timeline",
            x="period",
            y=("failure_count", "timeout_count"),
        ),
        Bars(
            title="Where calls fail", category="operation", value="failure_count", color="service"
        ),
    ),
    reduce=reduce,
    asks=anyone,
    borrows=("usage.usage", BORROWED),
    on_request=(ARRIVALS,),
    rare=("quality",),
)
