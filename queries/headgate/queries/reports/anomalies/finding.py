"""From scores to anomalies, shifts and gaps."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from headgate.queries.changes import change_point
from headgate.queries.reports.anomalies.metrics import Metric, metrics
from headgate.queries.reports.anomalies.records import Anomaly, Gap, Period, Shift
from headgate.queries.series.grid import Grid
from headgate.queries.series.profile import Judged, Odd, judged, medians, odd, usual
from headgate.queries.significance import holm

Floats = NDArray[np.float64]
LEAST_PERIODS = {"hour": 72, "day": 21}
LEVEL_OF = {"hour": 168, "day": 28}
BLOCKS = {"hour": (1, 6, 24), "day": (1, 7)}
SHIFTS_UP_TO = 0.01
MOST_BETWEEN = 3
NEW, TOO_LITTLE = "new", "too little data"


@dataclass(frozen=True)
class Judgements:
    """Every metric beside what is usual; in `tests` comparisons, odd is a score beyond `threshold`."""

    grid: Grid
    metrics: tuple[Metric, ...]
    judged: tuple[Judged, ...]
    odd: tuple[Odd, ...]
    tests: int
    threshold: float | None

    def expected_calls(self, series: int) -> float | None:
        """Return what is usual for the judged periods of the window."""
        asked = self.grid.asked & ~np.isnan(self.judged[0].score[series])
        if self.threshold is None or not asked.any():
            return None
        expected = self.metrics[0].back(self.judged[0].expected[series][asked])
        return round(float(expected.sum()), 2)

    def verdict(
        self,
        series: int,
        anomalies: Iterable[Anomaly],
        shifted: Iterable[tuple[str, str]],
        *,
        new: bool = False,
    ) -> str:
        """Return the word for one series; `new` says that its first record lies in the window."""
        label = self.grid.labels[series]
        if self.expected_calls(series) is None:
            return NEW if new else TOO_LITTLE
        mine = [a for a in anomalies if (a.service, a.operation) == label]
        last = np.flatnonzero(self.grid.counts)
        end = self.grid.periods.edges[last[-1] + 1] if last.size else None
        if any(anomaly.ended_at == end for anomaly in mine):
            return "unusual now"
        if mine:
            return "was unusual"
        return "changed" if label in shifted else "usual"


def judgements(grid: Grid, false_alarms: float) -> Judgements:
    """Compare everything; the threshold is Bonferroni's for so many false alarms in all comparisons.

    A series has no scores where fewer than LEAST_PERIODS of it are known.
    """
    step = grid.periods.step
    chosen = metrics(grid)
    slots = (grid.hour_of_week, grid.hour_of_day)
    known = ~np.isnan(grid.calls)
    before = known & ~grid.asked
    learn = np.where((before.sum(axis=1) >= LEAST_PERIODS[step])[:, None], before, known)
    enough = (grid.learnt >= LEAST_PERIODS[step])[:, None]
    found = tuple(judged(m.values, m.root, slots, m.floor, LEVEL_OF[step], learn) for m in chosen)
    found = tuple(replace(f, score=np.where(enough, f.score, np.nan)) for f in found)
    tests = int(sum(np.count_nonzero(~np.isnan(f.score[:, grid.asked])) for f in found))
    tests *= len(BLOCKS[step])
    threshold = float(-special.ndtri(min(false_alarms / tests, 0.5) / 2)) if tests else math.inf
    marked = tuple(odd(f.score, grid.asked, threshold, BLOCKS[step]) for f in found)
    told = round(threshold, 3) if tests else None
    return Judgements(grid, chosen, found, marked, tests, told)


def found_anomalies(grid: Grid, found: Judgements) -> tuple[Anomaly, ...]:
    """Return successive odd periods of one side as one anomaly each."""
    made = []
    edges = grid.periods.edges
    for metric, judgement, marked in zip(found.metrics, found.judged, found.odd, strict=True):
        for series in np.flatnonzero(marked.side.any(axis=1)):
            for run in _runs(marked.side[series], grid.counts):
                score = marked.score[series, run]
                made.append(
                    Anomaly(
                        *grid.labels[series],
                        metric=metric.name,
                        began_at=edges[run[0]],
                        ended_at=edges[run[-1] + 1],
                        periods=int(run.size),
                        observed=_rounded(metric.observed[series, run].mean()),
                        expected=_rounded(metric.back(judgement.expected[series, run]).mean()),
                        score=round(float(score[np.abs(score).argmax()]), 2),
                    )
                )
    made.sort(key=lambda a: (-abs(a.score), a.began_at, a.service, a.operation, a.metric))
    return tuple(made)


def _runs(side: NDArray[np.int8], counts: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the odd places of each stretch of one side; gaps and MOST_BETWEEN usual periods do not end it."""
    odd_ones = np.flatnonzero(side)
    far = np.diff(np.cumsum(counts)[odd_ones]) > MOST_BETWEEN + 1
    turned = side[odd_ones[1:]] != side[odd_ones[:-1]]
    return np.split(odd_ones, np.flatnonzero(far | turned) + 1)


