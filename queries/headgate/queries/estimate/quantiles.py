"""Quantiles and histograms of weighted values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.queries.estimate.draws import sums_by
from headgate.queries.estimate.interval import Z95, Draws, independent
from headgate.queries.estimate.number import Estimate, exactly, unsure
from headgate.queries.estimate.totals import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

LEAST_BEYOND = 2.0


def quantile(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    within: NDArray[np.float64],
    share: float,
    *,
    across: NDArray[np.float64] | None = None,
    draws: Draws | None = None,
) -> Estimate:
    """Estimate one quantile; see `quantiles`."""
    return quantiles(values, weights, within, (share,), across=across, draws=draws)[0]


def quantiles(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    within: NDArray[np.float64],
    shares: Sequence[float],
    *,
    across: NDArray[np.float64] | None = None,
    draws: Draws | None = None,
) -> list[Estimate]:
    """Estimate quantiles from cells of ascending `values` that hold `weights` rows each.

    Linear interpolation at share * (N - 1), as NumPy's default. Interval: Woodruff (1952), the values at which the
    distribution function reaches s -+ t se, s being the share and se^2 = (A - 2 s B + s^2 V) / N^2 the variance of the
    share of rows up to the estimate. For a trace with p, its rows in ascending order 1..n, row i adds (1-p)w^2 (2i - 1)
    to `within` of its cell (A is the sum up to the estimate, V the whole) and (1-p)w^2 n to `across` (B likewise).
    Where every row was drawn by itself both are sum w (w - 1), so `across` may be left out. Half a draw more on either
    side corrects for steps. A bound beyond every row is unknown, and so are both where fewer than `LEAST_BEYOND` draws
    are to be expected beyond the quantile. ValueError without rows.
    """
    ends = np.cumsum(weights)
    size = float(ends[-1]) if ends.size else 0.0
    if size <= 0:
        raise ValueError("a quantile needs at least one row")
    ranks = [min(max(share, 0.0), 1.0) * max(size - 1, 0.0) for share in shares]
    places = _ranked(ends, int(np.flatnonzero(weights > 0)[-1]), ranks)
    found = [
        (first, float(values[first] + (values[second] - values[first]) * part))
        for first, second, part in places
    ]
    variance = np.cumsum(within)
    whole = float(variance[-1])
    if whole <= 0:
        return [exactly(value) for _, value in found]
    common = variance if across is None else np.cumsum(across)
    known = draws or independent(size, whole)

    def judged(share: float, first: int, value: float) -> Estimate:
        if known.too_few:
            return unsure(value, known.too_few)
        if min(share, 1 - share) * known.effective < LEAST_BEYOND:
            return unsure(value, "too extreme a quantile for what was kept")
        below = int(np.searchsorted(values, value, side="right")) - 1
        a, b = (float(part[below]) if below >= 0 else 0.0 for part in (variance, common))
        error = math.sqrt(max(a - 2 * share * b + share**2 * whole, 0.0)) / size
        # Tails that hold few draws: as many as the variance of their count says, and one more for what is not seen.
        tails = (
            float(ends[first]) ** 2 / a if a > 0 else math.inf,
            (size - float(ends[first])) ** 2 / max(whole - 2 * b + a, 1e-300),
        )
        half = known.quantile(values=False, least=min(tails)) * error + 0.5 / known.effective
        low_cell, high_cell = np.searchsorted(ends, ((share - half) * size, (share + half) * size))
        low = min(float(values[low_cell]), value) if share > half else None
        high = max(float(values[high_cell]), value) if share + half < 1 else None
        if low is None or high is None:
            side = "below" if low is None else "above"
            return Estimate(value, None, low, high, f"too few rows were kept {side} it")
        return Estimate(value, (high - low) / (2 * Z95) if high > low else None, low, high)

    return [judged(share, *place) for share, place in zip(shares, found, strict=True)]


def _ranked(
    ends: NDArray[np.float64], last: int, positions: Sequence[float]
) -> Iterator[tuple[int, int, float]]:
    """Return the cells between which each position (from 0) falls, and how far it is from the first to the second.

    With weights as counts this is NumPy's linear interpolation: cells of rank floor and floor + 1. `last` is the last
    cell that holds anything.
    """
    lower = [math.floor(position) for position in positions]
    cells = np.searchsorted(ends, [*lower, *(rank + 1 for rank in lower)], side="right")
    cells = np.minimum(cells, last).tolist()
    for number, position in enumerate(positions):
        yield cells[number], cells[len(lower) + number], position - lower[number]


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
