"""Divide what may be kept fairly between strata: the rare whole, the frequent down to the same number each.

A stratum's probability is p_s(c) = min(1, c / N_s), N_s being what it counted in about a minute, each request times its
upstream weight; a trace's is the largest of its strata's, that is, the one of its rarest stratum. The cap c is the
one at which the requests that may be *expected* to be kept are as many as the law allows. Two additions to that rule:

- No trace that passed upstream sampling is kept with less than FLOOR times the probability that plain, unstratified
  sampling would give it. Else, with more strata than the budget has requests, a frequent stratum would keep next to
  nothing, at huge weights. It costs at most FLOOR of the budget, and bounds every weight of ours by 1 / (FLOOR p).
- Requests of a stratum whose upstream weights lie in different octaves are different strata, so that the share of
  what comes unsampled does not depend on what comes thinned (or on a false threshold) beside it.

Counts fade by e in 60 seconds. Only the CAPACITY largest are remembered; a stratum that is not is taken to be as rare
as it is in the segment. Nothing here depends on R.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import kernel
from headgate.collector.sampler.hashing import intern_pairs, mix_pairs
from headgate.collector.sampler.thresholds import WHOLE, weight_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.sampler.traces import Arrivals, Traces

FLOOR = 0.1
CAPACITY = 8192
FADE_NS = 60_000_000_000
_FORGOTTEN = 0.01
_NO_STRATUM = np.uint64(0x5EED)  # the key of requests that have no stratum


@dataclass(frozen=True, slots=True)
class Counts:
    """Faded request counts of the largest strata at `time_ns`, sorted by key."""

    time_ns: int
    key: NDArray[np.uint64]
    count: NDArray[np.float64]

    @classmethod
    def empty(cls) -> Counts:
        """Return counts of nothing."""
        return cls(0, np.empty(0, np.uint64), np.empty(0))

    def add(
        self, time_ns: int, key: NDArray[np.uint64], count: NDArray[np.float64]
    ) -> tuple[Counts, NDArray[np.float64]]:
        """Add the counts of distinct strata; return the new counts and, for each of these strata, its total."""
        time_ns = max(time_ns, self.time_ns) if time_ns > self.time_ns - FADE_NS else time_ns
        faded = self.count * math.exp(-max(0, time_ns - self.time_ns) / FADE_NS)
        total = count.copy()
        gone = np.zeros(self.key.size, bool)
        if self.key.size and key.size:
            place = np.minimum(np.searchsorted(self.key, key), self.key.size - 1)
            known = self.key[place] == key
            total[known] += faded[place[known]]
            gone[place[known]] = True
        staying = ~gone & (faded >= _FORGOTTEN)
        all_keys = np.concatenate((self.key[staying], key))
        all_counts = np.concatenate((faded[staying], total))
        if all_keys.size > CAPACITY:
            least = -np.partition(-all_counts, CAPACITY - 1)[CAPACITY - 1]
            chosen = np.flatnonzero(all_counts > least)
            ties = np.flatnonzero(all_counts == least)
            ties = ties[np.argsort(all_keys[ties])][: CAPACITY - chosen.size]
            chosen = np.concatenate((chosen, ties))
            all_keys, all_counts = all_keys[chosen], all_counts[chosen]
        order = np.argsort(all_keys)
        return Counts(time_ns, all_keys[order], all_counts[order]), total


@kernel
def _rarest(
    trace: NDArray[np.int64],
    slot: NDArray[np.int64],
    total: NDArray[np.float64],
    size: NDArray[np.float64],
) -> None:
    for i in range(trace.size):
        size[trace[i]] = min(size[trace[i]], total[slot[i]])


def rarest_strata(
    counts: Counts, arrivals: Arrivals, traces: Traces, request: NDArray[np.int64], now_ns: int
) -> tuple[Counts, NDArray[np.float64]]:
    """Count the requests (rows `request`) by stratum; return the counts and the size of each trace's rarest stratum.

    A trace without requests, which is one that a rule drops, gets an infinite size.
    """
    trace = traces.trace[request]
    weight = weight_of(traces.upstream)
    code = arrivals.stratum[request] + 1
    keys = np.concatenate((np.array([_NO_STRATUM]), arrivals.strata))
    if traces.upstream.any():
        octave = np.frexp(weight)[1][trace].astype(np.uint64)
        slot, first = intern_pairs(code.astype(np.uint64), octave)
        key = mix_pairs(keys[code[first]], octave[first])
    else:
        slot, key = code, mix_pairs(keys, np.ones(keys.size, np.uint64))
    count = np.zeros(key.size)
    count += np.bincount(slot, weights=weight[trace], minlength=key.size)
    used = count > 0
    counts, total_used = counts.add(now_ns, key[used], count[used])
    total = np.ones(key.size)
    total[used] = total_used
    size = np.full(len(traces), np.inf)
    _rarest(trace, slot, total, size)
    return counts, size


@kernel
def _yield_at(
    cap: float,
    least: NDArray[np.float64],
    slope: NDArray[np.float64],
    amount: NDArray[np.float64],
) -> tuple[float, float]:
    """Return the sum of amount * min(1, max(least, cap * slope)), and by how much it grows with the cap."""
    total = 0.0
    gain = 0.0
    for i in range(slope.size):
        share = cap * slope[i]
        if share >= 1.0:
            total += amount[i]
        elif share > least[i]:
            total += amount[i] * share
            gain += amount[i] * slope[i]
        else:
            total += amount[i] * least[i]
    return total, gain


@kernel
def _solve(
    least: NDArray[np.float64],
    slope: NDArray[np.float64],
    amount: NDArray[np.float64],
    target: float,
) -> float:
    """Return the smallest cap that yields the target, 0 where the least probabilities yield more.

    What is yielded grows with the cap, in straight pieces: Newton's steps, halving where one leaves the bracket.
    """
    total, _ = _yield_at(0.0, least, slope, amount)
    if total >= target:
        return 0.0
    low, high, gain = 0.0, 0.0, 0.0
    for i in range(slope.size):
        gain += amount[i] * slope[i]
        if slope[i] > 0.0:
            high = max(high, 1.0 / slope[i])
    cap = min((target - total) / gain, high)
    for _ in range(100):
        total, gain = _yield_at(cap, least, slope, amount)
        if abs(total - target) <= 1e-9 * target:
            break
        if total < target:
            low = cap
        else:
            high = cap
        following = cap + (target - total) / gain if gain > 0.0 else low
        if not low < following < high:
            following = (low + high) * 0.5
        if following == cap:
            break
        cap = following
    return cap


@dataclass(frozen=True, slots=True)
class Expected:
    """What keeping each trace is expected to yield: the probability given that the trace arrived, against a cap.

    `size` is that of the rarest stratum, `weight` the upstream weight, `least` the smallest probability (given
    arrival) that may be used, `requests` and `rows` what the trace adds.
    """

    size: NDArray[np.float64]
    weight: NDArray[np.float64]
    least: NDArray[np.float64]
    requests: NDArray[np.float64]
    rows: NDArray[np.float64]

    def cap(self, requests: float, rows: float) -> float:
        """Return the cap at which neither more requests nor more rows than this are expected to be kept.

        Infinite when everything may be kept; 0 when even the least probabilities keep more.
        """
        slope = self.weight / self.size
        caps = [
            _solve(self.least, slope, amount, allowed)
            for amount, allowed in ((self.requests, requests), (self.rows, rows))
            if allowed < amount.sum() * (1 - 1e-12)
        ]
        return min(caps, default=math.inf)

    def kept(self, passing: NDArray[np.float64]) -> tuple[float, float]:
        """Return the requests and rows that these probabilities (given arrival) are expected to keep."""
        # Not a dot product: the order in which BLAS adds depends on its threads.
        return float((self.requests * passing).sum()), float((self.rows * passing).sum())

    def probability(self, cap: float) -> NDArray[np.float64]:
        """Return each trace's own probability under a cap, upstream sampling included."""
        if cap == math.inf:
            return np.ones(self.size.size)
        return np.minimum(1.0, np.maximum(cap / self.size, self.least / self.weight))


def given_arrival(threshold: NDArray[np.int64], upstream: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability of passing a threshold for what has passed the upstream one."""
    passing = (WHOLE - np.maximum(threshold, upstream)).astype(np.float64)
    return passing / (WHOLE - upstream).astype(np.float64)
