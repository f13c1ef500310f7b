"""Comparisons within strata, then together: what differs between strata cannot pass for what differs within them.

Cells are flat arrays, one entry for each stratum of each comparison; `group` says which comparison a cell belongs to,
0 to `groups` - 1. Strata in which nothing varies may be left out: they change nothing. As in
`headgate.queries.significance`, counts may be effective ones, and a probability is NaN where nothing can be tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from headgate.queries.significance import EXACT_UP_TO_VARIANCE, Z95

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def over_represented(
    group: ArrayLike,
    hits: ArrayLike,
    size: ArrayLike,
    others: ArrayLike,
    rest: ArrayLike,
    groups: int,
) -> Floats:
    """Return, for each group, the probability that `hits` of `size` are so many by chance, given `others` of `rest`.

    Cochran (1954), Mantel and Haenszel (1959), one-sided, with continuity correction; up to a variance of 100 the exact
    test instead: a sum of hypergeometric numbers, which for one stratum is Fisher's.
    """
    of = np.asarray(group, np.intp)
    a, n, b, m = (np.asarray(np.rint(x), np.float64) for x in (hits, size, others, rest))
    a, b = np.minimum(a, n), np.minimum(b, m)
    both, every = a + b, n + m
    varies = (n > 0) & (m > 0) & (both > 0) & (both < every)
    of = of[varies]
    a, n, both, every = (x[varies] for x in (a, n, both, every))
    expected = n * both / every
    spread = expected * (1 - n / every) * (every - both) / (every - 1)
    seen, mean, variance = (np.bincount(of, x, groups) for x in (a, expected, spread))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.asarray(special.ndtr(-(seen - mean - 0.5) / np.sqrt(variance)), np.float64)
    p[variance == 0] = np.nan
    exact = (variance > 0) & (variance <= EXACT_UP_TO_VARIANCE)
    for g, tail in _tails(of, a, n, both, every, np.flatnonzero(exact)):
        p[g] = tail
    return p


def _tails(
    of: NDArray[np.intp],
    seen: Floats,
    size: Floats,
    both: Floats,
    every: Floats,
    wanted: NDArray[np.intp],
) -> Iterator[tuple[int, float]]:
    """Yield each wanted group with the probability that its sum of hypergeometric numbers is at least what was seen."""
    order = np.argsort(of, kind="stable")
    order = order[np.isin(of[order], wanted)]
    of = of[order]
    seen, size, both, every = (x[order] for x in (seen, size, both, every))
    least = np.maximum(0, size + both - every)
    lengths = (np.minimum(size, both) - least + 1).astype(np.intp)
    ends = np.cumsum(lengths)
    cell = np.repeat(np.arange(of.size), lengths)
    values = np.arange(cell.size) - (ends - lengths)[cell] + least[cell]
    chances = _hypergeometric(values, every[cell], both[cell], size[cell])
    for g in wanted.tolist():
        first, last = np.searchsorted(of, (g, g + 1))
        made = np.ones(1)
        for k in range(first, last):
            made = np.convolve(made, chances[ends[k] - lengths[k] : ends[k]])
        above = int(seen[first:last].sum() - least[first:last].sum())
        yield g, float(min(made[above:].sum(), 1.0))


def _hypergeometric(hits: Floats, every: Floats, both: Floats, size: Floats) -> Floats:
    """Return the probability of `hits` among `size` of `every`, of which `both` have it; all within their bounds.

    Of logarithms of beta functions: `scipy.stats.hypergeom` takes twenty times as long, for digits nobody needs.
    """
    rest = every - both
    logarithm = (
        special.betaln(both + 1, 1)
        + special.betaln(rest + 1, 1)
        + special.betaln(every - size + 1, size + 1)
        - special.betaln(hits + 1, both - hits + 1)
        - special.betaln(size - hits + 1, rest - size + hits + 1)
        - special.betaln(every + 1, 1)
    )
    return np.asarray(np.exp(logarithm), np.float64)


def common_odds_ratio(
    group: ArrayLike,
    hits: ArrayLike,
    size: ArrayLike,
    others: ArrayLike,
    rest: ArrayLike,
    groups: int,
) -> tuple[Floats, Floats, Floats]:
    """Return Mantel and Haenszel's (1959) common odds ratio of each group and its 95 % interval.

    The interval is that of Robins, Breslow and Greenland (1986). Where a ratio would be 0 or without bound, each cell
    of the group gets Haldane's 0.5. NaN where nothing varies.
    """
    of = np.asarray(group, np.intp)
    a, n, b, m = (np.asarray(x, np.float64) for x in (hits, size, others, rest))
    cells = [a, np.maximum(n - a, 0.0), b, np.maximum(m - b, 0.0)]
    varies = (n > 0) & (m > 0) & (a + b > 0) & (cells[1] + cells[3] > 0)
    of, (a, c, b, d) = of[varies], (x[varies] for x in cells)

    def total(x: Floats) -> Floats:
        return np.bincount(of, x, groups).astype(np.float64)

    for_it, against = total(a * d), total(b * c)
    half = np.where((for_it == 0) | (against == 0), 0.5, 0.0)[of]
    a, b, c, d = a + half, b + half, c + half, d + half
    every = a + b + c + d
    r, s, p, q = a * d / every, b * c / every, (a + d) / every, (b + c) / every
    with np.errstate(divide="ignore", invalid="ignore"):
        r_all, s_all = total(r), total(s)
        ratio = r_all / s_all
        variance = (
            total(p * r) / (2 * r_all**2)
            + total(p * s + q * r) / (2 * r_all * s_all)
            + total(q * s) / (2 * s_all**2)
        )
        factor = np.exp(Z95 * np.sqrt(variance))
        return ratio, ratio / factor, ratio * factor


def rank_biserial(
    strata: Sequence[tuple[Floats, Floats, Floats]],
) -> tuple[float, float]:
    """Return how far hits lie above the rest of their stratum, from -1 to 1, and the probability of that by chance.

    Each stratum is `values`, and how many `hits` and others lie at each. The test is van Elteren's (1960), which for
    one stratum is Mann and Whitney's, two-sided, with ties, normal approximation; the effect weighs strata as the test
    does. NaN where no stratum has both.
    """
    found = []
    for values, hits, rest in strata:
        order = np.argsort(values, kind="stable")
        x, y = hits[order], rest[order]
        n, m = float(x.sum()), float(y.sum())
        if n <= 0 or m <= 0:
            continue
        every = n + m
        wins = float(np.sum(x * (np.cumsum(y) - y + y / 2)))
        ties = float(np.sum((x + y) ** 3 - (x + y)))
        spread = n * m / 12 * (every + 1 - ties / (every * (every - 1))) if every > 1 else 0.0
        found.append((n * m, wins, max(spread, 0.0), every + 1))
    if not found:
        return float("nan"), float("nan")
    pairs, won, variance, weight = np.array(found).T
    effect = 2 * float((won / weight).sum() / (pairs / weight).sum()) - 1
    deviation = float(np.sqrt((variance / weight**2).sum()))
    if deviation <= 0:
        return effect, float("nan")
    off = abs(float(((won - pairs / 2) / weight).sum())) - 0.5 / float(weight.max())
    return effect, float(2 * special.ndtr(-max(off, 0.0) / deviation))
