"""The two sides of a comparison: what each counted, whole or of one operation, and how long each was recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from headgate.queries.columns import Columns, parts
from headgate.queries.durations import mean_ms
from headgate.queries.estimate import Estimate, at_least, exactly
from headgate.queries.outcomes import Ended, calls_of
from headgate.queries.periods import Periods
from headgate.queries.reports.compare.other import CompareParams
from headgate.queries.spread import Spread, by_operation

QUANTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}
METRICS = ("calls_per_day", "error_rate", "mean_ms", *QUANTILES, "unique_users")
_NOTHING = Columns({})


class Counted:
    """The periods of one side whose calls are compared: those within its window, all of them where none is.

    Of an operation they begin with its `first` record, if that is known; `unknown` says that it came later.
    """

    def __init__(self, grid: Periods, first: datetime | None = None) -> None:
        self._grid = grid
        window = grid.window
        self.unknown = first is not None and first >= window.until
        since = window.since if first is None or self.unknown else max(window.since, first)
        whole = grid.whole & (grid.edges_s[:-1] >= since.timestamp())
        self._chosen = whole if whole.any() else np.ones(len(grid), bool)
        lasts = np.diff(grid.edges_s)[self._chosen]
        self.window_days = replace(window, since=since).days
        self.days = float(lasts.sum()) / 86400 if whole.any() else self.window_days

    def of(self, first: datetime | None) -> Self:
        """Return the same side for an operation with this first record."""
        known = first is None or first <= self._grid.window.since
        return self if known else type(self)(self._grid, first)

    def numbered(self, usage: Columns) -> Columns:
        """Return the same with the number of each row's period, as `calls` needs it."""
        return usage.replaced("period", self._grid.index(usage["period_s"].astype(np.int64)))

    def calls(self, usage: Columns) -> NDArray[np.float64]:
        """Return the calls of each period."""
        position = usage["period"].astype(np.int64, copy=False)
        counted = np.bincount(position, usage["calls"], len(self._grid)).astype(np.float64)
        return counted[self._chosen]


@dataclass(frozen=True, slots=True)
class Side:
    """What one side has, whole or of one operation.

    `quantiles` of durations are as they were counted, `sampled` the same as of a sample (`Spread`); None without any.
    """

    ended: Ended
    moments: Columns
    quantiles: list[Estimate] | None
    sampled: list[Estimate] | None
    users: Estimate
    counted: Counted

    def numbers(self) -> list[Estimate | None]:
        """Return every metric, as METRICS; None of each where there are no records of it yet."""
        if self.counted.unknown:
            return [None] * len(METRICS)
        shown: Sequence[Estimate | None] = self.quantiles or [None] * len(QUANTILES)
        rate, mean = self.ended.error_rate(), mean_ms(self.moments)
        return [self.calls_per_day(), rate, mean, *shown, self.users]

    def calls_per_day(self) -> Estimate:
        """Return the calls of the window by its days."""
        return calls_of(self.ended.every).scaled(1 / self.counted.window_days).rounded(4)


def paired(
    ours: Mapping[str, Columns],
    theirs: Mapping[str, Columns],
    counted: tuple[Counted, Counted],
    params: CompareParams,
    firsts: Mapping[tuple[str, str], datetime],
) -> list[tuple[tuple[str, str], Side, Side]]:
    """Return operations of both sides by what they have in common, which need not be service or operation.

    `firsts` are the times of their first records, where known.
    """

    def key(label: tuple[Any, ...]) -> tuple[Any, ...]:
        if params.against_operation and params.by is None:
            return ()
        return label[1:] if params.against_service else label

    sides = [
        {key(label): (label, side) for label, side in _sides(columns, one).items()}
        for columns, one in zip((ours, theirs), counted, strict=True)
    ]
    none = Ended.of(_NOTHING)
    empty = [Side(none, _NOTHING, None, None, exactly(0), one) for one in counted]
    found = []
    for common in sorted(sides[0].keys() | sides[1].keys()):
        label = (sides[0].get(common) or sides[1][common])[0]
        both = []
        for side, nothing in zip(sides, empty, strict=True):
            name, one = side.get(common, (label, nothing))
            periods = one.counted.of(firsts.get(name))
            both.append(one if periods is one.counted else replace(one, counted=periods))
        found.append((label, both[0], both[1]))
    return found


def _sides(columns: Mapping[str, Columns], counted: Counted) -> dict[tuple[Any, ...], Side]:
    """Return every operation's columns."""
    moments = dict(parts(columns["moments"], "service", "operation"))
    buckets = by_operation(columns["buckets"])
    users = columns["users"]
    people = dict(parts(users.chosen(users["whole"] == 0), "service", "operation"))
    endings = Ended.by_operation(counted.numbered(columns["usage"]))
    timed = [(moments.get(label, _NOTHING), buckets.get(label, _NOTHING)) for label in endings]
    return {
        label: Side(
            ended, mine, *spread, _distinct(people.get(label, _NOTHING), ended.every), counted
        )
        for (label, ended), (mine, _), spread in zip(
            endings.items(), timed, _spread(timed), strict=True
        )
    }


def _spread(timed: Sequence[tuple[Columns, Columns]]) -> Iterator[tuple[Any, Any]]:
    """Return the quantiles of each, by moments and buckets: as they were counted, and as of a sample."""
    spread = Spread(timed, tuple(QUANTILES.values()))
    return zip(spread.counted(), spread.sampled(), strict=True)


def whole_of(columns: Mapping[str, Columns], counted: Counted) -> Side:
    """Return everything of a side together."""
    users, usage = columns["users"], counted.numbered(columns["usage"])
    people = _distinct(users.chosen(users["whole"] == 1), usage)
    ((shown, sampled),) = _spread([(columns["moments"], columns["buckets"])])
    return Side(Ended.of(usage), columns["moments"], shown, sampled, people, counted)


def _distinct(users: Columns, usage: Columns) -> Estimate:
    return (at_least if usage.sum("variance") else exactly)(users.sum("users"))
