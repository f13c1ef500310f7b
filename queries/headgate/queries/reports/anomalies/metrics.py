"""Metrics in a scale where chance has one size: counts, shares and durations (see docs/explanation/anomalies.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from headgate.queries.series.grid import Grid

    Floats = NDArray[np.float64]

LEAST_CALLS, LEAST_TIMED = 5.0, 5.0
LEAST_LOG_DEVIATION = 0.05


@dataclass(frozen=True)
class Metric:
    """A metric as values with a known spread of chance: `floor` / `root`; `back` returns to its own unit."""

    name: str
    observed: Floats
    values: Floats
    root: Floats
    floor: float
    back: Callable[[Floats], Floats]


def metrics(grid: Grid) -> tuple[Metric, ...]:
    """Return what is judged of every series."""
    return (_calls(grid), _error_rate(grid), _mean_ms(grid))


def _calls(grid: Grid) -> Metric:
    """Square roots of counts: the variance of Poisson's becomes 1 (Anscombe 1948)."""
    values = 2 * np.sqrt(grid.calls + 3 / 8)
    return Metric(
        "calls",
        grid.calls,
        values,
        np.ones(values.shape),
        1.0,
        lambda y: np.maximum((np.maximum(y, 0) / 2) ** 2 - 3 / 8, 0),
    )


def _error_rate(grid: Grid) -> Metric:
    """Angles of shares: the variance of the binomial becomes 1 / (4 n) (Anscombe 1948)."""
    observed = grid.error_rate(LEAST_CALLS)
    with np.errstate(invalid="ignore"):
        share = (grid.failures + 3 / 8) / (grid.calls + 3 / 4)
        values = np.where(np.isnan(observed), np.nan, np.arcsin(np.sqrt(np.clip(share, 0, 1))))
        root = 2 * np.sqrt(grid.calls)
    return Metric(
        "error rate",
        observed,
        values,
        root,
        1.0,
        lambda y: np.sin(np.clip(y, 0, np.pi / 2)) ** 2,
    )


def _mean_ms(grid: Grid) -> Metric:
    """Logarithms of mean durations: deviations are factors, and shrink with the root of the calls behind a mean."""
    observed = grid.mean_ms(LEAST_TIMED)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(observed > 0, np.log(observed), np.nan)
        root = np.sqrt(grid.timed)
    return Metric("mean duration (ms)", observed, values, root, LEAST_LOG_DEVIATION, np.exp)
