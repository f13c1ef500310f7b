"""Performance: how long calls take, where the time goes, and what it costs in memory (REQ-PERF-01 to -07)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from headgate.queries.charts import Bars, Histogram, Timeline
from headgate.queries.columns import Columns, parts
from headgate.queries.coverage import ARRIVALS, BORROWED, anyone, coverage
from headgate.queries.declaration import Ask, Context, Reduced, Report, SteppedParams
from headgate.queries.durations import (
    PERCENTILES,
    Durations,
    Usual,
    durations,
    each_durations,
    mean_ms,
    verdict,
)
from headgate.queries.estimate import Estimate, at_least, exactly
from headgate.queries.labels import OfOperation, OfPeriod
from headgate.queries.spread import Spread, by_operation, p95_ms
from headgate.queries.uncertain import counted, mean_of
from headgate.queries.window import Window
from headgate.store.histogram import RELATIVE_ERROR

__all__ = ["REPORT", "Durations", "reduce", "verdict"]
BINS_PER_DOUBLING = 2
_NOTHING = Columns({})


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Durations):
    """One operation of one service."""

    share: Annotated[float, "its share of all time: where it is worth being faster"]
    p95_before_ms: Annotated[Estimate | None, "p95 of the window before, of the same length"]
    mean_series: Annotated[tuple[float | None, ...], "mean duration (ms) of each period"]
    memory_growth_bytes: Annotated[
        Estimate | None, "mean growth of resident memory in a tracked call; null where not measured"
    ]
    memory_peak_bytes: Annotated[Estimate | None, "largest peak of memory in a tracked call"]


@dataclass(frozen=True, slots=True)
class Period(OfPeriod, Usual):
    """All timed calls of one period; its percentiles are null without calls."""

    calls: Annotated[Estimate, "timed uses"]


@dataclass(frozen=True, slots=True)
class Bin:
    """Durations from one bound up to another; each bin ends 1.41 times as high as it begins."""

    low_ms: Annotated[float, "longer than this (or 0)"]
    high_ms: Annotated[float, "up to this"]
    calls: Annotated[float, "timed uses"]
    share: Annotated[float, "their share of all"]


@dataclass(frozen=True, slots=True)
class Summary(Durations):
    """Every timed call of the window together."""

    p95_before_ms: Annotated[Estimate | None, "p95 of the window before, of the same length"]
    percentile_error_bound: Annotated[float, "largest relative error of the percentiles"]
    timeline: Annotated[
        tuple[Period, ...], "every period of the window of which anything was recorded, in order"
    ]
    histogram: Annotated[tuple[Bin, ...], "how durations are spread"]


def asks(params: SteppedParams, window: Window) -> Mapping[str, Ask]:
    """Ask for the same in the window before."""
    before = Ask(window.before, params, ("moments", "buckets"))
    return {"before": before, **anyone(params, window)}


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Turn moments and buckets into statistics; rows by total time, most first."""
    moments, buckets = columns["moments"], columns["buckets"]
    by_label = by_operation(buckets)
    before = by_operation(columns["before.buckets"])
    earlier = dict(parts(columns["before.moments"], "service", "operation"))
    memory = dict(parts(columns["memory"], "service", "operation"))
    every_ms = moments.sum("duration") * 1e-6
    labels = parts(moments, "service", "operation")
    timed = [(part, by_label.get(label, _NOTHING)) for label, part in labels]
    past = p95_ms([(earlier.get(one, _NOTHING), before.get(one, _NOTHING)) for one, _ in labels])
    rows = []
    for (label, part), found, p95 in zip(labels, each_durations(timed), past, strict=True):
        rows.append(
            Row(
                service=label[0],
                operation=label[1],
                share=round(found["total_ms"].value / every_ms, 4) if every_ms else 0.0,
                p95_before_ms=p95,
                mean_series=_means(part, context),
                **_memory(memory.get(label, _NOTHING)),
                **found,
            )
        )
    rows.sort(key=lambda row: (-row.total_ms.value, row.service, row.operation))
    summary = Summary(
        p95_before_ms=p95_ms([(columns["before.moments"], columns["before.buckets"])])[0],
        percentile_error_bound=round(RELATIVE_ERROR, 5),
        timeline=_timeline(columns, context),
        histogram=_histogram(buckets),
        **durations(moments, buckets),
    )
    return Reduced(summary, tuple(rows))


