"""What is usual: a robust seasonal profile, and how far each period lies from it.

The profile is the median of the same hour of the week, where three other such hours are known, else of the same hour
of the day, else of everything; a period never judges itself (leave one out). What is left is scaled by its spread, for
quiet and busy periods apart: 1.4826 times the median absolute deviation (Hampel 1974), or what the 97.5 % quantile of
the deviations says, if tails are heavier than normal. Up to 2.5 % odd periods do not distort that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LEAST_OTHERS = 3
MAD_TO_DEVIATION = 1.4826
TAIL, TAIL_TO_DEVIATION = 0.975, 1 / 2.2414
LEVELS = 4


def medians(values: Floats) -> tuple[Floats, Ints]:
    """Return the medians of the last axis without NaN, NaN where there is nothing, and of how many they are."""
    return quantiles(values, 0.5)


def quantiles(values: Floats, share: float) -> tuple[Floats, Ints]:
    """Return quantiles likewise, interpolated linearly as NumPy does."""
    known = np.count_nonzero(~np.isnan(values), axis=-1)
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan), known
    ordered = np.sort(values, axis=-1)
    position = share * np.maximum(known - 1, 0)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(known - 1, 0))
    ends = np.take_along_axis(ordered, np.stack([low, high], axis=-1), axis=-1)
    part = position - low
    return ends[..., 0] * (1 - part) + ends[..., 1] * part, known


def usual(values: Floats, slots: tuple[Ints, ...]) -> Floats:
    """Return what each period should have been by the others of its slot; the first of `slots` that knows enough."""
    out = np.full(values.shape, np.nan)
    for slot in slots:
        open_ = np.isnan(out).any(axis=0)
        for number in np.unique(slot[open_]):
            mine = np.flatnonzero(slot == number)
            if mine.size <= LEAST_OTHERS:
                continue
            found, known = medians(_others(values[:, mine]))
            better = np.isnan(out[:, mine]) & (known >= LEAST_OTHERS)
            out[:, mine] = np.where(better, found, out[:, mine])
    whole, known = medians(values)
    return np.where(np.isnan(out) & (known[:, None] > LEAST_OTHERS), whole[:, None], out)


def _others(values: Floats) -> Floats:
    """Return, for each of m columns, the m - 1 others: [series, m, m - 1]."""
    m = values.shape[1]
    places = np.arange(m - 1)[None, :] + (np.arange(m - 1)[None, :] >= np.arange(m)[:, None])
    return values[:, places]


@dataclass(frozen=True, slots=True)
class Judged:
    """Series beside what is usual: `expected` and `spread` in the series' unit, `score` in standard deviations."""

    expected: Floats
    spread: Floats
    score: Floats


def judged(
    values: Floats,
    root: Floats,
    slots: tuple[Ints, ...],
    floor: float,
    level_of: int,
    learn: NDArray[np.bool_],
) -> Judged:
    """Compare each period with its profile.

    `root` is the square root of how much each value weighs (1, or that of the number of calls behind it): deviations
    times root have one spread. `floor` is the least that spread can be, `learn` says which periods tell it: not those
    that are to be judged, where there are others. Slow drift is not odd: the median deviation of the `level_of` periods
    before a block of as many / 7 is taken away, where half of them are known.
    """
    fit = usual(values, slots)
    fit = fit + _level(values - fit, level_of)
    left = (values - fit) * root
    scale = _spread(np.where(learn, np.abs(left), np.nan), fit, floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Judged(fit, scale / root, left / scale)


def _spread(deviation: Floats, fit: Floats, floor: float) -> Floats:
    """Return the spread of each period, estimated apart for LEVELS equal parts of periods by what is usual in them."""
    known = np.where(np.isnan(deviation), np.nan, fit)
    part = np.zeros(fit.shape, np.int64)
    for number in range(1, LEVELS):
        with np.errstate(invalid="ignore"):
            part += fit > quantiles(known, number / LEVELS)[0][:, None]
    out = np.full(fit.shape, np.nan)
    for number in range(LEVELS):
        mine = np.where(part == number, deviation, np.nan)
        middle, count = medians(mine)
        tail, _ = quantiles(mine, TAIL)
        spread = np.maximum(np.maximum(MAD_TO_DEVIATION * middle, TAIL_TO_DEVIATION * tail), floor)
        spread = np.where(count > LEAST_OTHERS, spread, np.nan)
        out = np.where(part == number, spread[:, None], out)
    return out


def _level(left: Floats, length: int) -> Floats:
    out = np.zeros(left.shape)
    block = max(length // 7, 1)
    for start in range(block, left.shape[1], block):
        past = left[:, max(start - length, 0) : start]
        found, known = medians(past)
        out[:, start : start + block] = np.where(known >= length / 2, found, 0.0)[:, None]
    return out


@dataclass(frozen=True, slots=True)
class Odd:
    """Which periods are odd: `side` is -1, 0 or 1, `score` that of the block of periods that shows it."""

    side: NDArray[np.int8]
    score: Floats


def odd(score: Floats, asked: NDArray[np.bool_], threshold: float, blocks: tuple[int, ...]) -> Odd:
    """Find odd periods, and blocks of them that are odd together though none is alone.

    A block's score is the sum of its scores, over the root of their number, over the robust spread of all such blocks
    (at least 1): periods that resemble the one before make blocks vary more, and count for less. Shorter blocks come
    first, and what is odd in them is no part of longer ones. A block ends in `asked`; half of it must be known.
    """
    side = np.zeros(score.shape, np.int8)
    best = np.zeros(score.shape)
    left = score.copy()
    for length in blocks:
        known = ~np.isnan(left)
        n = _rolling(known.astype(float), length)
        with np.errstate(divide="ignore", invalid="ignore"):
            sums = np.where(
                n >= max(length / 2, 1),
                _rolling(np.where(known, left, 0.0), length) / np.sqrt(n),
                np.nan,
            )
        spread, _ = medians(np.abs(sums))
        sums = sums / np.maximum(MAD_TO_DEVIATION * np.nan_to_num(spread), 1.0)[:, None]
        with np.errstate(invalid="ignore"):
            ends = np.argwhere(asked & (np.abs(sums) > threshold))
        # The clearest blocks first: those that overlap them must not stretch or turn them.
        for series, end in ends[np.argsort(-np.abs(sums[tuple(ends.T)]), kind="stable")]:
            block = slice(max(end - length + 1, 0), end + 1)
            sign = np.sign(sums[series, end])
            mine = (side[series, block] == 0) & known[series, block]
            side[series, block][mine & (sign * left[series, block] > 0)] = sign
            best[series, block][mine] = sums[series, end]
        left = np.where(side != 0, np.nan, left)
    return Odd(side, np.where(side != 0, best, 0.0))


def _rolling(values: Floats, length: int) -> Floats:
    """Return the sum of each period and the `length` - 1 before it."""
    sums = np.cumsum(values, axis=1)
    out = sums.copy()
    out[:, length:] -= sums[:, :-length]
    return out
