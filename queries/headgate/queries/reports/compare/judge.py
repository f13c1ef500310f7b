"""Whether two numbers differ by more than chance: the calls of a window are taken as a sample of what goes on.

That is another question than how exactly calls were counted: a count without any error still varies from day to day.
Estimators of sampled rows answer it too when sum w is added to their variance: w (w - 1) + w = w^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from headgate.queries.columns import Columns
from headgate.queries.estimate import Estimate, difference, mean, rate
from headgate.queries.outcomes import Ended
from headgate.queries.significance import effective, over_represented
from headgate.queries.uncertain import design_effect, variance_of

LEAST_PAIRS = 4
_NS_TO_MS = 1e-6


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference, its standard error and 95 % interval as a sample, and how probable it is by chance; or None."""

    value: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


def of_calls(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], days: tuple[float, float]
) -> Difference:
    """Compare calls a day, given the calls of whole periods and the days that all of them last.

    Where both have as many periods they are compared in pairs (Student), so that what both have in common, hours of the
    day, days of the week, is no noise; else as counts whose variance is a multiple of their mean (quasi-Poisson). In
    both cases a difference is never taken as surer than that of independent calls (Poisson).
    """
    n, m = float(ours.sum()), float(theirs.sum())
    if not days[0] or not days[1]:
        return Difference(0.0)
    value = n / days[0] - m / days[1]
    poisson = n / days[0] ** 2 + m / days[1] ** 2
    if not poisson:
        return Difference(value)
    if ours.size == theirs.size >= LEAST_PAIRS:
        pairs = ours / days[0] - theirs / days[1]
        apart = pairs - pairs.sum() / pairs.size
        freedom = float(pairs.size - 1)
        variance = float(apart @ apart) / freedom * pairs.size
    else:
        variance = n / days[0] ** 2 * _dispersion(ours) + m / days[1] ** 2 * _dispersion(theirs)
        freedom = float(max(ours.size + theirs.size - 2, 1))
    if variance <= poisson:
        variance, freedom = poisson, np.inf
    return _tested(value, float(np.sqrt(variance)), freedom)


def _dispersion(counts: NDArray[np.float64]) -> float:
    """Return how many times the variance of counts is their mean, at least 1 (Pearson)."""
    if counts.size < 2 or not counts.any():
        return 1.0
    return max(float(counts.var(ddof=1) / counts.mean()), 1.0)


def _tested(value: float, error: float, freedom: float) -> Difference:
    if error <= 0:
        return Difference(value)
    finite = np.isfinite(freedom)
    t = abs(value) / error
    p = 2 * float(special.stdtr(freedom, -t) if finite else special.ndtr(-t))
    wide = float(special.stdtrit(freedom, 0.975) if finite else special.ndtri(0.975))
    return Difference(value, error, value - wide * error, value + wide * error, p)


def of_error_rates(ours: Columns, theirs: Columns) -> Difference:
    """Compare shares of failed calls: interval of Newcombe (1998), twice the smaller tail of Fisher's test (1922)."""
    return of_endings([(Ended.of(ours), Ended.of(theirs))])[0]


def of_endings(pairs: Sequence[tuple[Ended, Ended]]) -> list[Difference]:
    """Compare many shares of failed calls as `of_error_rates` does: testing all at once costs little more than one."""
    ours, theirs = zip(*pairs, strict=True) if pairs else ((), ())
    (failed, n), (other, m) = _failures(ours), _failures(theirs)
    tails = over_represented([failed, other], [n, m], [other, failed], [m, n])
    p = np.minimum(2 * tails.min(axis=0), 1.0)
    return [
        Difference(0.0) if np.isnan(chance) else _between(_rate(ours), _rate(theirs), chance)
        for (ours, theirs), chance in zip(pairs, p.tolist(), strict=True)
    ]


def _rate(ended: Ended) -> Estimate:
    failed, well = ended.failed, ended.well
    calls = failed.sum("calls") + well.sum("calls")
    return rate(failed.sum("calls"), calls, _squares(failed), _squares(well))


def _failures(endings: Sequence[Ended]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return effective numbers of failed calls and of all."""
    calls = np.array([one.every.sum("calls") for one in endings])
    failed = np.array([one.failed.sum("calls") for one in endings])
    size = effective(calls, [_squares(one.every) for one in endings])
    return np.divide(failed, calls, out=np.zeros_like(calls), where=calls > 0) * size, size


def _squares(columns: Columns) -> float:
    return variance_of(columns) + columns.sum("calls")


def of_means(ours: Columns, theirs: Columns) -> Difference:
    """Compare mean durations (ms), by columns of `performance.moments`: Welch's test, for large samples."""
    if not ours.sum("calls") or not theirs.sum("calls"):
        return Difference(0.0)
    return _between(_mean(ours), _mean(theirs))


def _mean(moments: Columns) -> Estimate:
    effect = design_effect(moments)
    return mean(
        moments.sum("calls"),
        moments.sum("duration"),
        _squares(moments),
        moments.sum("variance_y") * effect + moments.sum("duration"),
        moments.sum("variance_y2") * effect + moments.sum("duration_squares"),
    ).scaled(_NS_TO_MS)


def of_quantiles(
    ours: Sequence[Estimate] | None, theirs: Sequence[Estimate] | None, number: int
) -> list[Difference]:
    """Compare a number of quantiles of durations, by Woodruff's intervals (1952) of `Spread.sampled`."""
    if ours is None or theirs is None:
        return [Difference(0.0)] * number
    return [*map(_between, ours, theirs)]


def _between(ours: Estimate, theirs: Estimate, p_value: float | None = None) -> Difference:
    found = difference(ours, theirs)
    error = found.standard_error
    if p_value is None and error is not None and error > 0:
        p_value = 2 * float(special.ndtr(-abs(found.value) / error))
    return Difference(found.value, error, found.low, found.high, p_value)
