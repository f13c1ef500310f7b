"""Performance: how long calls take (REQ-PERF-01 to -05)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Annotated, Any

import numpy as np

from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Context, Params, Reduced, Report
from headgate.queries.estimate import (
    Estimate,
    at_least,
    at_most,
    by_value,
    count,
    exactly,
    mean,
    quantile,
    standard_deviation,
    total,
)
from headgate.store.histogram import RELATIVE_ERROR, bucket_value_ns

EXCELLENT_BELOW_MS, ATTENTION_UP_TO_MS, CRITICAL_ABOVE_MS = 500, 1000, 1000
HIGH_VARIANCE_RATIO = 2
PERCENTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}
_BOUNDED = "read from exact counts in buckets, within 1.1 %"


@dataclass(frozen=True, slots=True)
class Durations:
    """How long timed calls took; the same numbers for one operation and for all."""

    calls: Annotated[Estimate, "timed uses: server, consumer and root spans, tracked calls"]
    mean_ms: Annotated[Estimate | None, "mean duration"]
    p50_ms: Annotated[Estimate | None, f"median; {_BOUNDED}"]
    p95_ms: Annotated[Estimate | None, f"95th percentile; {_BOUNDED}"]
    p99_ms: Annotated[Estimate | None, f"99th percentile; {_BOUNDED}"]
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


@dataclass(frozen=True, slots=True)
class Row(Durations):
    """One operation of one service."""

    service: Annotated[str, "service.name"]
    operation: Annotated[str, "span name"]


@dataclass(frozen=True, slots=True)
class Summary(Durations):
    """Every timed call of the window together."""

    percentile_error_bound: Annotated[float, "largest relative error of the percentiles"]


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


def reduce(columns: Mapping[str, Columns], _: Context) -> Reduced:
    """Turn moments and buckets into statistics; rows by total time, most first."""
    moments, buckets = columns["moments"], columns["buckets"]
    counted = dict(parts(buckets, "service", "operation"))
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            **_durations(part, counted.get(label, Columns({}))),
        )
        for label, part in parts(moments, "service", "operation")
    ]
    rows.sort(key=lambda row: (-row.total_ms.value, row.service, row.operation))
    summary = Summary(
        percentile_error_bound=round(RELATIVE_ERROR, 5), **_durations(moments, buckets)
    )
    return Reduced(summary, tuple(rows))


def _durations(moments: Columns, buckets: Columns) -> dict[str, Any]:
    if not moments.rows:
        return _NOTHING
    arrivals, n, t, squares, s0, s1, s2 = (moments.sum(name) for name in _ADDING)
    shortest, longest = float(moments["shortest"].min()), float(moments["longest"].max())
    index, position = np.unique(buckets["bucket"], return_inverse=True)
    calls = np.bincount(position, weights=buckets["calls"]).astype(np.float64)
    variance = np.bincount(position, weights=buckets["variance"]).astype(np.float64)
    # No quantile lies outside what was measured, whatever the width of its bucket.
    values = np.clip(bucket_value_ns(index.astype(np.int16)), shortest, longest)
    percentiles = (
        [_ms(quantile(values, calls, variance, share)) for share in PERCENTILES.values()]
        if calls.any()
        else None
    )
    return {
        "calls": count(n, s0, arrivals),
        "mean_ms": _ms(mean(n, t, s0, s1, s2)),
        **dict(zip(PERCENTILES, percentiles or repeat(None), strict=False)),
        "min_ms": _ms((at_most if s0 > 0 else exactly)(shortest)),
        "max_ms": _ms((at_least if s0 > 0 else exactly)(longest)),
        "std_dev_ms": _ms(standard_deviation(n, t, squares, by_value(values, variance))),
        "total_ms": _ms(total(t, s2)),
        "verdict": verdict(*(p.value for p in percentiles)) if percentiles else "unknown",
    }


def _ms(nanoseconds: Estimate) -> Estimate:
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


REPORT = Report(
    question="How long do calls take, typically and at worst?",
    params=Params,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "verdict",
            "calls",
            "p50_ms",
            "p95_ms",
            "p99_ms",
            "max_ms",
        ),
    },
    reduce=reduce,
)
