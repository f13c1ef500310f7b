"""Totals, means, rates and deviations from sums that SQL can make.

With y a row's value and w = 1/p its weight, N = sum w and T = sum w y. The functions take those totals and their
(co)variances: either clustered by trace (`headgate.queries.estimate.draws`, or the same sums made in SQL), or, where
every row was drawn by itself, Sk = sum w (w - 1) y^k, which is what the clustered sums are then. `draws` says from how
many draws they came; without it rows are taken for draws. With every weight 1 each variance is 0 and the number exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from headgate.queries.estimate.interval import Draws, independent, normal, score, t95, wilson
from headgate.queries.estimate.number import Estimate, exactly, unsure

if TYPE_CHECKING:
    from numpy.typing import NDArray

EQUAL = "all values that were kept are equal"
LEAST_FOR_DEVIATION = 30.0
# Squares of squares of long-tailed values: found by simulation with log-normal ones.
DEVIATION_KURTOSIS = 40.0


def count(
    total_weight: float, variance: float, observed: float = 0.0, draws: Draws | None = None
) -> Estimate:
    """Estimate how many there were: N, with its variance; never fewer than were `observed`.

    Var N = sum over traces of (1 - p) (sum of w)^2. Interval: `interval.score` on the part that was drawn.
    """
    known = draws or independent(total_weight, variance)
    return score(total_weight, known.total, variance, known, values=False, floor=observed)


def total(weighted_sum: float, variance: float, draws: Draws | None = None) -> Estimate:
    """Estimate a total of values, T, with its variance; score interval where T is above zero."""
    size = weighted_sum**2 / variance if variance > 0 else 0.0
    known = draws or Draws(size, weighted_sum, variance)
    if weighted_sum <= 0:
        return normal(weighted_sum, variance, known)
    return score(weighted_sum, weighted_sum, variance, known, values=True, floor=0.0)


def mean(
    total_weight: float,
    weighted_sum: float,
    v_nn: float,
    v_ny: float,
    v_yy: float,
    draws: Draws | None = None,
) -> Estimate:
    """Estimate a mean or any ratio of two totals, m = T/N: variance (Vyy - 2 m Vny + m^2 Vnn) / N^2.

    Linearisation (Sarndal, Swensson, Wretman 1992, section 5.6), times n/(n - 1) for n effective draws, since the
    residuals are taken from the estimate itself. ValueError without rows.
    """
    if total_weight <= 0:
        raise ValueError("a mean needs at least one row")
    value = weighted_sum / total_weight
    if v_nn <= 0 and v_yy <= 0:
        return exactly(value)
    known = draws or independent(total_weight, v_nn)
    if known.too_few:
        return unsure(value, known.too_few)
    variance = max(v_yy - 2 * value * v_ny + value * value * v_nn, 0.0) / total_weight**2
    if variance <= 1e-15 * value * value:
        # Equal values: that those not kept were equal too cannot be known.
        return unsure(value, EQUAL)
    return normal(value, variance * known.effective / (known.effective - 1), known)


def rate(
    hits: float,
    total_weight: float,
    v_hits: float,
    v_rest: float,
    covariance: float = 0.0,
    draws: Draws | None = None,
) -> Estimate:
    """Estimate a share r = H/N of hits: variance ((1-r)^2 V(H) + r^2 V(N-H) - 2 r (1-r) cov(H, N-H)) / N^2.

    The interval is Wilson's with the effective size r (1-r) / variance (Korn and Graubard 1998), so it stays within 0
    and 1; where every kept row is a hit or none is, the size is N^2 / V(N), so it admits the other kind.
    ValueError without rows.
    """
    if total_weight <= 0:
        raise ValueError("a rate needs at least one row")
    value = hits / total_weight
    v_all = v_hits + v_rest + 2 * covariance
    if v_hits <= 0 and v_rest <= 0:
        return exactly(value)
    known = draws or independent(total_weight, v_hits + v_rest)
    if known.too_few:
        return unsure(value, known.too_few)
    variance = (1 - value) ** 2 * v_hits + value**2 * v_rest - 2 * value * (1 - value) * covariance
    variance = max(variance, 0.0) / total_weight**2
    size = value * (1 - value) / variance if variance > 0 else total_weight**2 / v_all
    # The fewer of the two kinds decides how well the variance is known.
    kinds = [n * n / v for n, v in ((hits, v_hits), (total_weight - hits, v_rest)) if n > 0 < v]
    low, high = wilson(value, size, known.quantile(values=False, least=min(kinds)))
    return Estimate(value, math.sqrt(variance), low, high)


def standard_deviation(
    total_weight: float,
    weighted_sum: float,
    weighted_squares: float,
    covariance: NDArray[np.float64],
    draws: Draws | None = None,
) -> Estimate:
    """Estimate the sample standard deviation (n - 1; 0 for one row) from N, T, sum w y^2 and their 3 x 3 covariance.

    By linearisation var(s^2) is that of the total of (y - m)^2 - s^2 = y^2 - 2 m y + m^2 - s^2, over N^2, and
    se(s) = se(s^2) / (2 s). Interval on the scale of log s. `draws.by_value` makes the covariance where every row was
    drawn by itself.
    """
    if total_weight <= 1:
        return exactly(0.0)
    average = weighted_sum / total_weight
    variance = max(weighted_squares - total_weight * average**2, 0.0) / (total_weight - 1)
    # Differences of large sums of squares leave a residue of rounding where all values are equal.
    if variance < 1e-13 * weighted_squares / total_weight:
        variance = 0.0
    value = math.sqrt(variance)
    if covariance[0, 0] <= 0:
        return exactly(value)
    known = draws or independent(total_weight, float(covariance[0, 0]))
    if known.too_few or value == 0:
        return unsure(value, known.too_few or EQUAL)
    change = np.array([average**2 - variance, -2 * average, 1.0])
    terms = covariance * np.outer(change, change)
    if terms.sum() <= 1e-12 * np.abs(terms).sum():
        return unsure(value, EQUAL)
    if known.effective < LEAST_FOR_DEVIATION:
        return unsure(
            value,
            f"kept from under {LEAST_FOR_DEVIATION:.0f} traces: too few for a deviation's interval",
        )
    relative = math.sqrt(float(terms.sum())) / total_weight / (2 * variance)
    half = t95((known.effective - 1) / DEVIATION_KURTOSIS) * relative
    return Estimate(value, relative * value, value * math.exp(-half), value * math.exp(half))
