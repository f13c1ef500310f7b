"""Performance: how long calls take (REQ-PERF-01 to -05)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from headgate.queries.columns import Columns, Groups
from headgate.queries.declaration import Context, Params, Reduced, Report
from headgate.queries.estimate import (
    Estimate,
    at_least,
    at_most,
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
        " optimisation`; then `high variance` when p95 > 2 p50, `critical` when p99 > 1000 ms",
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


def reduce(columns: Mapping[str, Columns], _: Context) -> Reduced:
    """Turn moments and buckets into statistics; rows by total time, most first."""
    moments, buckets = columns["moments"], columns["buckets"]
    groups = Groups(moments["service"], moments["operation"])
    in_bucket = Groups(buckets["service"], buckets["operation"])
    place = {label: number for number, label in enumerate(in_bucket.labels)}
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            **_durations(
                moments,
                groups.number == number,
                buckets,
                in_bucket.number == place.get(label, -1),
            ),
        )
        for number, label in enumerate(groups.labels)
    ]
    rows.sort(key=lambda row: (-row.total_ms.value, row.service, row.operation))
    every = _durations(moments, np.ones(moments.rows, bool), buckets, np.ones(buckets.rows, bool))
    return Reduced(Summary(percentile_error_bound=round(RELATIVE_ERROR, 5), **every), tuple(rows))


def _durations(
    moments: Columns, mask: np.ndarray, buckets: Columns, in_mask: np.ndarray
) -> dict[str, Any]:
    arrivals, n, t, squares, s0, s1, s2 = (float(moments[name][mask].sum()) for name in _ADDING)
    if not n:
        nothing = dict.fromkeys(
            ("mean_ms", "p50_ms", "p95_ms", "p99_ms", "min_ms", "max_ms", "std_dev_ms")
        )
        return nothing | {"calls": exactly(0), "total_ms": exactly(0), "verdict": "no calls"}
    shortest, longest = (
        float(moments["shortest"][mask].min()),
        float(moments["longest"][mask].max()),
    )
    index, position = np.unique(buckets["bucket"][in_mask], return_inverse=True)
    calls = np.bincount(position, weights=buckets["calls"][in_mask]).astype(np.float64)
    variance = np.bincount(position, weights=buckets["variance"][in_mask]).astype(np.float64)
    # No quantile lies outside what was measured, whatever the width of its bucket.
    values = np.clip(bucket_value_ns(index.astype(np.int16)), shortest, longest)
    p50, p95, p99 = (_ms(quantile(values, calls, variance, q)) for q in (0.50, 0.95, 0.99))
    return {
        "calls": count(n, s0, arrivals),
        "mean_ms": _ms(mean(n, t, s0, s1, s2)),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "min_ms": _ms((at_most if s0 > 0 else exactly)(shortest)),
        "max_ms": _ms((at_least if s0 > 0 else exactly)(longest)),
        "std_dev_ms": _ms(standard_deviation(n, t, squares, values, variance)),
        "total_ms": _ms(total(t, s2)),
        "verdict": verdict(p50.value, p95.value, p99.value),
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
