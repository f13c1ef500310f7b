"""Trend: what grows, what declines, how fast, with which users, and when it began (REQ-TRD-01 to -09)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.charts import Bars, Timeline
from headgate.queries.columns import Columns, parts
from headgate.queries.coverage import ARRIVALS, Coverage, anyone, coverage
from headgate.queries.declaration import Ask, Context, Reduced, Report, SteppedParams
from headgate.queries.estimate import at_least, exactly
from headgate.queries.outcomes import calls_of
from headgate.queries.reports.trend.classes import Fit, confidence, fits, trend_type
from headgate.queries.reports.trend.records import Period, Row, Summary
from headgate.queries.reports.trend.turns import Change, Level, changes
from headgate.queries.window import Window

LEAST_DAYS_OF_RETENTION = 14
_NOTHING = Columns({})


def asks(params: SteppedParams, window: Window) -> Mapping[str, Ask]:
    """Ask for the window before, and what anybody did in this one."""
    return {"previous": Ask(window.before, params, ("before",)), **anyone(params, window)}


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Fit and classify every operation; rows by velocity, the fastest change first."""
    usage, moments = columns["usage"], columns["moments"]
    labels = [label for label, _ in parts(usage, "service", "operation")]
    calls = _matrix(usage, labels, context, "calls")
    known = coverage(columns, context, calls.sum(axis=0))
    gone = known.missing
    usual = known.whole if known.whole.sum() > 1 else ~gone
    begun = np.array([context.begun(label) for label in labels], bool).reshape(
        len(labels), gone.size
    )
    chosen = usual & begun
    turned = changes(
        labels,
        (
            Level("calls", calls),
            Level("error_rate", _failed(usage, labels, context), calls),
            Level(
                "mean_ms",
                _matrix(moments, labels, context, "duration") * 1e-6,
                _matrix(moments, labels, context, "calls"),
            ),
        ),
        chosen,
        context,
    )
    people = _by_label(columns["people"])
    before = dict(parts(columns["previous.before"], "service", "operation"))
    fitted = fits(
        np.vstack([calls, calls.sum(axis=0)]),
        np.vstack([chosen, usual]),
        np.array([*map(context.is_new, labels), False]),
    )
    began = {(c.service, c.operation): c.began_at for c in turned if c.metric == "calls"}
    rows = []
    for number, (label, part) in enumerate(parts(usage, "service", "operation")):
        rows.append(
            Row(
                service=label[0],
                operation=label[1],
                calls_series=_shown(calls[number], gone | ~(begun[number] | (calls[number] > 0))),
                changed_at=began.get(label),
                **_trend(part, before.get(label, _NOTHING), people, label, fitted[number], context),
            )
        )
    rows.sort(key=lambda row: (-abs(row.velocity), -row.calls.value, row.service, row.operation))
    whole = _trend(usage, columns["previous.before"], people, None, fitted[-1], context)
    summary = Summary(
        step=context.periods.step,
        periods=int(usual.sum()) if usage.rows else 0,
        periods_missing=int(gone.sum()),
        changes=turned,
        timeline=_timeline(calls.sum(axis=0), known, turned, context) if usage.rows else (),
        **whole,
    )
    return Reduced(summary, tuple(rows))


def _trend(
    usage: Columns,
    before: Columns,
    people: Mapping[Any, Columns],
    label: tuple[str, str] | None,
    fit: Fit,
    context: Context,
) -> dict[str, Any]:
    calls, calls_before = calls_of(usage), before.sum("calls")
    users = people.get(label, _NOTHING)
    every, retained = users.sum("arrivals"), users.sum("retained")
    # Distinct counts of sampled rows are bounds.
    bound = exactly if calls.exact else at_least
    share = (
        round(retained / every, 4)
        if every and context.window.days >= LEAST_DAYS_OF_RETENTION
        else None
    )
    return {
        "trend": trend_type(
            calls.value, fit.velocity, fit.periods, new=label is not None and context.is_new(label)
        ),
        "calls": calls,
        "velocity": round(fit.velocity, 6),
        "velocity_p_value": None if np.isnan(fit.p_value) else round(fit.p_value, 6),
        "acceleration": round(fit.acceleration, 6),
        "growth_rate": None if fit.growth_rate is None else round(fit.growth_rate, 4),
        "change_rate": context.change_rate(calls.value, calls_before, "previous", label),
        "unique_users": bound(every),
        "new_users_per_week": bound(users.sum("newcomers"))
        .scaled(1 / max(context.window.days / 7, 1))
        .rounded(2),
        "retention_rate": share,
        "churn_rate": None if share is None else round(1 - share, 4),
        "confidence_score": confidence(calls.value, fit.periods),
    }


def _matrix(
    columns: Columns, labels: list[tuple[str, str]], context: Context, name: str
) -> NDArray[np.float64]:
    """Return a column by operation (as in `labels`) and period."""
    width = len(context.periods)
    found = np.zeros((len(labels), width))
    places = {label: number for number, label in enumerate(labels)}
    for label, part in parts(columns, "service", "operation"):
        if label in places:
            position = context.periods.index(part["period_s"].astype(np.int64))
            found[places[label]] = np.bincount(position, part[name], width)
    return found


def _failed(usage: Columns, labels: list[tuple[str, str]], context: Context) -> NDArray[np.float64]:
    return _matrix(usage.chosen(usage["outcome"] != "ok"), labels, context, "calls")


def _shown(calls: NDArray[np.float64], gone: NDArray[np.bool_]) -> tuple[float | None, ...]:
    return tuple(None if lost else float(value) for value, lost in zip(calls, gone, strict=True))


def _timeline(
    calls: NDArray[np.float64],
    known: Coverage,
    turned: tuple[Change, ...],
    context: Context,
) -> tuple[Period, ...]:
    began = {change.began_at for change in turned}
    whole = known.whole.tolist()
    return tuple(
        Period(context.periods.label(i), whole[i], value, context.periods.edges[i] in began)
        for i, value in enumerate(_shown(calls, known.missing))
    )


def _by_label(columns: Columns) -> dict[Any, Columns]:
    """Return rows by (service, operation), and the whole's under None."""
    if not columns.rows:
        return {}
    whole = columns["whole"] == 1
    found: dict[Any, Columns] = dict(parts(columns.chosen(~whole), "service", "operation"))
    return found | {None: columns.chosen(whole)}


REPORT = Report(
    question="What grows, what declines, how fast, and when did it begin?",
    params=SteppedParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "trend",
            "calls",
            "calls_series",
            "change_rate",
            "velocity",
            "velocity_p_value",
            "unique_users",
            "retention_rate",
        ),
        "changes": ("service", "operation", "metric", "kind", "began_at", "before", "after"),
    },
    charts=(
        Timeline(
            title="Calls over time", table="timeline", x="period", y=("calls",), marks="changed"
        ),
        Bars(title="Growth by operation", category="operation", value="growth_rate"),
    ),
    reduce=reduce,
    asks=asks,
    borrows=("usage.usage", "usage.before", "performance.moments"),
    on_request=("before", ARRIVALS),
    firsts=True,
    by_days=("usage", "before", "moments", "people"),
)
