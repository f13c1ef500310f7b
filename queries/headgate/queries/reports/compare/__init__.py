"""Compare: two periods, or two groups, metric by metric, beyond chance (REQ-CMP-01, -02, REQ-TRD-08)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.charts import Bars
from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.durations import by_operation, mean_ms, quantiles
from headgate.queries.estimate import Estimate, at_least, exactly
from headgate.queries.outcomes import Ended, calls_of
from headgate.queries.periods import Periods, periods
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
from headgate.queries.significance import benjamini_hochberg
from headgate.queries.window import Window

QUANTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}
_WORDS = {
    "calls_per_day": ("fewer", "more"),
    **dict.fromkeys(("error_rate", "mean_ms", *QUANTILES), ("better", "worse")),
}
_NOTHING = Columns({})


def asks(params: CompareParams, window: Window) -> Mapping[str, Ask]:
    """Ask the same of the other side."""
    return {"other": other(params, window)}


class _Counted:
    """The periods of one side whose calls are compared: those within its window, all of them where none is."""

    def __init__(self, grid: Periods) -> None:
        self._grid = grid
        self._chosen = grid.whole if grid.whole.any() else np.ones(len(grid), bool)
        lasts = np.diff(grid.edges_s)[self._chosen]
        self.window_days = grid.window.days
        self.days = float(lasts.sum()) / 86400 if grid.whole.any() else grid.window.days

    def calls(self, usage: Columns) -> NDArray[np.float64]:
        """Return the calls of each period."""
        position = self._grid.index(usage["period_s"].astype(np.int64))
        counted = np.bincount(position, usage["calls"], len(self._grid)).astype(np.float64)
        return counted[self._chosen]


@dataclass(frozen=True, slots=True)
class _Side:
    """The columns of one side, whole or of one operation."""

    ended: Ended
    moments: Columns
    buckets: Columns
    users: Estimate
    counted: _Counted

    def calls_per_day(self) -> Estimate:
        """Return the calls of the window by its days."""
        return calls_of(self.ended.every).scaled(1 / self.counted.window_days).rounded(4)


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Compare every metric of every operation; rows by what chance explains least."""
    params, beside = context.params, context.beside["other"]
    grid = periods(beside, context.periods.step, context.zone, params.week_start)
    counted = _Counted(context.periods), _Counted(grid)
    theirs = {name: columns[f"other.{name}"] for name in ("usage", "moments", "buckets", "users")}
    ours = {name: columns[name] for name in theirs}
    pairs = _paired(ours, theirs, counted, params)
    failing = of_endings([(a.ended, b.ended) for _, a, b in pairs])
    found = [
        (label, both)
        for (label, a, b), judged in zip(pairs, failing, strict=True)
        for both in _compared(a, b, judged)
    ]
    unknown = context.known_beside.get("other") == "nothing"
    if unknown:
        found = [(label, both.untested()) for label, both in found]
    rows = []
    for (label, both), q in zip(found, _discoveries([b for _, b in found]), strict=True):
        verdict = both.verdict(q, params.significance)
        rows.append(Row(service=label[0], operation=label[1], **both.fields(), verdict=verdict))
    every = _whole(ours, counted[0]), _whole(theirs, counted[1])
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


def _paired(
    ours: Mapping[str, Columns],
    theirs: Mapping[str, Columns],
    counted: tuple[_Counted, _Counted],
    params: CompareParams,
) -> list[tuple[tuple[str, str], _Side, _Side]]:
    """Return operations of both sides by what they have in common, which need not be service or operation."""

    def key(label: tuple[Any, ...]) -> tuple[Any, ...]:
        if params.against_operation and params.by is None:
            return ()
        return label[1:] if params.against_service else label

    sides = [
        {key(label): (label, side) for label, side in _sides(columns, one).items()}
        for columns, one in zip((ours, theirs), counted, strict=True)
    ]
    none = Ended.of(_NOTHING)
    empty = [_Side(none, _NOTHING, _NOTHING, exactly(0), one) for one in counted]
    found = []
    for common in sorted(sides[0].keys() | sides[1].keys()):
        label = (sides[0].get(common) or sides[1][common])[0]
        both = [side.get(common, (label, none))[1] for side, none in zip(sides, empty, strict=True)]
        found.append((label, both[0], both[1]))
    return found


def _sides(columns: Mapping[str, Columns], counted: _Counted) -> dict[tuple[Any, ...], _Side]:
    """Return every operation's columns."""
    moments = dict(parts(columns["moments"], "service", "operation"))
    buckets = by_operation(columns["buckets"])
    users = columns["users"]
    people = dict(parts(users.chosen(users["whole"] == 0), "service", "operation"))
    return {
        label: _Side(
            Ended.of(usage),
            moments.get(label, _NOTHING),
            buckets.get(label, _NOTHING),
            _distinct(people.get(label, _NOTHING), usage),
            counted,
        )
        for label, usage in parts(columns["usage"], "service", "operation")
    }


def _whole(columns: Mapping[str, Columns], counted: _Counted) -> _Side:
    users, usage = columns["users"], columns["usage"]
    people = _distinct(users.chosen(users["whole"] == 1), usage)
    return _Side(Ended.of(usage), columns["moments"], columns["buckets"], people, counted)


def _distinct(users: Columns, usage: Columns) -> Estimate:
    return (at_least if usage.sum("variance") else exactly)(users.sum("users"))


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


def _compared(ours: _Side, theirs: _Side, failing: Difference) -> list[_Both]:
    """Return every metric of both sides; `failing` is what is said of their error rates."""
    sides = (ours, theirs)
    shares = tuple(QUANTILES.values())
    timed = [(side.buckets, side.moments) for side in sides]
    spread: list[Sequence[Estimate | None]] = [
        quantiles(side.buckets, shares, side.moments) or [None] * len(shares) for side in sides
    ]
    judged = of_quantiles(timed[0], timed[1], shares)
    return [
        _Both("calls_per_day", ours.calls_per_day(), theirs.calls_per_day(), _calls(ours, theirs)),
        _Both("error_rate", ours.ended.error_rate(), theirs.ended.error_rate(), failing),
        _Both(
            "mean_ms",
            mean_ms(ours.moments),
            mean_ms(theirs.moments),
            of_means(ours.moments, theirs.moments),
        ),
        *(
            _Both(name, spread[0][number], spread[1][number], judged[number])
            for number, name in enumerate(QUANTILES)
        ),
        _Both(
            "unique_users",
            ours.users,
            theirs.users,
            Difference(ours.users.value - theirs.users.value),
        ),
    ]


def _calls(ours: _Side, theirs: _Side) -> Difference:
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
)
