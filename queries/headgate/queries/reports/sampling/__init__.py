"""Sampling: what was kept of what arrived, by which rule, and what that costs in certainty.

Calls that arrived are counted exactly, before sampling; kept rows stand beside them. What the rows say of the calls
(`estimated`) is there to be compared with the count: where one lies outside the other's interval, weights are wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from headgate.queries.charts import Bars, Timeline
from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Context, Reduced, Report, SteppedParams
from headgate.queries.durations import BOUNDED
from headgate.queries.estimate import Estimate, exactly
from headgate.queries.labels import OfOperation
from headgate.queries.outcomes import error_rate
from headgate.queries.spread import p95_ms
from headgate.queries.uncertain import counted, design_effect, draws_of

NOTHING = Columns({})


@dataclass(frozen=True, slots=True)
class Kept:
    """What arrived and what was kept; the same numbers for one stratum and for all."""

    calls: Annotated[
        Estimate,
        "timed uses that arrived; estimated where they were sampled before, or not counted",
    ]
    kept: Annotated[int, "raw rows that were kept of them"]
    kept_share: Annotated[float | None, "kept / arrivals: the probability that came of it"]
    estimated: Annotated[Estimate | None, "calls as the kept rows tell; null without any"]
    least_probability: Annotated[float | None, "that of the kept row least likely to be kept"]
    relative_error: Annotated[float | None, "standard error of `estimated` / `estimated`"]


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Kept):
    """One stratum."""

    outcome: Annotated[str, "`ok`, `error` or `timeout`"]


@dataclass(frozen=True, slots=True)
class Precision(OfOperation):
    """How sure the kept rows of one operation are of what is asked most."""

    kept: Annotated[int, "raw rows"]
    draws: Annotated[float | None, "alike traces that would tell as much; null where all were kept"]
    design_effect: Annotated[
        float, "by how much rows of one trace make the variance larger than rows of their own would"
    ]
    relative_error: Annotated[float | None, "of calls: standard error / number"]
    error_rate: Annotated[Estimate | None, "as the kept rows tell"]
    p95_ms: Annotated[Estimate | None, f"as the kept rows tell; {BOUNDED}"]


@dataclass(frozen=True, slots=True)
class Period:
    """What the sampler did with one signal in one period of arrival."""

    signal: Annotated[str, "`traces`, `logs` or `events`"]
    begins_at: Annotated[datetime, "begin of the period"]
    requests: Annotated[int, "what arrived: entry spans, records, rows"]
    allowed: Annotated[float, "the budget: arrivals times the probability of the law at the time"]
    expected: Annotated[float, "the sum of the probabilities that were given"]
    kept: Annotated[int, "what was kept"]
    busiest_minute: Annotated[float, "most requests in any 60 seconds, by one collector"]
    probability: Annotated[float, "least probability of the law"]
    least_probability: Annotated[float, "least probability given to anything"]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The books of one signal, in items."""

    signal: Annotated[str, "`traces`, `metrics` or `logs`"]
    received: Annotated[int, "what clients sent"]
    stored: Annotated[int, "what is in the store"]
    sampled_out: Annotated[int, "what sampling left out"]
    rejected: Annotated[int, "what was refused or could not be read"]
    duplicate: Annotated[int, "what had been sent before"]
    missing: Annotated[
        int, "received - stored - sampled_out - rejected - duplicate: 0 when it closes"
    ]


