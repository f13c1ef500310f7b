"""Sources: how each source or endpoint performs, how far it can be relied on, what it moves (REQ-PERF-08, REQ-CAP-17).

A source is an operation of a service, or, with `by`, a value of that dimension: `by=source`, `by=endpoint`. One that
was used before the window and not in it stays in the answer, marked `deprecated` (REQ-CAP-25).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt

from headgate.queries.charts import Bars, Scatter, Share
from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Ask, Context, Params, Reduced, Report
from headgate.queries.durations import Usual, durations, each_durations
from headgate.queries.estimate import Estimate, at_least, exactly, total
from headgate.queries.outcomes import Rated, calls_of, error_rate, rated, verdict, with_outcome
from headgate.queries.params import extended
from headgate.queries.significance import effective, wilson_low
from headgate.queries.spread import by_operation
from headgate.queries.window import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHOWN_CODES = 3
MOST_LABEL_CHARACTERS = 16_384
_NOTHING = Columns({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceParams(Params):
    """How far to look back for sources that are no longer used."""

    lookback_days: Annotated[
        float, "days before the window in which a source may have been used", Gt(0)
    ] = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _EarlierParams(SourceParams):
    """The sources that are known to be in use, whose earlier uses need not be read."""

    used_services: list[str]
    used_operations: list[str]


@dataclass(frozen=True, slots=True)
class Source(Rated, Usual):
    """How it answers; the same numbers for one source and for all."""

    failure_count: Annotated[Estimate, "calls that failed, timeouts included"]
    timeout_count: Annotated[Estimate, "calls that failed by taking too long"]
    transferred_bytes: Annotated[
        Estimate, "bodies of requests and responses (`http.*.body.size`), of calls that say"
    ]
    bytes_per_call: Annotated[float | None, "mean of those; null where no call says"]
    unique_domains: Annotated[Estimate, "distinct `server.address` (else `url.domain`)"]
    client_errors: Annotated[Estimate, "calls answered with HTTP 4xx"]
    server_errors: Annotated[Estimate, "calls answered with HTTP 5xx"]
    verdict: Annotated[str, "`ok`, `alert` when error_rate > 0.20, `no calls`"]
    speed: Annotated[str, "the verdict of `performance` on its durations"]


@dataclass(frozen=True, slots=True)
class Row(Source):
    """One source."""

    service: Annotated[str, "service.name"]
    operation: Annotated[str, "the source: span or event name, or the value of `by`"]
    state: Annotated[
        str,
        "`active`, or `deprecated`: used in the `lookback_days` before the window and not in it, or"
        " its calls say so (`headgate.deprecated` = true)",
    ]
    share: Annotated[float, "its share of all calls"]
    proved_rate: Annotated[
        float, "success rate that is proved: the lower end of Wilson's 95 % interval"
    ]
    last_used_at: Annotated[datetime | None, "last use in the window or before it"]
    codes: Annotated[tuple[str, ...], "its most frequent HTTP status codes and their shares"]


@dataclass(frozen=True, slots=True)
class Code:
    """One HTTP status code."""

    code: Annotated[str, "`http.response.status_code`"]
    calls: Annotated[Estimate, "uses answered so"]
    share: Annotated[float, "share of all uses"]


@dataclass(frozen=True, slots=True)
class Summary(Source):
    """Everything in the window together."""

    active: Annotated[int, "sources in use"]
    deprecated: Annotated[int, "sources that no longer are, or that say so"]
    codes: Annotated[tuple[Code, ...], "every HTTP status code, the most frequent first"]


def asks(params: SourceParams, window: Window) -> Mapping[str, Ask]:
    """Ask which sources were used before the window, of those that were not in it."""
    since = max(window.since - timedelta(days=params.lookback_days), EPOCH)

    def unused(columns: Mapping[str, Columns]) -> Params:
        labels = [label for label, _ in parts(columns["outcomes"], "service", "operation")]
        if sum(map(len, itertools.chain(*labels))) > MOST_LABEL_CHARACTERS:
            labels = []  # they only spare reading, and a server takes no longer parameters
        return extended(
            _EarlierParams,
            params,
            used_services=[service for service, _ in labels],
            used_operations=[operation for _, operation in labels],
        )

    earlier = Window(since, window.since)
    return {"earlier": Ask(earlier, params, ("earlier",), quiet=True, given=unused)}


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Bring together how each source answered; rows by calls, those no longer used last."""
    del context
    outcomes, moments = columns["outcomes"], columns["moments"]
    answered, moments_of = (
        dict(parts(columns[name], "service", "operation")) for name in ("answers", "moments")
    )
    buckets = by_operation(columns["buckets"])
    seen = {  # queries in order of time: the latest that knows the source says
        label: int(part["last_ns"].max())
        for query in ("earlier.earlier", "seen", "answers")
        for label, part in parts(columns[query], "service", "operation")
    }
    domains = _domains(columns["domains"])
    every = outcomes.sum("calls")
    rows = []
    used = dict(parts(outcomes, "service", "operation"))
    labels = sorted(used.keys() | seen.keys())
    timed = [(moments_of.get(label, _NOTHING), buckets.get(label, _NOTHING)) for label in labels]
    for label, spent in zip(labels, each_durations(timed), strict=True):
        part, answers = used.get(label, _NOTHING), answered.get(label, _NOTHING)
        retired = not part.rows or bool(answers["deprecated"].any())
        rows.append(
            Row(
                service=label[0],
                operation=label[1],
                state="deprecated" if retired else "active",
                share=round(part.sum("calls") / every, 4) if every else 0.0,
                proved_rate=_proved(part),
                last_used_at=EPOCH + timedelta(microseconds=seen[label] // 1000)
                if label in seen
                else None,
                codes=_shown(_codes(answers, part.sum("calls"))),
                **_source(part, spent, answers, domains.get(label)),
            )
        )
    rows.sort(key=lambda row: (-row.calls.value, row.service, row.operation))
    retired_count = sum(row.state == "deprecated" for row in rows)
    summary = Summary(
        active=len(rows) - retired_count,
        deprecated=retired_count,
        codes=_codes(columns["answers"], every),
        **_source(
            outcomes,
            durations(moments, columns["buckets"]),
            columns["answers"],
            domains.get(None),
        ),
    )
    return Reduced(summary, tuple(rows))


def _source(
    outcomes: Columns,
    timed: Mapping[str, Any],
    answers: Columns,
    domains: Estimate | None,
) -> dict[str, Any]:
    sized = answers.sum("sized")
    return {
        **rated(outcomes),
        "failure_count": calls_of(with_outcome(outcomes, "error", "timeout")),
        "timeout_count": calls_of(with_outcome(outcomes, "timeout")),
        **{field.name: timed[field.name] for field in fields(Usual)},
        "transferred_bytes": total(answers.sum("bytes"), answers.sum("bytes_variance")).rounded(0),
        "bytes_per_call": round(answers.sum("bytes") / sized, 2) if sized else None,
        "unique_domains": domains or exactly(0),
        "client_errors": _of_class(answers, "4"),
        "server_errors": _of_class(answers, "5"),
        "verdict": verdict(error_rate(outcomes)),
        "speed": timed["verdict"],
    }


def _of_class(answers: Columns, first: str) -> Estimate:
    codes = answers["code"].tolist()
    wanted = [len(code) == 3 and code.startswith(first) for code in codes]
    return calls_of(answers.chosen(np.array(wanted, bool)))


def _proved(outcomes: Columns) -> float:
    calls = outcomes.sum("calls")
    if not calls:
        return 0.0
    size = float(effective(calls, outcomes.sum("variance") + calls))
    return round(
        float(wilson_low(with_outcome(outcomes, "ok").sum("calls") / calls * size, size)), 4
    )


def _codes(answers: Columns, calls: float) -> tuple[Code, ...]:
    found = [
        Code(code, calls_of(part), round(min(part.sum("calls") / calls, 1.0), 4))
        for (code,), part in parts(answers, "code")
        if code and calls
    ]
    return tuple(sorted(found, key=lambda code: (-code.calls.value, code.code)))


def _shown(codes: tuple[Code, ...]) -> tuple[str, ...]:
    return tuple(f"{code.code} {code.share:.1%}" for code in codes[:SHOWN_CODES])


def _domains(columns: Columns) -> dict[Any, Estimate]:
    """Return distinct domains by (service, operation), and the whole's under None."""
    if not columns.rows:
        return {}
    bound = at_least if columns["weight"].max() > 1 else exactly
    rows = zip(
        *(columns[name].tolist() for name in ("service", "operation", "whole", "domains")),
        strict=True,
    )
    return {None if whole else (s, o): bound(float(n)) for s, o, whole, n in rows}


REPORT = Report(
    question="How does each source or endpoint perform, how reliable is it, and what does it move?",
    params=SourceParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "service",
            "operation",
            "state",
            "calls",
            "success_rate",
            "p50_ms",
            "p95_ms",
            "transferred_bytes",
            "unique_domains",
            "codes",
        ),
        "codes": ("code", "calls", "share"),
    },
    charts=(
        Bars(title="Calls by source", category="operation", value="calls", color="verdict"),
        Scatter(
            title="Speed and reliability",
            x="p95_ms",
            y="success_rate",
            label="operation",
            size="calls",
        ),
        Share(title="HTTP status codes", table="codes", category="code", value="calls"),
    ),
    reduce=reduce,
    asks=asks,
    on_request=("earlier",),
    borrows=("context.outcomes", "performance.moments", "performance.buckets"),
)
