"""Quality: how far the data can be trusted, and what would make it better (REQ-TRD-12, REQ-CAP-24)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from headgate.queries.charts import Bars, Gauge
from headgate.queries.columns import Columns
from headgate.queries.declaration import Ask, Context, Reduced, Report, SteppedParams
from headgate.queries.estimate import Estimate
from headgate.queries.outcomes import calls_of
from headgate.queries.reports.quality.checks import Row, checks
from headgate.queries.window import Window

WORDS = ((0.4, "little"), (0.8, "some"), (1.0, "enough"))


@dataclass(frozen=True, slots=True)
class Summary:
    """How far the window's data can be trusted."""

    calls: Annotated[Estimate, "uses: the data points"]
    days: Annotated[float, "length of the window"]
    analytics_quality_score: Annotated[
        float, "0.7 min(calls / 100, 1) + 0.3 min(days / 30, 1) (REQ-TRD-12)"
    ]
    good: Annotated[int, "checks that found nothing"]
    attention: Annotated[int, "checks that found something to know"]
    problems: Annotated[int, "checks that found something to act on"]
    unknown: Annotated[int, "checks that the data says nothing about"]


def asks(params: SteppedParams, window: Window) -> Mapping[str, Ask]:
    """Compare clocks, which reads many spans, only where everything is wanted."""
    if params.granularity != "comprehensive":
        return {}
    return {"all": Ask(window, params, ("clocks",))}


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Check; rows from problems to what is good."""
    calls = calls_of(columns["services"])
    rows = checks(columns, context) if columns["services"].rows else ()
    states = [row.state for row in rows]
    summary = Summary(
        calls=calls,
        days=round(context.window.days, 4),
        analytics_quality_score=score(calls.value, context.window.days),
        good=states.count("good"),
        attention=states.count("attention"),
        problems=states.count("problem"),
        unknown=states.count("unknown"),
    )
    return Reduced(summary, rows)


def score(calls: float, days: float) -> float:
    """Return how much data there is, 0 to 1."""
    return round(0.7 * min(calls / 100, 1) + 0.3 * min(days / 30, 1), 4)


REPORT = Report(
    question="How far can these numbers be trusted, and what would make them better?",
    params=SteppedParams,
    summary=Summary,
    row=Row,
    tables={"rows": ("check", "state", "affected", "share", "finding", "advice")},
    charts=(
        Gauge(
            title="How much data there is",
            value="analytics_quality_score",
            low=0,
            high=1,
            bands=WORDS,
        ),
        Bars(
            title="Shares of what is affected",
            category="check",
            value="share",
            color="state",
        ),
    ),
    reduce=reduce,
    asks=asks,
    borrows=("trend.arrivals",),
    on_request=("clocks",),
)