def _means(moments: Columns, context: Context) -> tuple[float | None, ...]:
    position = context.periods.index(moments["period_s"].astype(np.int64))
    calls, duration = (
        np.bincount(position, moments[name], len(context.periods)) for name in ("calls", "duration")
    )
    return tuple(
        round(float(t / n) * 1e-6, 6) if n else None for t, n in zip(duration, calls, strict=True)
    )


def _timeline(columns: Mapping[str, Columns], context: Context) -> tuple[Period, ...]:
    moments, timeline = columns["moments"], columns["timeline"]
    if not moments.rows:
        return ()
    by_start = {start: part for (start,), part in parts(moments, "period_s")}
    spread = {start: part for (start,), part in parts(timeline, "period_s")}
    position = context.periods.index(moments["period_s"].astype(np.int64))
    calls = np.bincount(position, moments["calls"], len(context.periods))
    known = coverage(columns, context, calls)
    starts = context.periods.edges_s[:-1][~known.missing].tolist()
    timed = [(by_start.get(one, _NOTHING), spread.get(one, _NOTHING)) for one in starts]
    percentiles = Spread(timed, tuple(PERCENTILES.values())).counted()
    return tuple(
        Period(
            period=context.periods.label(number),
            whole=bool(known.whole[number]),
            calls=counted(part),
            mean_ms=mean_ms(part),
            **dict(zip(PERCENTILES, found or (None, None, None), strict=True)),
        )
        for number, (part, _), found in zip(
            np.flatnonzero(~known.missing).tolist(), timed, percentiles, strict=True
        )
    )


def _histogram(buckets: Columns) -> tuple[Bin, ...]:
    spread = Spread([(_NOTHING, buckets)], ())
    values, calls = spread.values, spread.calls
    if not calls.any():
        return ()
    numbers = np.where(values > 0, np.floor(np.log2(np.maximum(values, 1)) * BINS_PER_DOUBLING), -1)
    first, last = int(numbers.min()), int(numbers.max())
    counts = np.bincount((numbers - first).astype(np.int64), calls)
    shares = counts / calls.sum()
    return tuple(
        Bin(_edge_ms(first + i), _edge_ms(first + i + 1), float(counts[i]), round(shares[i], 4))
        for i in range(last - first + 1)
    )


def _edge_ms(number: int) -> float:
    return round(2 ** (number / BINS_PER_DOUBLING) * 1e-6, 6) if number >= 0 else 0.0


def _memory(memory: Columns) -> dict[str, Any]:
    growth = mean_of(memory, "growth")
    peak = float(memory["peak"].max(initial=0.0))
    # Where some rows were thinned a larger peak may not have been kept.
    bound = at_least if memory.sum("thinned") > 0 else exactly
    return {
        "memory_growth_bytes": None if growth is None else growth.rounded(0),
        "memory_peak_bytes": bound(peak) if peak > 0 else None,
    }


REPORT = Report(
    question="How long do calls take, typically and at worst, and where does the time go?",
    params=SteppedParams,
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
            "share",
            "mean_series",
        ),
    },
    charts=(
        Timeline(
            title="How long calls took",
            table="timeline",
            x="period",
            y=("p50_ms", "p95_ms", "p99_ms"),
        ),
        Bars(title="Where the time goes", category="operation", value="total_ms", color="service"),
        Histogram(
            title="How durations are spread",
            table="histogram",
            low="low_ms",
            high="high_ms",
            count="calls",
        ),
    ),
    reduce=reduce,
    rare=("memory",),
    asks=asks,
    borrows=(BORROWED,),
    on_request=(ARRIVALS,),
    by_days=("moments", "buckets", "timeline"),
)