@dataclass(frozen=True, slots=True)
class Summary(Kept):
    """Everything in the window together."""

    strata: Annotated[int, "services, operations and outcomes"]
    least_kept_share: Annotated[float | None, "kept_share of the stratum that has the least"]
    design_effect: Annotated[float, "that of the number of all calls"]
    events_people_share: Annotated[
        float, "which share of all people has events in all of the window"
    ]
    low: Annotated[
        float | None, "requests a minute up to which all are kept, latest; of one collector"
    ]
    high: Annotated[float | None, "requests a minute from which `rate` is kept"]
    rate: Annotated[float | None, "the least probability of the law"]
    precision: Annotated[tuple[Precision, ...], "every operation, most calls first"]
    timeline: Annotated[tuple[Period, ...], "every period in which something arrived"]
    ledger: Annotated[tuple[Ledger, ...], "every signal; empty where raw rows answer"]


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Put what was kept beside what arrived; rows by calls, most first."""
    arrived, kept = columns["strata"], columns["kept"]
    labels = ("service", "operation", "outcome")
    beside = dict(parts(kept, *labels))
    every = dict(parts(arrived, *labels))
    rows = [
        Row(
            service=label[0],
            operation=label[1],
            outcome=label[2],
            **_kept(every.get(label, NOTHING), beside.get(label, NOTHING)),
        )
        for label in every.keys() | beside.keys()
    ]
    rows.sort(key=lambda row: (-row.calls.value, row.service, row.operation, row.outcome))
    shares = [row.kept_share for row in rows if row.kept_share is not None]
    summary = Summary(
        **_kept(arrived, kept),
        strata=len(rows),
        least_kept_share=min(shares, default=None),
        design_effect=round(design_effect(kept), 2),
        events_people_share=round(context.people, 6),
        **_law(columns["decisions"]),
        precision=_precision(kept, columns["kept_buckets"]),
        timeline=_timeline(columns["decisions"]),
        ledger=_ledger(columns["ledger"]),
    )
    return Reduced(summary, tuple(rows))


def _kept(arrived: Columns, kept: Columns) -> dict[str, Any]:
    """Return the fields of `Kept`."""
    arrivals, number = arrived.sum("arrivals"), int(kept.sum("arrivals"))
    estimated = counted(kept) if kept.rows else None
    return {
        "calls": counted(arrived) if arrived.rows else exactly(0),
        "kept": number,
        "kept_share": round(number / arrivals, 4) if arrivals else None,
        "estimated": estimated,
        "least_probability": round(1 / float(kept["largest"].max()), 6) if kept.rows else None,
        "relative_error": _relative(estimated),
    }


def _relative(estimate: Estimate | None) -> float | None:
    if estimate is None or estimate.standard_error is None or not estimate.value:
        return None
    return round(estimate.standard_error / estimate.value, 6)


def _precision(kept: Columns, buckets: Columns) -> tuple[Precision, ...]:
    by_label = dict(parts(buckets, "service", "operation"))
    by_operation = dict(parts(kept, "service", "operation"))
    timed = [(part, by_label.get(label, NOTHING)) for label, part in by_operation.items()]
    found = []
    for (label, part), p95 in zip(by_operation.items(), p95_ms(timed), strict=True):
        draws = draws_of(part)
        found.append(
            Precision(
                service=label[0],
                operation=label[1],
                kept=int(part.sum("arrivals")),
                draws=round(draws.effective, 1) if draws and draws.number else None,
                design_effect=round(design_effect(part), 2),
                relative_error=_relative(counted(part)),
                error_rate=error_rate(part),
                p95_ms=p95,
            )
        )
    calls = {label: part.sum("calls") for label, part in by_operation.items()}
    found.sort(key=lambda p: (-calls[p.service, p.operation], p.service, p.operation))
    return tuple(found)


def _law(decisions: Columns) -> dict[str, Any]:
    traces = decisions.chosen(decisions["signal"] == "traces") if decisions.rows else decisions
    if not traces.rows:
        return dict.fromkeys(("low", "high", "rate"))
    latest = int(traces["last_ns"].argmax())
    return {name: float(traces[name][latest]) for name in ("low", "high", "rate")}


def _timeline(decisions: Columns) -> tuple[Period, ...]:
    return tuple(
        Period(
            signal=signal,
            begins_at=datetime.fromtimestamp(int(start), UTC),
            requests=int(part.sum("requests")),
            allowed=float(round(part.sum("allowed"))),
            expected=float(round(part.sum("expected"))),
            kept=int(part.sum("kept")),
            busiest_minute=float(part["busiest"].max()),
            probability=round(float(part["probability"].min()), 6),
            least_probability=round(float(part["least_probability"].min()), 6),
        )
        for (signal, start), part in parts(decisions, "signal", "period_s")
    )


def _ledger(books: Columns) -> tuple[Ledger, ...]:
    names = ("received", "stored", "sampled_out", "rejected", "duplicate")
    found = []
    for (signal,), part in parts(books, "signal"):
        numbers = {name: int(part.sum(name)) for name in names}
        missing = 2 * numbers["received"] - sum(numbers.values())
        found.append(Ledger(signal=signal, missing=missing, **numbers))
    return tuple(found)


REPORT = Report(
    question="What was kept of what arrived, and how sure are numbers from kept rows?",
    params=SteppedParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "outcome",
            "calls",
            "kept",
            "kept_share",
            "estimated",
            "least_probability",
        ),
        "precision": (
            "service",
            "operation",
            "kept",
            "design_effect",
            "relative_error",
            "error_rate",
            "p95_ms",
        ),
        "timeline": (
            "signal",
            "begins_at",
            "requests",
            "allowed",
            "kept",
            "probability",
            "least_probability",
            "busiest_minute",
        ),
        "ledger": (
            "signal",
            "received",
            "stored",
            "sampled_out",
            "rejected",
            "duplicate",
            "missing",
        ),
    },
    charts=(
        Timeline(
            title="Requests that arrived",
            table="timeline",
            x="begins_at",
            y=("requests",),
            series="signal",
        ),
        Timeline(
            title="Requests that the budget allowed to keep",
            table="timeline",
            x="begins_at",
            y=("allowed",),
            series="signal",
        ),
        Timeline(
            title="Probability of being kept",
            table="timeline",
            x="begins_at",
            y=("probability",),
            series="signal",
        ),
        Bars(
            title="Share that was kept", category="operation", value="kept_share", color="outcome"
        ),
        Bars(
            title="Relative error of calls",
            table="precision",
            category="operation",
            value="relative_error",
        ),
    ),
    reduce=reduce,
)
