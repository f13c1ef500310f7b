"""Forecasts with intervals that were tried out: what each method would have said earlier, and how it erred.

The interval of a step is the forecast -+ q s, with s the root mean square error of that step and its neighbours over
all origins, and q the 95 % quantile of all |error| / s (split conformal prediction, Vovk et al. 2005). The coverage
that is reported is out of sample: the intervals that the earlier half of the origins make, tried on the later half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.queries.series.smoothing import GRID, METHODS, drift, same_before, start, states

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.queries.series.smoothing import State

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LEVEL = 0.95
LEAST_ORIGINS, MOST_ORIGINS = 4, 12


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecasts of each series [series, horizon] with intervals, in the scale of the values.

    `method` is the number of the chosen one of METHODS; `errors` its errors [series, origins, horizon], actual less
    forecast, NaN where either is not known, and `ahead` its forecasts there; `coverage` the share of periods inside
    their interval, out of sample.
    """

    middle: Floats
    low: Floats
    high: Floats
    method: Ints
    errors: Floats
    ahead: Floats
    coverage: Floats


def origins_for(periods: int, horizon: int, least: int) -> list[int]:
    """Return the origins to try: the last one a horizon before the end, up to MOST_ORIGINS, half a horizon apart."""
    last, step = periods - horizon, max(horizon // 2, 1)
    found = [last - step * number for number in range(MOST_ORIGINS)]
    return sorted(origin for origin in found if origin >= least)


def long_enough(begins: Ints, periods: int, horizon: int, season: int) -> NDArray[np.bool_]:
    """Return which series, by where they begin, have two seasons before the first of LEAST_ORIGINS origins."""
    tried = horizon + (LEAST_ORIGINS - 1) * max(horizon // 2, 1)
    return np.asarray(periods - tried >= begins + 2 * season)


def forecast(values: Floats, slot: Ints, future: Ints, season: int, begins: Ints) -> Forecast:
    """Forecast each series for the slots `future`; `season` periods make a season.

    Before its place of `begins` [series] a series is missing, and `long_enough` since. One that begins later than
    others has fewer origins: each has two seasons before its first.
    """
    horizon, length = future.size, values.shape[1]
    learnt = begins[:, None] + 2 * season
    origins = origins_for(length, horizon, int(learnt.min()))
    place = np.arange(int(learnt.max()))
    first = np.where(place < learnt, values[:, : place.size], np.nan)
    # What is missing updates nothing: a state stays as it starts until its series begins.
    found = states(values, slot, start(first, slot[: place.size], GRID), [*origins, length])
    ahead = np.stack(
        [
            _each(values[:, :origin], slot[:origin], slot[origin : origin + horizon], state)
            for origin, state in zip(origins, found, strict=False)
        ],
        axis=2,
    )
    actual = np.stack([values[:, origin : origin + horizon] for origin in origins], axis=1)
    tried = np.array(origins) >= learnt
    errors = np.where(tried[:, :, None], actual[None] - ahead, np.nan)
    method = np.where(np.isnan(errors), 0, np.abs(errors)).sum(axis=(2, 3)).argmin(axis=0)
    every = np.arange(len(values))
    mine, said = errors[method, every], ahead[method, every]
    middle = _each(values, slot, future, found[-1])[method, every]
    half, coverage = np.empty(middle.shape), np.empty(len(values))
    trials = tried.sum(axis=1)
    for number in np.unique(trials):
        same = trials == number
        half[same] = _half(mine[same, -number:])
        coverage[same] = _coverage(mine[same, -number:])
    return Forecast(middle, middle - half, middle + half, method, mine, said, coverage)


def _each(values: Floats, slot: Ints, slots: Ints, state: State) -> Floats:
    """Return the forecasts of every method: [methods, series, horizon]."""
    made = np.stack(
        [state.forecast(slots), same_before(values, slot, slots), drift(values, slots.size)]
    )
    # Where a method knows nothing yet, smoothing answers.
    return np.asarray(np.where(np.isnan(made), made[0], made))


def _half(errors: Floats) -> Floats:
    """Return half the width of the interval of each step [series, horizon]."""
    size = _size(errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(size[:, None] > 0, np.abs(errors) / size[:, None], 0.0)
    count = errors.shape[1] * errors.shape[2]
    share = min(LEVEL * (1 + 1 / count), 1.0)
    return np.asarray(np.nanquantile(ratio.reshape(len(errors), -1), share, axis=1)[:, None] * size)


def _size(errors: Floats) -> Floats:
    """Return the root mean square error of each step, of it and its neighbours, an eighth of the horizon either way."""
    squares = np.nan_to_num(errors**2).sum(axis=1)
    known = np.count_nonzero(~np.isnan(errors), axis=1).astype(float)
    horizon = errors.shape[2]
    reach = max(horizon // 8, 1)
    low = np.maximum(np.arange(horizon) - reach, 0)
    high = np.minimum(np.arange(horizon) + reach + 1, horizon)
    sums = [np.pad(np.cumsum(part, axis=1), ((0, 0), (1, 0))) for part in (squares, known)]
    total, n = (part[:, high] - part[:, low] for part in sums)
    return np.asarray(np.sqrt(total / np.maximum(n, 1)))


def _coverage(errors: Floats) -> Floats:
    """Return which share of the later half of origins lies within the intervals that the earlier half makes."""
    early = errors.shape[1] // 2
    half = _half(errors[:, :early])[:, None]
    tried = errors[:, early:]
    known = np.count_nonzero(~np.isnan(tried), axis=(1, 2))
    with np.errstate(invalid="ignore"):
        inside = np.count_nonzero(np.abs(tried) <= half, axis=(1, 2))
    return np.asarray(inside / np.maximum(known, 1))


def name_of(method: int) -> str:
    """Return the name of a method."""
    return METHODS[method]
