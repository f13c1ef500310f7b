"""Summary: one page over all: key numbers against the window before, what fails, what is slow (REQ-ALRT-04)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from headgate.queries.charts import Bars, Gauge, Timeline
from headgate.queries.columns import Columns, parts
from headgate.queries.coverage import ARRIVALS, BORROWED, anyone, coverage, from_first
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.durations import EXCELLENT_BELOW_MS, mean_ms
from headgate.queries.estimate import Estimate, at_least, exactly
from headgate.queries.outcomes import (
    ARCHIVE_AFTER_HOURS,
    WARN_BELOW_SUCCESS_RATE,
    calls_of,
    error_rate,
    success_rate,
    with_outcome,
)
from headgate.queries.reports.summary.records import (
    Failing,
    NewError,
    Number,
    Period,
    Row,
    Slow,
    Summary,
    SummaryParams,
)
from headgate.queries.significance import effective, wilson_low
from headgate.queries.spread import by_operation, p95_ms
from headgate.queries.uncertain import counted, variance_of
from headgate.queries.window import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEALTHY = "healthy"
_NOTHING = Columns({})


def asks(params: SummaryParams, window: Window) -> Mapping[str, Ask]:
    """Ask for the key numbers of the window before."""
    queries = ("outcomes", "moments", "buckets", "users")
    return {"previous": Ask(window.before, params, queries), **anyone(params, window)}


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Bring the other reports' numbers onto one page; rows by calls, most first."""
    usage, params = columns["usage"], context.params
    by_label = {
        name: dict(parts(columns[name], "service", "operation"))
        for name in ("moments", "previous.outcomes")
    }
    by_label["buckets"] = by_operation(columns["buckets"])
    used = dict(parts(usage, "service", "operation"))
    known = [{name: by_label[name].get(label, _NOTHING) for name in by_label} for label in used]
    p95s = p95_ms([(found["moments"], found["buckets"]) for found in known])
    users = _users(columns["users"], exact=not usage.sum("variance"))
    rows, failing, slow = [], [], []
    for (label, part), found, p95 in zip(used.items(), known, p95s, strict=True):
        row = _row(label, part, found, p95, users.get(label, exactly(0)), context)
        rows.append(row)
        failures = calls_of(with_outcome(part, "error", "timeout"))
        if failures.value:
            failing.append(Failing(row.service, row.operation, row.success_rate, failures))
        if row.p95_ms is not None:
            slow.append(Slow(row.service, row.operation, row.p95_ms, counted(found["moments"])))
    rows.sort(key=lambda row: (-row.calls.value, row.service, row.operation))
    failing.sort(key=lambda f: (_value(f.success_rate), f.service, f.operation))
    slow.sort(key=lambda s: (-_value(s.p95_ms), s.service, s.operation))
    healthy = sum(row.verdict == HEALTHY for row in rows)
    summary = Summary(
        calls=calls_of(usage),
        success_rate=success_rate(usage),
        services=len({row.service for row in rows}),
        operations=len(rows),
        healthy=healthy,
        unhealthy=len(rows) - healthy,
        numbers=_numbers(columns, users, context) if rows else (),
        failing=tuple(failing[: params.shortlist]),
        slowest=tuple(slow[: params.shortlist]),
        newest_errors=_newest(columns["failures"], params.shortlist),
        timeline=_timeline(columns, context) if rows else (),
    )
    return Reduced(summary, tuple(rows[: params.limit]))


def verdict(success: float | None, p95_ms: float | None, hours_since_last_use: float) -> str:
    """Return the health of an operation as words (REQ-ALRT-04)."""
    words = []
    if success is not None and success < WARN_BELOW_SUCCESS_RATE:
        words.append("failing")
    if p95_ms is not None and p95_ms > EXCELLENT_BELOW_MS:
        words.append("slow")
    if hours_since_last_use > ARCHIVE_AFTER_HOURS:
        words.append("archive candidate")
    return ", ".join(words) or HEALTHY


