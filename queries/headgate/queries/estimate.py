"""Numbers with their uncertainty: estimators for rows that stand for more than themselves.

A row with weight w = 1/p was kept with probability p and stands for w rows (Horvitz and Thompson 1952; Poisson
sampling). Everything here works on sums that SQL can make and that add up over groups, with y a row's value:

    n = sum 1      N = sum w      T = sum w y      Sk = sum w (w - 1) y^k

With every weight 1 each Sk is 0 and the number is exact: standard error 0 and no interval worth printing.
Intervals are 95 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its standard error (None: unknown) and its 95 % interval (None: no bound on that side)."""

    value: float
    standard_error: float | None
    low: float | None
    high: float | None

    def __float__(self) -> float:
        return self.value

    @property
    def exact(self) -> bool:
        """Whether nothing was estimated."""
        return self.standard_error == 0 and self.low == self.high == self.value

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate in another unit."""
        parts = (self.value, self.standard_error, self.low, self.high)
        value, error, low, high = (None if part is None else part * factor for part in parts)
        return Estimate(0.0 if value is None else value, error, low, high)

    def rounded(self, digits: int) -> Estimate:
        """Return the estimate rounded to decimal digits."""
        parts = (self.value, self.standard_error, self.low, self.high)
        value, error, low, high = (None if part is None else round(part, digits) for part in parts)
        return Estimate(0.0 if value is None else value, error, low, high)


def exactly(value: float) -> Estimate:
    """Return a number that was counted, not estimated."""
    return Estimate(value, 0.0, value, value)


def at_least(value: float) -> Estimate:
    """Return a number of which sampling may have hidden a part: a distinct count, a maximum.

    Row weights cannot correct these (see analytics-methods 1.1), so there is a bound and no error.
    """
    return Estimate(value, None, value, None)


def at_most(value: float) -> Estimate:
    """Return a number that sampling may have kept too high: a minimum."""
    return Estimate(value, None, None, value)


def _normal(value: float, variance: float, floor: float = -math.inf) -> Estimate:
    if variance <= 0:
        return exactly(value)
    error = math.sqrt(variance)
    return Estimate(value, error, max(value - Z95 * error, floor), value + Z95 * error)


def count(total_weight: float, s0: float, observed: float) -> Estimate:
    """Estimate how many there were: N = sum w, variance S0; never fewer than were `observed`."""
    return _normal(total_weight, s0, floor=observed)


def total(weighted_sum: float, s2: float) -> Estimate:
    """Estimate a total of values: T = sum w y, variance S2."""
    return _normal(weighted_sum, s2)


def mean(total_weight: float, weighted_sum: float, s0: float, s1: float, s2: float) -> Estimate:
    """Estimate a mean, the ratio T/N: variance sum w(w-1)(y - m)^2 / N^2 = (S2 - 2 m S1 + m^2 S0) / N^2."""
    value = weighted_sum / total_weight
    if s0 <= 0:
        return exactly(value)
    return _normal(value, max(s2 - 2 * value * s1 + value * value * s0, 0.0) / total_weight**2)


def rate(hits: float, total_weight: float, s0_hits: float, s0_rest: float) -> Estimate:
    """Estimate a share: the mean of 0 and 1, variance ((1-r)^2 S0(hits) + r^2 S0(rest)) / N^2.

    The interval is Wilson's (1927) with the effective size r(1-r) / variance (Korn and Graubard 1998), so it stays
    within 0 and 1; where every kept row is a hit or none is, the size is N^2 / S0, so it admits the other kind.
    """
    value = hits / total_weight
    s0 = s0_hits + s0_rest
    if s0 <= 0:
        return exactly(value)
    variance = ((1 - value) ** 2 * s0_hits + value**2 * s0_rest) / total_weight**2
    size = value * (1 - value) / variance if variance > 0 else total_weight**2 / s0
    centre = (value + Z95**2 / (2 * size)) / (1 + Z95**2 / size)
    half = (
        Z95 * math.sqrt(value * (1 - value) / size + Z95**2 / (4 * size**2)) / (1 + Z95**2 / size)
    )
    low, high = max(centre - half, 0.0), min(centre + half, 1.0)
    return Estimate(value, math.sqrt(variance), min(low, value), max(high, value))


def standard_deviation(
    total_weight: float,
    weighted_sum: float,
    weighted_squares: float,
    values: NDArray[np.float64],
    s0_of_value: NDArray[np.float64],
) -> Estimate:
    """Estimate the sample standard deviation (n - 1; 0 for one row) from N, T and sum w y^2.

    `values` and `s0_of_value` describe the spread of the weights over the values, for the error only: by
    linearisation var(s^2) = sum w(w-1)((y - m)^2 - s^2)^2 / N^2, and se(s) = se(s^2) / (2 s).
    """
    if total_weight <= 1:
        return exactly(0.0)
    average = weighted_sum / total_weight
    variance = max(weighted_squares - total_weight * average**2, 0.0) / (total_weight - 1)
    # Differences of large sums of squares leave a residue of rounding where all values are equal.
    if variance < 1e-13 * weighted_squares / total_weight:
        variance = 0.0
    value = math.sqrt(variance)
    if not s0_of_value.any() or value == 0:
        return exactly(value) if not s0_of_value.any() else Estimate(value, None, None, None)
    spread = np.sum(s0_of_value * ((values - average) ** 2 - variance) ** 2) / total_weight**2
    return _normal(value, float(spread) / (4 * variance), floor=0.0)


def ranked(weights: NDArray[np.float64], position: float) -> tuple[int, int, float]:
    """Return the two cells between which a position (from 0) falls, and how far it is from the first to the second.

    With weights as counts this is NumPy's linear interpolation: cells of rank floor and floor + 1.
    """
    ends = np.cumsum(weights)
    last = int(np.flatnonzero(weights > 0)[-1])
    lower = math.floor(position)
    first = min(int(np.searchsorted(ends, lower, side="right")), last)
    second = min(int(np.searchsorted(ends, lower + 1, side="right")), last)
    return first, second, position - lower


def quantile(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    s0: NDArray[np.float64],
    share: float,
) -> Estimate:
    """Estimate a quantile from cells of ascending `values` that hold `weights` rows each.

    Linear interpolation at share * (N - 1), as NumPy's default. Interval: Woodruff (1952), the quantiles at
    share +- z se(F), where F is the weighted distribution function at the estimate and
    se(F)^2 = ((1 - share)^2 S0(below) + share^2 S0(above)) / N^2.
    """
    size = float(weights.sum())

    def at(fraction: float) -> float:
        position = min(max(fraction, 0.0), 1.0) * max(size - 1, 0.0)
        first, second, part = ranked(weights, position)
        return float(values[first] + (values[second] - values[first]) * part)

    value = at(share)
    below = values <= value
    variance = (1 - share) ** 2 * float(s0[below].sum()) + share**2 * float(s0[~below].sum())
    if variance <= 0:
        return exactly(value) if not s0.any() else Estimate(value, None, None, None)
    error = math.sqrt(variance) / size
    low, high = min(at(share - Z95 * error), value), max(at(share + Z95 * error), value)
    # Both ends in one cell: too few rows out there to tell, which is not the same as certain.
    return Estimate(value, (high - low) / (2 * Z95) if high > low else None, low, high)
