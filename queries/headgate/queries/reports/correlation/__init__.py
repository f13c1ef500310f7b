"""Correlation: which operations rise, fail and slow down together, and which comes first (REQ-TRD-10, REQ-ERR-05)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from scipy import special

from headgate.queries.charts import Bars, HeatMap
from headgate.queries.columns import Columns
from headgate.queries.coverage import ARRIVALS, BORROWED
from headgate.queries.declaration import Ask, Context, Params, Reduced, Report
from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation
from headgate.queries.reports.correlation.lagged import lagged
from headgate.queries.series.grid import EVERYTHING, Grid, ask, calls_by_operation, gridded
from headgate.queries.series.profile import usual
from headgate.queries.significance import benjamini_hochberg
from headgate.queries.window import Window

Floats = NDArray[np.float64]
LEAST_TIMED = 20.0
_SEED = 1996  # any number: it only has to be the same each time


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationParams(Params):
    """Which series are compared, and how."""

    step: Annotated[Literal["hour", "day"], "length of the periods that are compared"] = "hour"
    learn_days: Annotated[
        float, "days before the window that are compared too", Gt(0), Le(3650)
    ] = 28.0
    deviations: Annotated[
        bool,
        "compare what deviates from the usual for the hour of the week; false compares the values"
        " themselves, and finds that everybody works by day",
    ] = True
    most_lag: Annotated[
        int, "periods by which one may follow the other, at most", Ge(0), Le(48)
    ] = 6
    least: Annotated[float, "weaker correlations are left out", Ge(0), Le(1)] = 0.2
    significance: Annotated[
        float, "pairs are shown up to this share of false discoveries", Gt(0), Le(1)
    ] = 0.01
    limit: Annotated[int, "at most this many operations, the most used", Ge(1), Le(100)] = 20


@dataclass(frozen=True, slots=True)
class Row(OfOperation):
    """One operation, and what goes with it most."""

    calls: Annotated[Estimate, "uses in the window"]
    correlated: Annotated[int, "significant pairs it is in"]
    strongest: Annotated[float | None, "rank correlation of the strongest; null without any"]
    reason: Annotated[str | None, "that pair in words"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two series that go together. Neither need be the cause."""

    first: Annotated[str, "`metric of operation`; where there is a lag, the one that comes first"]
    second: Annotated[str, "the other"]
    correlation: Annotated[float, "Spearman's rank correlation, -1 to 1, at that lag"]
    lag_periods: Annotated[int, "periods by which the second follows the first"]
    periods: Annotated[int, "periods in which both are known"]
    effective_periods: Annotated[
        float,
        "as many independent periods tell as much (Bartlett's correction for autocorrelation)",
    ]
    q_value: Annotated[
        float, "Student's probability, corrected for the lags tried, and by Benjamini and Hochberg"
    ]


@dataclass(frozen=True, slots=True)
class Summary:
    """What goes together."""

    calls: Annotated[Estimate, "uses in the window"]
    compared: Annotated[int, "pairs of series with 30 periods or more in common"]
    learnt_periods: Annotated[int, "periods that were compared, gaps left out"]
    pairs: Annotated[tuple[Pair, ...], "the strongest first, at most 100"]