def _range(
    metric: Metric, judgement: Judged, series: int, period: int, threshold: float | None
) -> tuple[float, float, float]:
    middle = judgement.expected[series, period]
    half = (threshold or 0.0) * judgement.spread[series, period]
    low, expected, high = metric.back(np.array([middle - half, middle, middle + half]))
    return _rounded(low), _rounded(expected), _rounded(high)


def _rounded(value: float) -> float:
    """Return a number to six significant digits."""
    return float(f"{value:.6g}")


def found_shifts(grid: Grid, found: Judgements) -> tuple[Shift, ...]:
    """Return lasting changes of level that began in the window that was asked for."""
    if found.threshold is None:
        return ()
    candidates, chances = [], []
    slots = (grid.hour_of_week, grid.hour_of_day)
    for metric in found.metrics:
        left = (metric.values - usual(metric.values, slots)) * metric.root
        for series in range(len(grid.labels)):
            known = np.flatnonzero(~np.isnan(left[series]))
            if known.size < LEAST_PERIODS[grid.periods.step]:
                continue
            change = change_point(left[series][known])
            if change is None:
                continue
            begins = _located(left[series][known])
            place = known[begins]
            chances.append(_corrected(left[series][known], begins, change.p_value))
            candidates.append((metric, series, place))
    made = []
    for (metric, series, place), p in zip(candidates, holm(chances), strict=True):
        if p > SHIFTS_UP_TO or not grid.asked[place]:
            continue
        observed = metric.observed[series]
        before, after = (float(medians(part)[0]) for part in (observed[:place], observed[place:]))
        made.append(
            Shift(
                *grid.labels[series],
                metric=metric.name,
                began_at=grid.periods.edges[place],
                before=_rounded(before),
                after=_rounded(after),
                p_value=float(f"{p:.3g}"),
            )
        )
    return tuple(sorted(made, key=lambda s: (s.p_value, s.began_at, s.service, s.operation)))


def _located(left: Floats) -> int:
    """Return where two levels fit best by least squares; ranks tell that there is a change, but draw it inwards."""
    k = np.arange(1, left.size)
    sums = np.cumsum(left - left.mean())[:-1]
    return int((sums**2 / (k * (left.size - k))).argmax()) + 1


def _corrected(left: Floats, begins: int, p: float) -> float:
    """Return p for periods that resemble the one before: 2 exp(-a K^2) has K^2 divided by (1 + r) / (1 - r).

    r is the correlation of neighbours within each part, not below 0.
    """
    rest = left.copy()
    for part in (slice(None, begins), slice(begins, None)):
        rest[part] -= np.median(rest[part])
    power = float(rest @ rest)
    r = float(rest[1:] @ rest[:-1]) / power if power else 0.0
    r = min(max(r, 0.0), 0.99)
    return min(2 * math.exp(math.log(max(p, 1e-300) / 2) * (1 - r) / (1 + r)), 1.0)


def found_gaps(grid: Grid, found: Judgements) -> tuple[Gap, ...]:
    """Return successive gaps of the window that was asked for, and what should have been in them."""
    edges = grid.periods.edges
    gone = grid.gaps & grid.asked
    starts = np.flatnonzero(gone & ~np.r_[False, gone[:-1]])
    ends = np.flatnonzero(gone & ~np.r_[gone[1:], False])
    everything = found.metrics[0].back(found.judged[0].expected[0])
    made = []
    for a, b in zip(starts, ends, strict=True):
        lost = everything[a : b + 1]
        expected = None if np.isnan(lost).any() else round(float(lost.sum()), 2)
        made.append(Gap(edges[a], edges[b + 1], int(b - a + 1), expected))
    return tuple(made)


def timeline(grid: Grid, found: Judgements) -> tuple[Period, ...]:
    """Return everything together in the window that was asked for."""
    metric, judgement = found.metrics[0], found.judged[0]
    marked = found.odd[0].side[0]
    made = []
    for place in np.flatnonzero(grid.asked):
        told: tuple[float | None, ...] = (None, None, None)
        if found.threshold is not None and not np.isnan(judgement.expected[0, place]):
            told = _range(metric, judgement, 0, int(place), found.threshold)
        calls = grid.calls[0, place]
        made.append(
            Period(
                start_at=grid.periods.edges[place],
                calls=None if np.isnan(calls) else round(float(calls), 2),
                expected=told[1],
                expected_low=told[0],
                expected_high=told[2],
                anomaly=bool(marked[place]),
            )
        )
    return tuple(made)
