"""How sure a sum of rows is: what columns of a statement say of the sampling behind them.

A statement that counts has `calls` (or another weighted count) and, to say how sure it is,

    noise       sumForEach(Noise): see `headgate.queries.estimate.noise`; rows of one trace count as one draw
    drawn       the part of the count that was drawn: its rows weigh more than 1
    variance    sum w (w - 1): what is left where rows cannot be told apart by trace (rollups of traffic that was
                sampled before it came here), as if each had been drawn by itself

Of these `noise` and `drawn` may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.queries.estimate import Draws, Estimate, count, covariance, rate
from headgate.queries.estimate import variance as of_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.queries.columns import Columns


def variance_of(rows: Columns, fallback: str = "variance") -> float:
    """Return the variance of the rows' count, that of traces where it is known."""
    noise = _noise(rows)
    return rows.sum(fallback) if noise is None else of_noise(noise)


def design_effect(rows: Columns) -> float:
    """Return by how much the variance of a count is larger than if each row had been drawn by itself, at least 1.

    Errors of means and quantiles grow at most as much, since what rows of one trace have in common is at most all
    (Kish 1965: 1 + (m - 1) rho, rho <= 1).
    """
    alone = rows.sum("variance")
    return max(variance_of(rows) / alone, 1.0) if alone > 0 else 1.0


def draws_of(rows: Columns, name: str = "calls") -> Draws | None:
    """Return the draws behind a count; None where it is unknown which part was drawn."""
    if "drawn" not in rows:
        return None
    drawn, variance = rows.sum("drawn"), variance_of(rows)
    drawn = min(drawn, rows.sum(name)) if variance > 0 else 0.0
    squares = variance + drawn
    return Draws(drawn**2 / squares if squares else 0.0, drawn, squares)


def counted(rows: Columns, name: str = "calls") -> Estimate:
    """Return the count of some rows."""
    return count(rows.sum(name), variance_of(rows), rows.sum("arrivals"), draws_of(rows, name))


def share_of(every: Columns, hits: NDArray[np.bool_], name: str = "calls") -> Estimate | None:
    """Return the share that some of the rows have in the count of all; None without any."""
    size = every.sum(name)
    if not size:
        return None
    part, rest = every.chosen(hits), every.chosen(~hits)
    one, other = _noise(part), _noise(rest)
    common = 0.0 if one is None or other is None else covariance(one, other)
    return rate(
        part.sum(name), size, variance_of(part), variance_of(rest), common, draws_of(every, name)
    )


def _noise(rows: Columns) -> NDArray[np.float64] | None:
    """Return the noise; None where there is none, which is not the same as none to be expected."""
    found = rows["noise"] if "noise" in rows else np.empty(0)
    return found if found.ndim == 2 and found.shape[1] else None
