"""How long calls took: moments and percentiles that several reports share (REQ-PERF-01 to -05).

Columns are those of `performance.moments` and `performance.buckets`: sums of durations in ns, and how many fell into
each bucket (`headgate.store.histogram`). Their errors are those of calls drawn one by one, times the design effect of
the count: what calls of one trace have in common makes them larger by that at most (`headgate.queries.uncertain`).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.columns import Columns
from headgate.queries.estimate import (
    Estimate,
    at_least,
    at_most,
    by_value,
    exactly,
    mean,
    standard_deviation,
    total,
)
from headgate.queries.spread import Spread
from headgate.queries.uncertain import counted, design_effect, draws_of

EXCELLENT_BELOW_MS, ATTENTION_UP_TO_MS, CRITICAL_ABOVE_MS = 500, 1000, 1000
HIGH_VARIANCE_RATIO = 2
PERCENTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}
BOUNDED = "read from exact counts in buckets, within 1.1 %"


@dataclass(frozen=True)
class Usual:
    """How long calls usually took, and the slowest of them; without slots, to be shared beside other numbers."""

    mean_ms: Annotated[Estimate | None, "mean duration"]
    p50_ms: Annotated[Estimate | None, f"median; {BOUNDED}"]
    p95_ms: Annotated[Estimate | None, f"95th percentile; {BOUNDED}"]
    p99_ms: Annotated[Estimate | None, f"99th percentile; {BOUNDED}"]


@dataclass(frozen=True, slots=True)
class Durations(Usual):
    """How long timed calls took; the same numbers for one operation and for all."""

    calls: Annotated[Estimate, "timed uses: server, consumer and root spans, tracked calls"]
    min_ms: Annotated[Estimate | None, "shortest"]
    max_ms: Annotated[Estimate | None, "longest"]
    std_dev_ms: Annotated[Estimate | None, "sample standard deviation (n - 1); 0 for one call"]
    total_ms: Annotated[Estimate, "all durations together"]
    verdict: Annotated[
        str,
        "by p95: `excellent` below 500 ms, `needs attention` up to 1000 ms, else `needs"
        " optimisation`; then `high variance` when p95 > 2 p50, `critical` when p99 > 1000 ms;"
        " `unknown` where no durations were counted",
    ]


_ADDING = (
    "arrivals",
    "calls",
    "duration",
    "duration_squares",
    "variance",
    "variance_y",
    "variance_y2",
)
_NOTHING = {
    **dict.fromkeys(("mean_ms", "p50_ms", "p95_ms", "p99_ms", "min_ms", "max_ms", "std_dev_ms")),
    "calls": exactly(0),
    "total_ms": exactly(0),
    "verdict": "no calls",
}


def durations(moments: Columns, buckets: Columns) -> dict[str, Any]:
    """Return the fields of `Durations`."""
    return each_durations([(moments, buckets)])[0]


def each_durations(timed: Sequence[tuple[Columns, Columns]]) -> list[dict[str, Any]]:
    """Return the fields of `Durations` of many sets of calls, each by its moments and buckets."""
    spread = Spread(timed, tuple(PERCENTILES.values()))
    stretches = itertools.starmap(slice, itertools.pairwise(spread.bounds))
    return [
        _durations(moments, spread.values[cells], spread.variance[cells], percentiles)
        for (moments, _), cells, percentiles in zip(timed, stretches, spread.counted(), strict=True)
    ]


def _durations(
    moments: Columns,
    values: NDArray[np.float64],
    variance: NDArray[np.float64],
    percentiles: list[Estimate] | None,
) -> dict[str, Any]:
    if not moments.rows:
        return dict(_NOTHING)
    _, n, t, squares, s0, _, s2 = (moments.sum(name) for name in _ADDING)
    effect, draws = design_effect(moments), draws_of(moments)
    shortest, longest = float(moments["shortest"].min()), float(moments["longest"].max())
    spread = by_value(values, variance) * effect
    return {
        "calls": counted(moments),
        "mean_ms": mean_ms(moments),
        **dict.fromkeys(PERCENTILES),
        **dict(zip(PERCENTILES, percentiles or (), strict=False)),
        "min_ms": ms((at_most if s0 > 0 else exactly)(shortest)),
        "max_ms": ms((at_least if s0 > 0 else exactly)(longest)),
        "std_dev_ms": ms(standard_deviation(n, t, squares, spread, draws)),
        "total_ms": ms(total(t, s2 * effect, draws)),
        "verdict": verdict(*(p.value for p in percentiles)) if percentiles else "unknown",
    }


def mean_ms(moments: Columns) -> Estimate | None:
    """Return the mean duration, None without calls."""
    _, n, t, _, s0, s1, s2 = (moments.sum(name) for name in _ADDING)
    if not n:
        return None
    effect = design_effect(moments)
    return ms(mean(n, t, s0 * effect, s1 * effect, s2 * effect, draws_of(moments)))


def ms(nanoseconds: Estimate) -> Estimate:
    """Return milliseconds, to the nanosecond."""
    return nanoseconds.scaled(1e-6).rounded(6)


def verdict(p50_ms: float, p95_ms: float, p99_ms: float) -> str:
    """Return the thresholds of REQ-PERF-03 to -05 as words."""
    if p95_ms < EXCELLENT_BELOW_MS:
        words = ["excellent"]
    elif p95_ms <= ATTENTION_UP_TO_MS:
        words = ["needs attention"]
    else:
        words = ["needs optimisation"]
    if p95_ms > HIGH_VARIANCE_RATIO * p50_ms:
        words.append("high variance")
    if p99_ms > CRITICAL_ABOVE_MS:
        words.append("critical")
    return ", ".join(words)
