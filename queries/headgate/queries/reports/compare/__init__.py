"""Compare: two periods, or two groups, metric by metric, beyond chance (REQ-CMP-01, -02, REQ-TRD-08)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.charts import Bars
from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.durations import mean_ms, quantiles
from headgate.queries.estimate import Estimate, at_least, exactly
from headgate.queries.outcomes import calls_of, error_rate
from headgate.queries.periods import Periods, periods
from headgate.queries.reports.compare.judge import (
    Difference,
    of_calls,
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


@dataclass(frozen=True, slots=True)
class _Side:
    """The columns of one side, whole or of one operation."""

    usage: Columns
    moments: Columns
    buckets: Columns
    users: Estimate
    grid: Periods

    def calls_per_day(self) -> Estimate:
        """Return the calls of the window by its days."""
        return calls_of(self.usage).scaled(1 / self.grid.window.days).rounded(4)

    def whole_periods(self) -> NDArray[np.float64]:
        """Return the calls of each period that lies in the window, of all of them where none does."""
        position = self.grid.index(self.usage["period_s"].astype(np.int64))
        counted = np.bincount(position, self.usage["calls"], len(self.grid)).astype(np.float64)
        return counted[self._chosen()]

    def days(self) -> float:
        """Return how long those periods are together."""
        lasts = np.diff(self.grid.edges_s)[self._chosen()]
        return float(lasts.sum()) / 86400 if self.grid.whole.any() else self.grid.window.days

    def _chosen(self) -> NDArray[np.bool_]:
        return self.grid.whole if self.grid.whole.any() else np.ones(len(self.grid), bool)


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Compare every metric of every operation; rows by what chance explains least."""
    params, beside = context.params, context.beside["other"]
    grid = periods(beside, context.periods.step, context.zone, params.week_start)
    theirs = {name: columns[f"other.{name}"] for name in ("usage", "moments", "buckets", "users")}
    ours = {name: columns[name] for name in theirs}
    pairs = _paired(ours, theirs, (context.periods, grid), params)
    rows = []
    found = [(label, both) for label, a, b in pairs for both in _compared(a, b)]
    for (label, both), q in zip(found, _discoveries([b for _, b in found]), strict=True):
        verdict = both.verdict(q, params.significance)
        rows.append(Row(service=label[0], operation=label[1], **both.fields(), verdict=verdict))
    every = _whole(ours, context.periods), _whole(theirs, grid)
    whole = _compared(*every)
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
    grids: tuple[Periods, Periods],
    params: CompareParams,
) -> list[tuple[tuple[str, str], _Side, _Side]]:
    """Return operations of both sides by what they have in common, which need not be service or operation."""

    def key(label: tuple[Any, ...]) -> tuple[Any, ...]:
        if params.against_operation and params.by is None:
            return ()
        return label[1:] if params.against_service else label

    sides = [
        {key(label): (label, side) for label, side in _sides(columns, grid).items()}
        for columns, grid in zip((ours, theirs), grids, strict=True)
    ]
    empty = [_Side(_NOTHING, _NOTHING, _NOTHING, exactly(0), grid) for grid in grids]
    found = []
    for common in sorted(sides[0].keys() | sides[1].keys()):
        label = (sides[0].get(common) or sides[1][common])[0]
        both = [side.get(common, (label, none))[1] for side, none in zip(sides, empty, strict=True)]
        found.append((label, both[0], both[1]))
    return found


def _sides(columns: Mapping[str, Columns], grid: Periods) -> dict[tuple[Any, ...], _Side]:
    """Return every operation's columns."""
    split = {
        name: dict(parts(columns[name], "service", "operation"))
        for name in ("usage", "moments", "buckets")
    }
    users = columns["users"]
    people = dict(parts(users.chosen(users["whole"] == 0), "service", "operation"))
    return {
        label: _Side(
            usage,
            split["moments"].get(label, _NOTHING),
            split["buckets"].get(label, _NOTHING),
            _distinct(people.get(label, _NOTHING), usage),
            grid,
        )
        for label, usage in split["usage"].items()
    }


def _whole(columns: Mapping[str, Columns], grid: Periods) -> _Side:
    users, usage = columns["users"], columns["usage"]
    people = _distinct(users.chosen(users["whole"] == 1), usage)
    return _Side(usage, columns["moments"], columns["buckets"], people, grid)


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


def _compared(ours: _Side, theirs: _Side) -> list[_Both]:
    """Return every metric of both sides."""
    sides = (ours, theirs)
    shares = tuple(QUANTILES.values())
    timed = [(side.buckets, side.moments) for side in sides]
    spread: list[Sequence[Estimate | None]] = [
        quantiles(side.buckets, shares, side.moments) or [None] * len(shares) for side in sides
    ]
    judged = of_quantiles(timed[0], timed[1], shares)
    return [
        _Both("calls_per_day", ours.calls_per_day(), theirs.calls_per_day(), _calls(ours, theirs)),
        _Both(
            "error_rate",
            error_rate(ours.usage),
            error_rate(theirs.usage),
            of_error_rates(ours.usage, theirs.usage),
        ),
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
    days = (ours.days(), theirs.days())
    return of_calls(ours.whole_periods(), theirs.whole_periods(), days)


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
