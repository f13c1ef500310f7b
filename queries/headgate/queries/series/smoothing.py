"""Forecasts of series: Holt and Winters' exponential smoothing, the season before, and drift, from every origin.

Additive with a damped trend, in the error-correction form (Hyndman and Athanasopoulos, Forecasting: Principles and
Practice, chapter 8), with y the value, m the slot of its hour, e = y - (l + phi b + s[m]):

    l' = l + phi b + alpha e      b' = phi b + alpha beta e      s'[m] = s[m] + gamma e

A missing value updates nothing. Parameters are those of a grid with the least squared error of one step so far; so a
forecast made at an origin knows nothing of what came after, and one pass over the periods makes every backtest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.queries.series.profile import medians

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

PHI = 0.98
GRID = tuple(itertools.product((0.02, 0.1, 0.3, 0.6), (0.0, 0.05, 0.2), (0.05, 0.2, 0.4)))
"""Combinations of alpha, beta and gamma."""
METHODS = ("holt-winters", "same hour before", "drift")


@dataclass(frozen=True, slots=True)
class State:
    """Level [grid, series], trend likewise, season [grid, series, slots], and the squared errors so far."""

    level: Floats
    trend: Floats
    season: Floats
    squares: Floats

    def forecast(self, slots: Ints) -> Floats:
        """Return the forecasts [series, horizon] by each series' best parameters."""
        best, series = self.squares.argmin(axis=0), np.arange(self.level.shape[1])
        damping = np.cumsum(PHI ** np.arange(1, slots.size + 1))
        level, trend = self.level[best, series], self.trend[best, series]
        season = self.season[best, series][:, slots]
        return np.asarray(level[:, None] + trend[:, None] * damping + season)


def start(values: Floats, slot: Ints, parameters: Sequence[tuple[float, float, float]]) -> State:
    """Return the state to begin with: no trend, the level and the season of `values`, the first few seasons."""
    level, _ = medians(values)
    level = np.nan_to_num(level)
    season = np.zeros((len(values), int(slot.max(initial=0)) + 1))
    for number in np.unique(slot):
        found, _ = medians(values[:, slot == number])
        season[:, number] = np.nan_to_num(found - level)
    grid = len(parameters)
    return State(
        np.tile(level, (grid, 1)),
        np.zeros((grid, len(values))),
        np.tile(season, (grid, 1, 1)),
        np.zeros((grid, len(values))),
    )


def states(
    values: Floats,
    slot: Ints,
    begin: State,
    origins: Sequence[int],
    parameters: Sequence[tuple[float, float, float]] = GRID,
) -> list[State]:
    """Return the state at each origin (ascending): when the periods before it are known. O(periods x grid x series)."""
    alpha, beta, gamma = (np.array(part)[:, None] for part in zip(*parameters, strict=True))
    level, trend = begin.level.copy(), begin.trend.copy()
    season, squares = begin.season.copy(), begin.squares.copy()
    found, wanted = [], set(origins)
    for period in range(max(origins) + 1):
        if period in wanted:
            found.append(State(level.copy(), trend.copy(), season.copy(), squares.copy()))
        if period == values.shape[1]:
            break
        place = slot[period]
        ahead = level + PHI * trend
        error = np.nan_to_num(values[:, period] - ahead - season[:, :, place])
        level = ahead + alpha * error
        trend = PHI * trend + alpha * beta * error
        season[:, :, place] += gamma * error
        squares += error * error
    return found


def same_before(values: Floats, slot: Ints, slots: Ints) -> Floats:
    """Return the last known value of each slot: the seasonal naive forecast."""
    latest = np.full((len(values), int(max(slot.max(), slots.max())) + 1), np.nan)
    for number in np.unique(slot):
        mine = values[:, slot == number]
        known = ~np.isnan(mine)
        last = mine.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
        latest[:, number] = np.where(known.any(axis=1), mine[np.arange(len(values)), last], np.nan)
    return latest[:, slots]


def drift(values: Floats, horizon: int) -> Floats:
    """Return the line from the first known value through the last one."""
    known = ~np.isnan(values)
    every = np.arange(len(values))
    first = known.argmax(axis=1)
    last = values.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    rise = (values[every, last] - values[every, first]) / np.maximum(last - first, 1)
    ahead = values.shape[1] - 1 - last[:, None] + np.arange(1, horizon + 1)
    return np.asarray(values[every, last][:, None] + rise[:, None] * ahead)
