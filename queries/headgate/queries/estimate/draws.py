"""Variances of totals from rows, where the rows of one trace were kept or dropped together.

A row i has weight w_i = 1/p_i and is kept iff the randomness of its trace is at least its threshold. Thresholds nest,
so two rows of one trace are both kept with probability min(p_i, p_j), and rows of different traces independently. The
Horvitz-Thompson (1952) total T = sum w_i y_i then has the unbiased variance estimate

    V = sum over pairs of one trace of (1 - p_i p_j / min(p_i, p_j)) w_i w_j y_i y_j
      = sum over pairs of one trace of min(q_i, q_j) z_i z_j,          q = 1 - p, z = w y.

With the rows of a trace in descending order of weight (so of q) and Z_i = z_1 + ... + z_i that is

    V = sum_i q_i (Z_i^2 - Z_(i-1)^2),

which for a trace of one weight is (1 - p) (w sum y)^2: its rows count as one draw. Covariances of two totals have
Z_i Z'_i instead of the square. Nothing of a row with p = 1 remains. (Sarndal, Swensson, Wretman 1992, section 2.8.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.queries.estimate.interval import Draws

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Sums:
    """Totals of k features of rows, their k x k covariances, and the draws they came from.

    Feature 0 is a count of rows. Sums of different traces add up; halves of one trace do not.
    """

    total: NDArray[np.float64]
    covariance: NDArray[np.float64]
    draws: Draws

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.total + other.total,
            self.covariance + other.covariance,
            self.draws + other.draws,
        )


def _running(
    group: NDArray[Any], weight: NDArray[np.float64], z: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.float64]]:
    """Return the order by group and descending weight, where groups start in it, and the sums before each row."""
    order = np.lexsort((-weight, group))
    arranged = group[order]
    start = np.r_[True, arranged[1:] != arranged[:-1]] if order.size else np.zeros(0, bool)
    before = np.vstack((np.zeros((1, z.shape[1])), np.cumsum(z[order], axis=0)))[:-1]
    first = np.maximum.accumulate(np.where(start, np.arange(order.size), 0))
    return order, start, before - before[first]


def sums(trace: ArrayLike, weight: ArrayLike, features: ArrayLike | None = None) -> Sums:
    """Return the totals of 1 and of each column of `features` (rows x k), with their covariances.

    `trace` (integers or text) says which rows were drawn together, `weight` >= 1 what each row stands for.
    """
    group, w = np.asarray(trace), np.asarray(weight, np.float64)
    columns = [np.ones((w.size, 1))]
    if features is not None:
        given = np.asarray(features, np.float64)
        columns.append(given if given.ndim == 2 else given[:, None])
    z = np.hstack(columns) * w[:, None]
    total = z.sum(axis=0)
    unsure = w > 1
    group, w, z = group[unsure], w[unsure], z[unsure]
    order, start, before = _running(group, w, z)
    z, q = z[order], (1 - 1 / w[order])[:, None]
    covariance = (q * (before + z)).T @ z + (q * z).T @ before
    draw = np.add.reduceat(z[:, 0], np.flatnonzero(start)) if z.size else np.zeros(0)
    return Sums(
        total,
        (covariance + covariance.T) / 2,
        Draws(float(draw.size), float(draw.sum()), float(draw @ draw)),
    )


def sums_by(
    group: NDArray[np.intp], groups: int, trace: ArrayLike, weight: ArrayLike
) -> list[Sums]:
    """Return the count of rows of each group (0 to groups - 1), with its variance and draws."""
    w = np.asarray(weight, np.float64)
    total = np.bincount(group, weights=w, minlength=groups)
    unsure = w > 1
    group, w = group[unsure], w[unsure]
    _, code = np.unique(np.asarray(trace)[unsure], return_inverse=True)
    pair = group * (int(code.max(initial=0)) + 1) + code
    order, start, before = _running(pair, w, w[:, None])
    z, q, cell = w[order], 1 - 1 / w[order], group[order]
    variance = np.bincount(cell, weights=q * z * (z + 2 * before[:, 0]), minlength=groups)
    draw = np.add.reduceat(z, np.flatnonzero(start)) if z.size else np.zeros(0)
    place = cell[start] if z.size else cell
    return [
        Sums(np.array([n]), np.array([[v]]), Draws(float(k), t, s))
        for n, v, k, t, s in zip(
            total,
            variance,
            np.bincount(place, minlength=groups),
            np.bincount(place, weights=draw, minlength=groups).tolist(),
            np.bincount(place, weights=draw * draw, minlength=groups).tolist(),
            strict=True,
        )
    ]


def by_value(values: NDArray[np.float64], s0: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 3 x 3 covariance of the totals of 1, y and y^2 where each row was drawn by itself.

    `s0` is sum w (w - 1) over the rows of each value y: rows of one cell of a histogram.
    """
    powers = np.vander(values, 3, increasing=True)
    covariance: NDArray[np.float64] = (powers * s0[:, None]).T @ powers
    return covariance
