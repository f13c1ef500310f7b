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

from headgate.queries.estimate import (
    Draws,
    Estimate,
    at_least,
    count,
    covariance,
    distinct,
    mean,
    rate,
)
from headgate.queries.estimate import variance as of_noise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headgate.queries.columns import Columns


def variance_of(rows: Columns, alone: str = "variance", noise: str = "noise") -> float:
    """Return the variance of the rows' count, that of traces where it is known.

    Never less than if each row had been drawn by itself: what counts have in common only adds.
    """
    found = _noise(rows, noise)
    least = rows.sum(alone) if alone in rows else 0.0
    return least if found is None else max(of_noise(found), least)


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
    return _draws(min(rows.sum("drawn"), rows.sum(name)), variance_of(rows))


def counted(rows: Columns, name: str = "calls") -> Estimate:
    """Return the count of some rows."""
    return count(rows.sum(name), variance_of(rows), rows.sum("arrivals"), draws_of(rows, name))


def share_of(part: Columns, rest: Columns, name: str = "calls") -> Estimate | None:
    """Return the share that some rows have in the count of these and the rest; None without any."""
    hits, size = part.sum(name), part.sum(name) + rest.sum(name)
    if not size:
        return None
    one, other = _noise(part), _noise(rest)
    common = 0.0 if one is None or other is None else covariance(one, other)
    spread = (variance_of(part), variance_of(rest))
    drawn = sum(rows.sum("drawn") for rows in (part, rest) if "drawn" in rows)
    draws = _draws(drawn, sum(spread) + 2 * common) if drawn else None
    return rate(hits, size, *spread, common, draws)


def _draws(drawn: float, variance: float) -> Draws:
    """Return draws of a count of which so much was drawn: sum z^2 is sum q z^2 and, at least, the count itself."""
    if variance <= 0:
        return Draws(0.0, 0.0, 0.0)
    squares = variance + drawn
    return Draws(drawn**2 / squares, drawn, squares)


def mean_of(rows: Columns, prefix: str) -> Estimate | None:
    """Return the mean of a value that some rows have; None without any.

    Columns `<prefix>_n`, `_t`, `_s0`, `_s1`, `_s2` are sums of w, w y and w (w - 1) y^k over the rows with a value y;
    `<prefix>_noise` is their noise, by which the error grows as that of their count does.
    """
    n, t, *alone = (rows.sum(f"{prefix}_{name}") for name in ("n", "t", "s0", "s1", "s2"))
    if not n:
        return None
    variance = variance_of(rows, f"{prefix}_s0", f"{prefix}_noise")
    effect = variance / alone[0] if alone[0] > 0 else 1.0
    s0, s1, s2 = (part * effect for part in alone)
    return mean(n, t, s0, s1, s2)


def people_of(seen: int, rows: Columns, name: str, people: float) -> Estimate:
    """Return how many people there were, `seen` of them in rows that hold the share `people` of all of them.

    Where the rows are sampled by trace too (raw ones, or before they came here) there is a lower bound only.
    """
    found = distinct(seen, people)
    if rows.sum(name) * people <= rows.sum("arrivals") * (1 + 1e-9):
        return found
    return at_least(seen) if people == 1 else Estimate(found.value, None, found.low, None)


def _noise(rows: Columns, name: str = "noise") -> NDArray[np.float64] | None:
    """Return the noise; None where there is none, which is not the same as none to be expected."""
    if name not in rows:
        return None
    found = rows[name]
    return found if found.ndim == 2 and found.shape[1] else None
