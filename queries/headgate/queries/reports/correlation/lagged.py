"""Rank correlations of all pairs of series at all lags, honest about series that resemble themselves.

Series whose periods resemble the one before agree by chance far more often than independent ones (Yule 1926). n periods
tell as much as n / (1 + 2 sum r1(k) r2(k)) independent ones (Bartlett 1935), with r the autocorrelations of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from headgate.queries.changes import ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LEAST_PERIODS = 30


@dataclass(frozen=True, slots=True)
class Lagged:
    """One entry a pair (first, second: numbers of series): the strongest correlation over the lags, and its chance.

    `lag` is never negative: the second follows the first. NaN where fewer than LEAST_PERIODS are known in both.
    """

    first: Ints
    second: Ints
    lag: Ints
    correlation: Floats
    size: Floats
    effective: Floats
    p_value: Floats


def lagged(values: Floats, most_lag: int) -> Lagged:
    """Compare every pair of series [series, periods] at lags up to `most_lag`. O(lags x series^2 x periods)."""
    ranked = standard_ranks(values)
    known = (~np.isnan(values)).astype(np.float64)
    first, second = np.triu_indices(len(values), 1)
    most_lag = min(most_lag, max(values.shape[1] - LEAST_PERIODS, 0))
    lags = list(range(-most_lag, most_lag + 1))
    found = np.full((len(lags), first.size), np.nan)
    sizes = np.zeros((len(lags), first.size))
    for place, lag in enumerate(lags):
        if lag >= 0:
            (a, ka), (b, kb) = _shifted(ranked, known, lag)
        else:
            (b, kb), (a, ka) = _shifted(ranked, known, -lag)
        joint = ka @ kb.T
        scale = np.sqrt((a**2 @ kb.T) * (ka @ (b**2).T))
        with np.errstate(divide="ignore", invalid="ignore"):
            rho = np.where((joint >= LEAST_PERIODS) & (scale > 1e-9), (a @ b.T) / scale, np.nan)
        found[place], sizes[place] = rho[first, second], joint[first, second]
    best = np.argmax(np.nan_to_num(np.abs(found), nan=-1.0), axis=0)
    pair = np.arange(first.size)
    rho, size = np.clip(found[best, pair], -1, 1), sizes[best, pair]
    effective = size / np.maximum(1 + 2 * _shared_memory(ranked)[first, second], 1)
    freedom = np.maximum(effective - 2, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(rho) * np.sqrt(freedom / (1 - rho**2))
    p = np.minimum(2 * special.stdtr(freedom, -t) * len(lags), 1.0)
    lag = np.array(lags)[best]
    turned = lag < 0
    return Lagged(
        np.where(turned, second, first),
        np.where(turned, first, second),
        np.abs(lag),
        rho,
        size,
        effective,
        np.where(np.isnan(rho), np.nan, p),
    )


def standard_ranks(values: Floats) -> Floats:
    """Return each series' ranks with mean 0 and deviation 1, 0 where it is missing or constant."""
    out = np.zeros(values.shape)
    for series, row in enumerate(values):
        known = ~np.isnan(row)
        if known.sum() > 1:
            ranked = ranks(row[known])
            spread = ranked.std()
            out[series, known] = (ranked - ranked.mean()) / spread if spread > 0 else 0.0
    return out


def _shifted(
    ranked: Floats, known: Floats, lag: int
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Return the leading and the following part of all series, `lag` periods apart."""
    length = ranked.shape[1] - lag
    return (ranked[:, :length], known[:, :length]), (ranked[:, lag:], known[:, lag:])


def _shared_memory(ranked: Floats) -> Floats:
    """Return sum r1(k) r2(k) (1 - k/n) over all lags for every two series: [series, series].

    All lags, because what is left of a seasonal profile resembles itself a season apart.
    """
    n = ranked.shape[1]
    transformed = np.fft.rfft(ranked, 2 * n, axis=1)
    raw = np.fft.irfft(np.abs(transformed) ** 2, 2 * n, axis=1)[:, :n]
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of n - k products divided by n: already (1 - k/n) times the autocorrelation.
        damped = np.where(raw[:, :1] > 0, raw / raw[:, :1], 0.0)[:, 1 : max(int(0.9 * n), 1)]
    weight = n / (n - np.arange(1, damped.shape[1] + 1))
    return np.asarray((damped * weight) @ damped.T)
