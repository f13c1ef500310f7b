"""Compare: two periods, or two groups, metric by metric, beyond chance (REQ-CMP-01, -02, REQ-TRD-08)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headgate.queries.charts import Bars
from headgate.queries.columns import Columns
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.estimate import Estimate
from headgate.queries.outcomes import calls_of
from headgate.queries.periods import periods
from headgate.queries.reports.compare.judge import (
    Difference,
    of_calls,
    of_endings,
    of_error_rates,
    of_means,
    of_quantiles,
)
from headgate.queries.reports.compare.other import CompareParams, other
from headgate.queries.reports.compare.records import Metric, Row, Summary
from headgate.queries.reports.compare.sides import (
    METRICS,
    QUANTILES,
    Counted,
    Side,
    paired,
    whole_of,
)
from headgate.queries.significance import benjamini_hochberg
from headgate.queries.window import Window

NEW = "new"
_WORDS = {
    "calls_per_day": ("fewer", "more"),
    **dict.fromkeys(("error_rate", "mean_ms", *QUANTILES), ("better", "worse")),
}


def asks(params: CompareParams, window: Window) -> Mapping[str, Ask]:
    """Ask the same of the other side."""
    return {"other": other(params, window)}


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Compare every metric of every operation; rows by what chance explains least."""
    params, beside = context.params, context.beside["other"]
    grid = periods(beside, context.periods.step, context.zone, params.week_start)
    counted = Counted(context.periods), Counted(grid)
    theirs = {name: columns[f"other.{name}"] for name in ("usage", "moments", "buckets", "users")}
    ours = {name: columns[name] for name in theirs}
    unknown = context.known_beside.get("other") == "nothing"
    pairs = paired(ours, theirs, counted, params, {} if unknown else context.firsts)
    failing = of_endings([(a.ended, b.ended) for _, a, b in pairs])
    found = [
        both
        for (_, a, b), judged in zip(pairs, failing, strict=True)
        for both in _compared(a, b, judged)
    ]
    if unknown:
        found = [both.untested() for both in found]
    of = [pair for pair in pairs for _ in METRICS]
    rows = []
    for (label, _, other_side), both, q in zip(of, found, _discoveries(found), strict=True):
        new = other_side.counted.unknown
        verdict = NEW if new else both.verdict(q, params.significance)
        rows.append(Row(service=label[0], operation=label[1], **both.fields(), verdict=verdict))
    every = whole_of(ours, counted[0]), whole_of(theirs, counted[1])
    whole = _compared(*every, of_error_rates(ours["usage"], theirs["usage"]))
    if unknown:
        whole = [both.untested() for both in whole]
    metrics = [
        Metric(**both.fields(), verdict=both.verdict(q, params.significance))
        for both, q in zip(whole, _discoveries(whole), strict=True)
    ]
    rows.sort(key=_order)
    summary = Summary(
        calls=calls_of(ours["usage"]),
        calls_against=calls_of(theirs["usage"]),
        against_since_at=beside.since,
        against_until_at=beside.until,
        better=sum(row.verdict == "better" for row in rows),
        worse=sum(row.verdict == "worse" for row in rows),
        metrics=tuple(metrics) if ours["usage"].rows or theirs["usage"].rows else (),
    )
    return Reduced(summary, tuple(rows))


def _order(row: Row) -> tuple[Any, ...]:
    p = 2.0 if row.p_value is None else row.p_value
    return p, -abs(row.change_rate or 0.0), row.service, row.operation, row.metric


@dataclass(frozen=True, slots=True)
class _Both:
    """One metric of both sides, and what is said of their difference."""

    metric: str
    value: Estimate | None
    against: Estimate | None
    judged: Difference

    def fields(self) -> dict[str, Any]:
        """Return the fields of `Metric` but the verdict."""
        a, b = self.value, self.against
        change = None if a is None or b is None else a.value - b.value
        return {
            "metric": self.metric,
            "value": a,
            "against": b,
            "difference": _rounded(change),
            "change_rate": None
            if change is None or b is None or not b.value
            else round(change / b.value, 4),
            "standard_error": _rounded(self.judged.standard_error),
            "low": _rounded(self.judged.low),
            "high": _rounded(self.judged.high),
            "p_value": _rounded(self.judged.p_value, 9),
        }

    def untested(self) -> "_Both":
        """Return the same without a test: there are no records of the other side."""
        return replace(self, judged=Difference(self.judged.value))

    def verdict(self, q: float, significance: float) -> str:
        """Return the words, given the share of false discoveries at which this would be reported."""
        if self.judged.p_value is None:
            return "not tested"
        if q > significance:
            return "no clear difference"
        return _WORDS[self.metric][self.judged.value > 0]


def _discoveries(found: list[_Both]) -> list[float]:
    p = [np.nan if both.judged.p_value is None else both.judged.p_value for both in found]
    return benjamini_hochberg(p).tolist()  # type: ignore[no-any-return]


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(value, digits)


def _compared(ours: Side, theirs: Side, failing: Difference) -> list[_Both]:
    """Return every metric of both sides; `failing` is what is said of their error rates."""
    numbers = zip(METRICS, ours.numbers(), theirs.numbers(), strict=True)
    if ours.counted.unknown or theirs.counted.unknown:
        return [_Both(metric, a, b, Difference(0.0)) for metric, a, b in numbers]
    judged = [
        _calls(ours, theirs),
        failing,
        of_means(ours.moments, theirs.moments),
        *of_quantiles(ours.sampled, theirs.sampled, len(QUANTILES)),
        Difference(ours.users.value - theirs.users.value),
    ]
    return [_Both(*both, one) for both, one in zip(numbers, judged, strict=True)]


def _calls(ours: Side, theirs: Side) -> Difference:
    periods_of = [side.counted.calls(side.ended.every) for side in (ours, theirs)]
    return of_calls(periods_of[0], periods_of[1], (ours.counted.days, theirs.counted.days))


REPORT = Report(
    question="What is different from the period before, or from another group, beyond chance?",
    params=CompareParams,
    summary=Summary,
    row=Row,
    tables={
        "metrics": ("metric", "value", "against", "change_rate", "p_value", "verdict"),
        "rows": (
            "service",
            "operation",
            "metric",
            "value",
            "against",
            "change_rate",
            "verdict",
            "p_value",
        ),
    },
    charts=(
        Bars(
            title="Change of each metric, everything together",
            table="metrics",
            category="metric",
            value="change_rate",
            color="verdict",
        ),
    ),
    reduce=reduce,
    asks=asks,
    borrows=("usage.usage", "usage.users", "performance.moments", "performance.buckets"),
    firsts=True,
    by_days=("usage", "users", "moments", "buckets"),
)
