"""Anomalies: what is not as usual for the hour of the week, since when, and what is missing (REQ-TRD-09 to -11)."""

from collections.abc import Mapping

from headgate.queries.charts import Bars, Timeline
from headgate.queries.columns import Columns
from headgate.queries.coverage import ARRIVALS, BORROWED
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.reports.anomalies.finding import (
    NEW,
    TOO_LITTLE,
    found_anomalies,
    found_gaps,
    found_shifts,
    judgements,
    timeline,
)
from headgate.queries.reports.anomalies.records import AnomalyParams, Row, Summary
from headgate.queries.series.grid import EVERYTHING, ask, calls_by_operation, gridded
from headgate.queries.window import Window


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Compare every period of every series with what is usual; rows by verdict, then by calls."""
    params: AnomalyParams = context.params
    counted = calls_by_operation(columns["activity"])
    grid = gridded(columns, context, params.limit)
    found = judgements(grid, params.false_alarms)
    odd = found_anomalies(grid, found)
    shifts = found_shifts(grid, found)
    shifted = {(s.service, s.operation) for s in shifts}
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            verdict=found.verdict(number, odd, shifted, new=context.is_new(label)),
            calls=counted[label],
            expected_calls=found.expected_calls(number),
            anomalies=sum((a.service, a.operation) == label for a in odd),
            learnt_periods=int(grid.learnt[number]),
            calls_series=grid.shown(grid.calls[number]),
        )
        for number, label in enumerate(grid.labels)
        if number and label in counted
    ]
    order = ("unusual now", "was unusual", "changed", NEW, "usual", TOO_LITTLE)
    rows.sort(key=lambda r: (order.index(r.verdict), -r.calls.value, r.service, r.operation))
    verdicts = {row.verdict for row in rows} | {found.verdict(0, odd, set())}
    verdicts.discard(NEW)  # says nothing about what was there before
    summary = Summary(
        verdict=next((word for word in order if word in verdicts), TOO_LITTLE),
        calls=counted[EVERYTHING],
        judged=found.tests,
        threshold=found.threshold,
        learnt_periods=int(grid.counts.sum()),
        missing_periods=int((grid.gaps & grid.asked).sum()),
        anomalies=odd,
        shifts=shifts,
        gaps=found_gaps(grid, found),
        timeline=timeline(grid, found),
    )
    return Reduced(summary, tuple(rows))


def _asks(params: AnomalyParams, window: Window) -> Mapping[str, Ask]:
    return ask(params, window, params.learn_days)


REPORT = Report(
    question="What is not as usual, since when, and what is missing?",
    params=AnomalyParams,
    summary=Summary,
    row=Row,
    tables={
        "anomalies": (
            "operation",
            "metric",
            "began_at",
            "periods",
            "observed",
            "expected",
            "score",
            "service",
        ),
        "shifts": ("operation", "metric", "began_at", "before", "after", "p_value", "service"),
        "gaps": ("began_at", "ended_at", "periods", "expected_calls"),
        "rows": (
            "service",
            "operation",
            "verdict",
            "calls",
            "expected_calls",
            "calls_series",
        ),
    },
    reduce=reduce,
    asks=_asks,
    firsts=True,
    borrows=(BORROWED,),
    on_request=(ARRIVALS,),
    charts=(
        Timeline(
            title="Calls beside what is usual",
            table="timeline",
            x="start_at",
            y=("calls",),
            band=("expected_low", "expected_high"),
            marks="anomaly",
        ),
        Bars(
            title="Anomalies by operation", category="operation", value="anomalies", color="verdict"
        ),
    ),
)
