"""What repeats: the strength of known cycles, and which cycles there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

ROTATIONS = 999
_SEED = 1906  # any number: it only has to be the same each time
MOST_CYCLES = 5


def centred_mean(values: Floats, length: int) -> Floats:
    """Return the mean of `length` periods around each, half weights at the ends of an even length, NaN at the edges.

    Missing values are left out of it; under half of them known, the mean is NaN.
    """
    weights = np.ones(length) if length % 2 else np.r_[0.5, np.ones(length - 1), 0.5]
    known = ~np.isnan(values)
    out = np.full(values.shape, np.nan)
    reach = weights.size // 2
    if values.shape[1] < weights.size:
        return out
    for series in range(len(values)):
        sums = np.convolve(np.where(known[series], values[series], 0.0), weights, "valid")
        n = np.convolve(known[series].astype(float), weights, "valid")
        with np.errstate(divide="ignore", invalid="ignore"):
            out[series, reach : reach + sums.size] = np.where(n >= length / 2, sums / n, np.nan)
    return out


def strength(values: Floats, slot: Ints, length: int, begins: Ints | int = 0) -> Floats:
    """Return how much of each series' variation around its trend is its cycle: 0 none, 1 all of it, NaN unknown.

    Classical additive decomposition with a centred mean of one cycle as the trend, and 1 - var(rest) / var(cycle +
    rest), not below 0 (Wang, Smith and Hyndman 2006). Two cycles must lie within the edges; a series' first edge is its
    place of `begins` [series].
    """
    inside = np.arange(values.shape[1]) >= np.reshape(begins, (-1, 1)) + length // 2
    left = np.where(inside, values - centred_mean(values, length), np.nan)
    cycle = np.full(left.shape, np.nan)
    for number in np.unique(slot):
        mine = slot == number
        n = np.count_nonzero(~np.isnan(left[:, mine]), axis=1)
        sums = np.nansum(left[:, mine], axis=1)
        cycle[:, mine] = np.where(n >= 2, sums / np.maximum(n, 1), np.nan)[:, None]
    rest = left - cycle
    enough = np.count_nonzero(~np.isnan(rest), axis=1) >= 2 * length
    out = np.full(len(values), np.nan)
    for series in np.flatnonzero(enough):
        known = ~np.isnan(rest[series])
        whole = float(np.var(left[series, known]))
        if whole > 1e-12:
            out[series] = max(0.0, 1 - float(np.var(rest[series, known])) / whole)
    return out


def rotation_test(table: Floats) -> Floats:
    """Return the probability that cycles [series, cycles, slots] agree so well by chance, NaN under 4 whole cycles.

    The statistic is the variance of the mean cycle. Under chance each cycle could have begun anywhere: it is compared
    with cycles that are each turned by a random number of slots, which keeps how periods resemble their neighbours.
    """
    random = np.random.default_rng(_SEED)
    out = np.full(len(table), np.nan)
    for series, cycles in enumerate(table):
        whole = cycles[~np.isnan(cycles).any(axis=1)]
        count, slots = whole.shape
        if count < 4 or not np.ptp(whole):
            continue
        whole = whole - whole.mean(axis=1, keepdims=True)
        turn = random.integers(0, slots, (ROTATIONS, count))
        # A cycle that is turned is a window of the cycle written twice.
        windows = sliding_window_view(np.hstack((whole, whole)), slots, axis=1)
        turned = windows[np.arange(count), turn].mean(axis=1)
        actual = float(np.var(whole.mean(axis=0)))
        out[series] = (1 + int((np.var(turned, axis=1) >= actual - 1e-15).sum())) / (ROTATIONS + 1)
    return out


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle that was found: its length in periods, its share of the variation, and how improbable it is by chance."""

    length: int
    share: float
    p_value: float


def autocorrelation(values: Floats) -> Floats:
    """Return the correlation of one series (NaN: missing) with itself at each lag, by Fourier transform."""
    known = ~np.isnan(values)
    centred = np.where(known, values - np.nanmean(values), 0.0)
    size = 2 * values.size
    transformed = np.fft.rfft(centred, size)
    raw = np.fft.irfft(transformed * transformed.conj(), size)[: values.size]
    return np.asarray(raw / raw[0] if raw[0] > 0 else np.zeros(values.size))


def cycles(values: Floats, alpha: float = 0.01) -> list[Cycle]:
    """Find the cycles of one series, strongest first, at most MOST_CYCLES.

    Peaks of the periodogram of what a straight line leaves, beyond what noise that resembles its neighbour (a first-
    order autoregression) makes anywhere, at `alpha` (Torrence and Compo 1998). A peak counts if the autocorrelation has
    a significant hill there, which harmonics have not (Vlachos, Yu and Castelli 2005); the hill's top is the length.
    Cycles must be seen three times.
    """
    known = ~np.isnan(values)
    n = values.size
    if known.sum() < 12:
        return []
    time = np.arange(n)
    line = np.polyfit(time[known], values[known], 1)
    left = np.where(known, values - np.polyval(line, time), 0.0)
    variance = float(np.mean(left**2))
    if variance <= 1e-12 * float(np.nanmax(np.abs(values)) + 1) ** 2:
        return []
    power = np.abs(np.fft.rfft(left))[1:] ** 2 / (n * variance)
    similar = autocorrelation(np.where(known, left, np.nan))
    r = min(max(float(similar[1]), 0.0), 0.99)
    frequency = np.arange(1, power.size + 1) / n
    noise = (1 - r**2) / (1 - 2 * r * np.cos(2 * np.pi * frequency) + r**2)
    p = -np.expm1(power.size * np.log1p(-np.exp(-np.minimum(power / noise, 700))))
    found: dict[int, Cycle] = {}
    for place in np.argsort(-power):
        length = n / (place + 1)
        if p[place] > alpha or len(found) == MOST_CYCLES:
            break
        if not 2 <= length <= n / 3:
            continue
        top = _hill(similar, n, int(place) + 1)
        if top is not None and top not in found:
            # A length between two frequencies leaks into its neighbours.
            share = min(2 * float(power[max(place - 1, 0) : place + 2].sum()) / n, 1.0)
            found[top] = Cycle(top, share, max(float(p[place]), 0.0))
    return list(found.values())


def _hill(similar: Floats, n: int, bin_: int) -> int | None:
    """Return the lag of the autocorrelation's hill between the neighbouring frequencies, None without one."""
    low = max(int(np.floor(n / (bin_ + 0.75))), 2)
    high = min(int(np.ceil(n / (bin_ - 0.75))), n // 2) if bin_ > 1 else n // 2
    top = low + int(similar[low : high + 1].argmax())
    if similar[top] < 1.96 / np.sqrt(n):
        return None
    around = similar[max(top - 1, 0)], similar[min(top + 1, n - 1)]
    valley = similar[max(round(top / 2), 1)]
    return top if similar[top] >= max(around) and similar[top] > valley else None