def _row(
    label: tuple[str, str],
    usage: Columns,
    found: Mapping[str, Columns],
    p95: Estimate | None,
    users: Estimate,
    context: Context,
) -> Row:
    calls, before = calls_of(usage), found["previous.outcomes"].sum("calls")
    rate = success_rate(usage)
    last = EPOCH + timedelta(microseconds=int(usage["last_ns"].max()) // 1000)
    hours = (context.now - last) / timedelta(hours=1)
    return Row(
        service=label[0],
        operation=label[1],
        verdict=verdict(
            None if rate is None else rate.value, None if p95 is None else p95.value, hours
        ),
        calls=calls,
        change_rate=context.change_rate(calls.value, before, "previous", label),
        calls_series=from_first(_per_period(usage, context), context, label),
        success_rate=rate,
        error_rate=None if rate is None else round(1 - rate.value, 4),
        reliability=None if rate is None else _proved(usage, rate.value),
        mean_ms=mean_ms(found["moments"]),
        p95_ms=p95,
        unique_users=users,
    )


def _numbers(
    columns: Mapping[str, Columns], users: Mapping[Any, Estimate], context: Context
) -> tuple[Number, ...]:
    earlier = {name: columns[f"previous.{name}"] for name in ("outcomes", "moments", "buckets")}
    before = _users(columns["previous.users"], exact=not earlier["outcomes"].sum("variance"))
    now = {name: columns[name] for name in ("moments", "buckets")}
    usage, outcomes = columns["usage"], earlier["outcomes"]
    p95, p95_before = p95_ms([(side["moments"], side["buckets"]) for side in (now, earlier)])
    found = (
        ("calls", calls_of(usage), calls_of(outcomes)),
        ("unique_users", users.get(None, exactly(0)), before.get(None, exactly(0))),
        ("error_rate", error_rate(usage), error_rate(outcomes)),
        ("mean_ms", mean_ms(now["moments"]), mean_ms(earlier["moments"])),
        ("p95_ms", p95, p95_before),
    )
    return tuple(
        Number(
            name,
            value,
            was,
            None if value is None or was is None else _change(name, value, was, context),
        )
        for name, value, was in found
    )


def _change(name: str, value: Estimate, was: Estimate, context: Context) -> float | None:
    """Return how much a number changed; only calls are more for a longer window."""
    if name == "calls":
        return context.change_rate(value.value, was.value, "previous")
    if not was.value or not context.compares("previous"):
        return None
    return round(value.value / was.value - 1, 4)


def _value(estimate: Estimate | None) -> float:
    return 0.0 if estimate is None else estimate.value


def _proved(usage: Columns, rate: float) -> float:
    calls = usage.sum("calls")
    # Rows of weight w tell less than w rows would: sum w^2 = sum w (w - 1) + sum w.
    size = float(effective(calls, variance_of(usage) + calls))
    return round(float(wilson_low(rate * size, size)), 4)


def _users(users: Columns, *, exact: bool) -> dict[Any, Estimate]:
    """Return distinct users by (service, operation), and the whole's under None."""
    rows = zip(
        *(users[name].tolist() for name in ("service", "operation", "whole", "users")), strict=True
    )
    bound = exactly if exact else at_least
    return {None if whole else (s, o): bound(float(n)) for s, o, whole, n in rows}


def _newest(failures: Columns, limit: int) -> tuple[NewError, ...]:
    found = []
    for (key,), part in parts(failures, "fingerprint"):
        texts = (part["last_ns"], part["error_type"], part["message"])
        # Equal instants are told apart by the text, so that the order of rows does not matter.
        latest = max(zip(*(column.tolist() for column in texts), strict=True))
        first = EPOCH + timedelta(microseconds=int(part["first_ns"].min()) // 1000)
        found.append(
            NewError(f"{int(key):016x}", latest[1], latest[2], counted(part, "failures"), first)
        )
    found.sort(key=lambda error: error.fingerprint)
    return tuple(sorted(found, key=lambda error: error.first_seen_at, reverse=True)[:limit])


def _per_period(columns: Columns, context: Context) -> Any:
    position = context.periods.index(columns["period_s"].astype(np.int64))
    return np.bincount(position, columns["calls"], len(context.periods)).astype(np.float64)


def _timeline(columns: Mapping[str, Columns], context: Context) -> tuple[Period, ...]:
    usage = columns["usage"]
    calls = _per_period(usage, context)
    failures = _per_period(with_outcome(usage, "error", "timeout"), context)
    known = coverage(columns, context, calls)
    whole, gone = known.whole.tolist(), known.missing.tolist()
    return tuple(
        Period(
            context.periods.label(number),
            whole[number],
            *((None, None) if gone[number] else both),
        )
        for number, both in enumerate(zip(calls.tolist(), failures.tolist(), strict=True))
    )


REPORT = Report(
    question="How is it going: what is used, what fails, what is slow, what is new?",
    params=SummaryParams,
    summary=Summary,
    row=Row,
    tables={
        "numbers": ("metric", "value", "before", "change_rate"),
        "rows": (
            "service",
            "operation",
            "verdict",
            "calls",
            "change_rate",
            "calls_series",
            "success_rate",
            "p95_ms",
            "unique_users",
        ),
        "failing": ("service", "operation", "success_rate", "failure_count"),
        "slowest": ("service", "operation", "p95_ms", "calls"),
        "newest_errors": ("error_type", "message", "count", "first_seen_at"),
    },
    charts=(
        Gauge(
            title="Success rate",
            value="success_rate",
            low=0,
            high=1,
            bands=((WARN_BELOW_SUCCESS_RATE, "low"), (0.95, "attention"), (1, "good")),
        ),
        Timeline(title="Calls and failures", table="timeline", x="period", y=("calls", "failures")),
        Bars(title="What is used most", category="operation", value="calls", color="verdict"),
        Bars(title="How long it takes on average", category="operation", value="mean_ms", log=True),
        Bars(title="How often it fails", category="operation", value="error_rate"),
        Bars(
            title="How reliable it is, as far as its calls prove",
            category="operation",
            value="reliability",
            domain=(0.0, 1.0),
        ),
        Bars(title="What is slowest", table="slowest", category="operation", value="p95_ms"),
    ),
    reduce=reduce,
    asks=asks,
    borrows=(
        "usage.usage",
        "usage.users",
        "performance.moments",
        "performance.buckets",
        "errors.failures",
        "context.outcomes",
        BORROWED,
    ),
    on_request=("outcomes", ARRIVALS),
    firsts=True,
)
