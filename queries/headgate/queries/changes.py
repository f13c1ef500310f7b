"""Slopes of series, and when they changed: least squares, and Pettitt's test for a change point.

Series are rows of a matrix, float64 [series, periods]; periods that are left out keep their distance in `x`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST_PERIODS = 8
LEAST_CYCLES = 2
MOST_PERMUTED, PERMUTATIONS = 64, 20_000


def slopes(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the least-squares slope of each series over x, and its two-sided p-value (Student's t, n - 2).

    The slope is 0 with fewer than 2 periods; the p-value is NaN with fewer than 3, and 1 for a constant series.
    """
    n = x.size
    if n < 2:
        return np.zeros(len(y)), np.full(len(y), np.nan)
    centred = x - x.mean()
    spread = float(centred @ centred)
    total = y - y.mean(axis=1, keepdims=True)
    slope = total @ centred / spread
    if n < 3:
        return slope, np.full(len(y), np.nan)
    every = np.einsum("ij,ij->i", total, total)
    left = total - slope[:, None] * centred
    residual = np.einsum("ij,ij->i", left, left)
    # What rounding leaves of a straight line is no deviation from it.
    residual = np.where(residual <= 1e-24 * every, 0.0, residual)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(slope) / np.sqrt(residual / (n - 2) / spread)
    p = 2 * special.stdtr(n - 2, -t)
    return slope, np.where(every > 0, p, 1.0)


@dataclass(frozen=True, slots=True)
class Change:
    """Where a series is most likely to have changed its level: period `begins` is the first after it."""

    begins: int
    p_value: float


def change_point(values: Floats) -> Change | None:
    """Find the change of level of one series, None with fewer than LEAST_PERIODS.

    A CUSUM of ranks (Pettitt 1979): U(k) = 2 (r(1) + ... + r(k)) - k (n + 1), the change lies where |U| is largest, K.
    Ranks make it blind to the size of outliers and to the distribution; ties share a rank, which makes p larger. p is
    that of permutations up to MOST_PERMUTED periods, where the usual 2 exp(-6 K^2 / (n^3 + n^2)) is several times too
    large, and this beyond. It finds one change; near the ends it needs a clearer one.
    """
    n = values.size
    if n < LEAST_PERIODS:
        return None
    u = np.cumsum(2 * ranks(values) - (n + 1))[:-1]
    begins = int(np.abs(u).argmax()) + 1
    k = float(np.abs(u[begins - 1]))
    if n > MOST_PERMUTED:
        return Change(begins, min(2 * math.exp(-6 * k * k / (n**3 + n**2)), 1.0))
    drawn = _permuted(n)
    beyond = drawn.size - int(np.searchsorted(drawn, k, side="left"))
    return Change(begins, (beyond + 1) / (drawn.size + 1))


@functools.lru_cache
def _permuted(n: int) -> Floats:
    """Return K of random permutations of n ranks, ascending; the same ones every time."""
    drawn = np.tile(np.arange(1.0, n + 1), (PERMUTATIONS, 1))
    np.random.default_rng(n).permuted(drawn, axis=1, out=drawn)
    return np.sort(np.abs(np.cumsum(2 * drawn - (n + 1), axis=1)).max(axis=1))


def ranks(values: Floats) -> Floats:
    """Return ranks from 1 on, equal values sharing the mean of theirs."""
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[position]


def without_profile(values: Floats, slot: NDArray[np.int64]) -> Floats:
    """Return a series of finite values less the median of its slot (hour of the day, day of the week).

    As it is where the rarest slot has been seen less than LEAST_CYCLES times: then a profile is no profile.
    """
    counts = np.bincount(slot)
    if not counts.size or counts[counts > 0].min() < LEAST_CYCLES:
        return values
    ascending = values[np.lexsort((values, slot))]
    begins = np.cumsum(counts) - counts
    # Slots that nothing lies in are asked for no median; theirs is that of whatever is there.
    low, high = (np.minimum(begins + n // 2, values.size - 1) for n in (counts - 1, counts))
    medians: Floats = (ascending[low] + ascending[high]) / 2
    return values - medians[slot]