SHOWN = 100


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Compare every two series; rows by the strongest correlation."""
    params: CorrelationParams = context.params
    counted = calls_by_operation(columns["activity"])
    grid = gridded(columns, context, params.limit)
    owners, names, values = _series(grid, params)
    found = lagged(values, params.most_lag)
    q = benjamini_hochberg(found.p_value)
    kept = np.flatnonzero((q <= params.significance) & (np.abs(found.correlation) >= params.least))
    kept = kept[np.lexsort((kept, -np.abs(found.correlation[kept])))]
    pairs = tuple(
        Pair(
            first=names[found.first[i]],
            second=names[found.second[i]],
            correlation=round(float(found.correlation[i]), 4),
            lag_periods=int(found.lag[i]),
            periods=int(found.size[i]),
            effective_periods=round(float(found.effective[i]), 1),
            q_value=float(f"{q[i]:.3g}"),
        )
        for i in kept
    )
    members = [(owners[found.first[i]], owners[found.second[i]]) for i in kept]
    rows = []
    for number, (service, operation) in enumerate(grid.labels):
        if not number or (service, operation) not in counted:
            continue
        mine = [pair for pair, owned in zip(pairs, members, strict=True) if number in owned]
        rows.append(
            Row(
                service=service,
                operation=operation,
                calls=counted[service, operation],
                correlated=len(mine),
                strongest=mine[0].correlation if mine else None,
                reason=_words(mine[0], grid.periods.step) if mine else None,
            )
        )
    rows.sort(key=lambda r: (-abs(r.strongest or 0), -r.calls.value, r.service, r.operation))
    summary = Summary(
        calls=counted[EVERYTHING],
        compared=int(np.count_nonzero(~np.isnan(found.p_value))),
        learnt_periods=int(grid.counts.sum()),
        pairs=pairs[:SHOWN],
    )
    return Reduced(summary, tuple(rows))


def _series(grid: Grid, params: CorrelationParams) -> tuple[list[int], list[str], Floats]:
    """Return every metric of every operation: whose it is, its name, its values [series, periods]."""
    operations = [operation for _, operation in grid.labels[1:]]
    slots = (grid.hour_of_week, grid.hour_of_day)
    owners, names, found = [], [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.log(grid.mean_ms(LEAST_TIMED)[1:])
    # Root and weight give all periods one spread: what varies at busy hours in common would look like agreement.
    for metric, values, weight in (
        ("calls", 2 * np.sqrt(grid.calls[1:] + 3 / 8), 1.0),
        ("errors", _surprise(grid.failures[1:], grid.calls[1:]), 1.0),
        ("mean duration", np.where(np.isfinite(factor), factor, np.nan), np.sqrt(grid.timed[1:])),
    ):
        for number, (service, operation) in enumerate(grid.labels[1:]):
            alone = operations.count(operation) == 1
            owners.append(number + 1)
            names.append(f"{metric} of {operation if alone else f'{service} {operation}'}")
        found.append((values - usual(values, slots)) * weight if params.deviations else values)
    return owners, names, np.vstack(found)


def _surprise(failures: Floats, calls: Floats) -> Floats:
    """Return how high failures are for so many calls, 0 to 1: randomised quantiles of Poisson's (Dunn and Smyth 1996).

    An error rate of few calls is 0 or large, so its rank goes with the number of calls though failing does not. These
    are spread evenly whatever the number; the random part within a count is the same every time.
    """
    within = np.random.default_rng(_SEED).random(calls.shape)
    with np.errstate(invalid="ignore"):
        share = np.nansum(failures, axis=1) / np.maximum(np.nansum(calls, axis=1), 1)
        expected = calls * share[:, None]
        at_most = special.pdtr(failures, expected)
        below = np.where(failures >= 1, special.pdtr(np.maximum(failures - 1, 0), expected), 0.0)
    return np.asarray(np.where(calls > 0, below + within * (at_most - below), np.nan))


def _words(pair: Pair, step: str) -> str:
    if not pair.lag_periods:
        how = "rise and fall together" if pair.correlation > 0 else "move in opposite directions"
        return f"{pair.first} and {pair.second} {how}"
    against = "" if pair.correlation > 0 else ", in the opposite direction"
    unit = step if pair.lag_periods == 1 else f"{step}s"
    return f"{pair.first}, then {pair.second} {pair.lag_periods} {unit} later{against}"


def _asks(params: CorrelationParams, window: Window) -> Mapping[str, Ask]:
    return ask(params, window, params.learn_days)


REPORT = Report(
    question="Which operations rise, fail or slow down together, and which comes first?",
    params=CorrelationParams,
    summary=Summary,
    row=Row,
    tables={
        "pairs": ("first", "second", "correlation", "lag_periods", "q_value"),
        "rows": ("service", "operation", "calls", "correlated", "strongest", "reason"),
    },
    reduce=reduce,
    asks=_asks,
    firsts=True,
    borrows=("anomalies.activity", BORROWED),
    on_request=(ARRIVALS,),
    charts=(
        HeatMap(
            title="What goes together", table="pairs", x="first", y="second", value="correlation"
        ),
        Bars(title="Significant pairs by operation", category="operation", value="correlated"),
    ),
)
