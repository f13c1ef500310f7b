"""Quantiles and histograms of weighted values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.queries.estimate.draws import sums_by
from headgate.queries.estimate.interval import Z95, Draws, independent
from headgate.queries.estimate.number import Estimate, exactly, unsure
from headgate.queries.estimate.stretches import Stretches
from headgate.queries.estimate.totals import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LEAST_BEYOND = 2.0
_EXTREME = "too extreme a quantile for what was kept"


def quantile(
    values: Floats,
    weights: Floats,
    within: Floats,
    share: float,
    *,
    across: Floats | None = None,
    draws: Draws | None = None,
) -> Estimate:
    """Estimate one quantile of one group of cells; see `Quantiles`. ValueError without rows."""
    found = Quantiles(values, weights, (0, len(values)), (share,))
    estimates = found.judged(within, across=across, draws=(draws,))[0]
    if estimates is None:
        raise ValueError("a quantile needs at least one row")
    return estimates[0]


class Quantiles:
    """Quantiles of many groups of cells, found once, to be judged by the variance of each question.

    The cells of group g are those from `bounds[g]` to before `bounds[g + 1]`: `values` that ascend within the group and
    hold `weights` rows each. A group may have no cells, or none that hold anything.

    Linear interpolation at share * (N - 1), as NumPy's default. Interval: Woodruff (1952), the values at which the
    distribution function reaches s -+ t se, s being the share and se^2 = (A - 2 s B + s^2 V) / N^2 the variance of the
    share of rows up to the estimate. For a trace with p, its rows in ascending order 1..n, row i adds (1-p)w^2 (2i - 1)
    to `within` of its cell (A is the sum up to the estimate, V the whole) and (1-p)w^2 n to `across` (B likewise).
    Where every row was drawn by itself both are sum w (w - 1), so `across` may be left out. Half a draw more on either
    side corrects for steps. A bound beyond every row is unknown, and so are both where fewer than `LEAST_BEYOND` draws
    are to be expected beyond the quantile.
    """

    def __init__(
        self, values: Floats, weights: Floats, bounds: Sequence[int], shares: Sequence[float]
    ) -> None:
        edges, holding = np.asarray(bounds, np.int64), np.flatnonzero(weights > 0)
        held = np.searchsorted(holding, edges)
        # Below, a row of a matrix is a group that holds anything, a column is a share.
        self._groups = np.flatnonzero(held[1:] > held[:-1])
        self._number = len(edges) - 1
        self._cells = Stretches(edges[self._groups], edges[self._groups + 1])
        self._values, self._shares = values, np.asarray(shares, np.float64)
        self._ends = self._cells.cumulated(weights)
        self._sizes = self._ends[self._cells.last]
        ranks = np.clip(self._shares, 0, 1) * np.maximum(self._sizes - 1, 0)[:, None]
        # With weights as counts this is NumPy's linear interpolation: cells of rank floor and floor + 1, from 0.
        lower = np.floor(ranks)
        places = self._cells.searched(self._ends, np.hstack((lower, lower + 1)), "right")
        places = np.minimum(places, holding[held[self._groups + 1] - 1][:, None])
        self._first, second = np.hsplit(places, 2)
        self._found = values[self._first]
        self._found += (values[second] - self._found) * (ranks - lower)

    def judged(
        self,
        within: Floats,
        *,
        across: Floats | None = None,
        draws: Sequence[Draws | None] | None = None,
        unit: float = 1.0,
    ) -> list[list[Estimate] | None]:
        """Return what is known of each group's quantiles; None for a group without rows.

        `draws` are those of each group; where they are unknown rows are taken for draws. `unit` is what a value of 1 is
        in the unit of the results.
        """
        found: list[list[Estimate] | None] = [None] * self._number
        variance = self._cells.cumulated(within)
        drawn, known = [], []
        sums = zip(self._sizes.tolist(), variance[self._cells.last].tolist(), strict=True)
        for row, (group, values, (size, whole)) in enumerate(
            zip(self._groups.tolist(), (self._found * unit).tolist(), sums, strict=True)
        ):
            if whole <= 0:
                found[group] = [*map(exactly, values)]
                continue
            own = (draws[group] if draws else None) or independent(size, whole)
            if own.too_few:
                found[group] = [unsure(value, own.too_few) for value in values]
                continue
            drawn.append(row)
            known.append(own)
        if drawn:
            common = variance if across is None else self._cells.cumulated(across)
            estimates = self._intervals(np.array(drawn), known, variance, common, unit)
            for row, made in zip(drawn, estimates, strict=True):
                found[int(self._groups[row])] = made
        return found

    def _intervals(
        self, rows: Ints, known: Sequence[Draws], variance: Floats, common: Floats, unit: float
    ) -> list[list[Estimate]]:
        cells, share, value = self._cells.chosen(rows), self._shares, self._found[rows]
        size, whole = self._sizes[rows, None], variance[cells.last][:, None]
        effective = np.array([draws.effective for draws in known])[:, None]
        below = cells.searched(self._values, value, "right") - 1
        a, b = variance[below], common[below]
        error = np.sqrt(np.maximum(a - 2 * share * b + share**2 * whole, 0.0)) / size
        # Tails that hold few draws: as many as the variance of their count says, and one more for what is not seen.
        ends = self._ends[self._first[rows]]
        with np.errstate(over="ignore"):  # a tail that was not drawn at all holds no end of draws
            tails = np.minimum(
                np.divide(ends**2, a, out=np.full_like(a, np.inf), where=a > 0),
                (size - ends) ** 2 / np.maximum(whole - 2 * b + a, 1e-300),
            )
        wide = [
            [draws.quantile(values=False, least=least) for least in row]
            for draws, row in zip(known, tails.tolist(), strict=True)
        ]
        half = wide * error + 0.5 / effective
        reached = cells.searched(self._ends, np.hstack((share - half, share + half)) * size, "left")
        low, high = np.hsplit(self._values[np.minimum(reached, cells.last[:, None])], 2)
        low = np.where(share > half, np.minimum(low, value), np.nan)
        high = np.where(share + half < 1, np.maximum(high, value), np.nan)
        error = np.where(high > low, (high - low) / (2 * Z95), np.nan)
        extreme = np.minimum(share, 1 - share) * effective < LEAST_BEYOND
        columns = ((array * unit).tolist() for array in (value, error, low, high))
        return [
            [
                unsure(one[0], _EXTREME) if beyond else _estimate(*one)
                for beyond, *one in zip(*row, strict=True)
            ]
            for row in zip(extreme.tolist(), *columns, strict=True)
        ]


def _estimate(value: float, error: float, low: float, high: float) -> Estimate:
    """Return an estimate from numbers that are NaN where they are unknown."""
    if math.isnan(low):
        known = None if math.isnan(high) else high
        return Estimate(value, None, None, known, "too few rows were kept below it")
    if math.isnan(high):
        return Estimate(value, None, low, None, "too few rows were kept above it")
    return Estimate(value, None if math.isnan(error) else error, low, high)


def histogram(
    trace: ArrayLike, weight: ArrayLike, values: ArrayLike, edges: ArrayLike
) -> tuple[Estimate, ...]:
    """Estimate how many values fall between each two neighbouring edges; the last bin holds its upper edge too.

    Each bin is a `count` with its clustered variance (`draws.sums_by`); values outside the edges are in none.
    """
    y, bounds = np.asarray(values, np.float64), np.asarray(edges, np.float64)
    if bounds.size < 2 or (np.diff(bounds) <= 0).any():
        raise ValueError(f"edges must be at least two ascending numbers, not {bounds.tolist()}")
    place: NDArray[Any] = np.searchsorted(bounds, y, side="right") - 1
    place[y == bounds[-1]] = bounds.size - 2
    inside = (place >= 0) & (place < bounds.size - 1)
    found = sums_by(
        place[inside],
        bounds.size - 1,
        np.asarray(trace)[inside],
        np.asarray(weight, np.float64)[inside],
    )
    kept = np.bincount(place[inside], minlength=bounds.size - 1)
    return tuple(
        count(float(s.total[0]), float(s.covariance[0, 0]), float(n), s.draws)
        for s, n in zip(found, kept, strict=True)
    )
