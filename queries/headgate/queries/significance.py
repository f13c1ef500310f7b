"""What chance alone explains: tests, effect sizes and corrections for asking many questions at once.

All work on arrays. Counts may be effective counts (see `effective`) of weighted rows. A probability is NaN where
nothing can be tested; corrections leave it so and do not count it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Z95 = 1.959963984540054
EXACT_UP_TO_VARIANCE = 100.0


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Return q: the smallest share of false discoveries at which each would be reported (Benjamini, Hochberg 1995)."""
    return _adjusted(p, lambda ordered, size: ordered * size / np.arange(1, size + 1), "down")


def holm(p: ArrayLike) -> Floats:
    """Return probabilities corrected so that any false rejection at all is bounded (Holm 1979)."""
    return _adjusted(p, lambda ordered, size: ordered * np.arange(size, 0, -1), "up")


def _adjusted(p: ArrayLike, factor: Any, direction: str) -> Floats:
    given = np.asarray(p, np.float64)
    out = np.full(given.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    raised = factor(given[order], order.size)
    if direction == "up":
        raised = np.maximum.accumulate(raised) if raised.size else raised
    else:
        raised = np.minimum.accumulate(raised[::-1])[::-1]
    out[order] = np.minimum(raised, 1.0)
    return out


def effective(weight: ArrayLike, weight_squares: ArrayLike) -> Floats:
    """Return how many equally weighted rows tell as much: (sum w)^2 / sum w^2 (Kish 1965); 0 for none."""
    total, squares = np.asarray(weight, np.float64), np.asarray(weight_squares, np.float64)
    return np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)


def over_represented(
    hits: ArrayLike, size: ArrayLike, others: ArrayLike, rest: ArrayLike
) -> Floats:
    """Return the probability that `hits` of `size` is so many by chance when `others` of `rest` have it too.

    One-sided Fisher (1922): the upper tail of the hypergeometric distribution; beyond a variance of 100 its normal
    approximation with continuity correction. NaN where a group is empty.
    """
    from scipy.stats import hypergeom

    a, n, b, m = (
        np.rint(np.asarray(x, np.float64)) for x in np.broadcast_arrays(hits, size, others, rest)
    )
    a, b = np.minimum(a, n), np.minimum(b, m)
    both, every = a + b, n + m
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = n * both / every
        variance = expected * (1 - n / every) * (every - both) / (every - 1)
        p = special.ndtr(-(a - expected - 0.5) / np.sqrt(variance))
    exact = ~(variance > EXACT_UP_TO_VARIANCE)
    p[exact] = hypergeom.sf(a[exact] - 1, every[exact], both[exact], n[exact])
    return np.where((n > 0) & (m > 0), p, np.nan)


def wilson_low(hits: ArrayLike, size: ArrayLike) -> Floats:
    """Return the lower end of Wilson's (1927) 95 % interval of a share; 0 where there is nothing."""
    k, n = np.asarray(hits, np.float64), np.asarray(size, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = k / n
        centre = share + Z95**2 / (2 * n)
        half = Z95 * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
        low = (centre - half) / (1 + Z95**2 / n)
    return np.where(n > 0, np.maximum(np.nan_to_num(low), 0.0), 0.0)


def cramers_v(table: Floats) -> tuple[float, float]:
    """Return how strongly rows and columns of counts go together, 0 to 1, and chi-square's probability.

    Cramér (1946) with Bergsma's (2013) correction for bias; NaN for a table of one row or column.
    """
    kept = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows, columns = kept.shape
    size = float(kept.sum())
    if min(rows, columns) < 2 or size < 2:
        return float("nan"), float("nan")
    expected = np.outer(kept.sum(axis=1), kept.sum(axis=0)) / size
    statistic = float(np.sum((kept - expected) ** 2 / expected))
    freedom = (rows - 1) * (columns - 1)
    phi = max(statistic / size - freedom / (size - 1), 0.0)
    shorter = (
        min(rows - (rows - 1) ** 2 / (size - 1), columns - (columns - 1) ** 2 / (size - 1)) - 1
    )
    effect = float(np.sqrt(phi / shorter)) if shorter > 0 else 0.0
    return min(effect, 1.0), float(special.chdtrc(freedom, statistic))
