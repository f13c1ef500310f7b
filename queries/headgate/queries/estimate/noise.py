"""Variances of totals of any rows that are added up in SQL: what each draw may have changed, under random signs.

The variance of a total is the sum over draws of (sqrt(q) z)^2 (see `draws`), which no column of rows can hold: rows of
one draw may lie in any two groups. Signs can: give each draw BITS signs e_b, the bits of a hash of its id, and each
group the BITS sums N_b = sum sqrt(w (w - 1)) e_b over its rows. They add up over groups as counts do, and since
signs of different draws cancel on average,

    V = mean over b of N_b^2,        cov = mean over b of N_b N'_b

are unbiased for whatever was added up, with a relative standard error of sqrt(2 / BITS) at most: the error of V is
within 18 %, that of a standard error within 9 % (Alon, Matias, Szegedy 1999, the tug-of-war sketch; as replicates of a
survey: Rao and Shao 1999). Rows of one draw with different weights are taken at sqrt(q q') instead of min(q, q'),
which is never less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = 64


def noise(draw: NDArray[np.uint64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the noise of each row, rows x BITS; `draw` are well mixed hashes of what was drawn as one.

    The same as `Noise` in `sources/*.sql`.
    """
    bits = (draw[:, None] >> np.arange(BITS, dtype=np.uint64)) & np.uint64(1)
    signs = np.where(bits, 1.0, -1.0)
    made: NDArray[np.float64] = np.sqrt(weight * (weight - 1))[:, None] * signs
    return made


def variance(rows: NDArray[np.float64]) -> float:
    """Return the variance of the total of these rows (or groups of rows); 0 without any."""
    return covariance(rows, rows)


def covariance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the covariance of the totals of two sets of rows, which may overlap; 0 where either is empty."""
    if not one.size or not other.size:
        return 0.0
    return float(np.mean(one.sum(axis=0) * other.sum(axis=0)))
