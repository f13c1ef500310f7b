"""Workflows: what follows what within sessions, and what kinds of sessions there are (REQ-WFL-01 to -05)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from headgate.queries.charts import Bars, Flow, HeatMap, Scatter
from headgate.queries.columns import Columns
from headgate.queries.declaration import Context, Reduced, Report
from headgate.queries.errors import ReportError
from headgate.queries.estimate import Estimate, at_least, count
from headgate.queries.reports.workflows.clusters import clusters
from headgate.queries.reports.workflows.records import Row, Summary, Transition, WorkflowParams
from headgate.queries.reports.workflows.sequences import (
    Patterns,
    Sequences,
    arrange,
    matrix,
    patterns,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MATRIX_STEPS = 15
_MS = 1e6


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Cut uses into sessions and count patterns; rows by length, the most frequent first."""
    params: WorkflowParams = context.params
    if params.longest < params.shortest:
        raise ReportError(
            f"longest {params.longest} is not possible: it is less than shortest, {params.shortest}"
        )
    found = arrange(
        columns["uses"],
        columns["steps"],
        int(params.gap_minutes * 60e9),
        merge_repeats=params.merge_repeats,
    )
    levels = patterns(found, params.shortest, params.longest, params.minimum)
    rows = [row for level in levels for row in _rows(found, level, params.limit)]
    kinds, quality = clusters(found)
    outcomes, uses = columns["outcomes"], columns["anonymous"]
    arrivals = uses.sum("arrivals")
    summary = Summary(
        calls=count(outcomes.sum("calls"), outcomes.sum("variance"), outcomes.sum("arrivals")),
        anonymous_share=round(uses.sum("anonymous") / arrivals, 4) if arrivals else 0.0,
        **_sessions(found),
        patterns=sum(len(level.paths) for level in levels),
        cluster_quality=quality,
        transitions=_transitions(found),
        clusters=kinds,
    )
    return Reduced(summary, tuple(rows))


def _sessions(found: Sequences) -> dict[str, Any]:
    first = found.first
    number = first.size - 1
    told: dict[str, Any] = {"sessions": _estimate(found, number, number)}
    if not number:
        names = "success_rate single_use_rate mean_uses least_uses most_uses mean_duration_ms"
        names += " p50_duration_ms p95_duration_ms most_duration_ms"
        return told | dict.fromkeys(names.split())
    uses = np.diff(first)
    ms = (np.maximum.reduceat(found.end_ns, first[:-1]) - found.time_ns[first[:-1]]) / _MS
    p50, p95 = np.percentile(ms, [50, 95])
    return told | {
        "success_rate": round(float(np.logical_and.reduceat(found.well, first[:-1]).mean()), 4),
        "single_use_rate": round(float((uses == 1).mean()), 4),
        "mean_uses": round(float(uses.mean()), 2),
        "least_uses": int(uses.min()),
        "most_uses": int(uses.max()),
        "mean_duration_ms": round(float(ms.mean()), 3),
        "p50_duration_ms": round(float(p50), 3),
        "p95_duration_ms": round(float(p95), 3),
        "most_duration_ms": round(float(ms.max()), 3),
    }


def _estimate(found: Sequences, number: float, squares: float) -> Estimate:
    """Return a count over the sessions that were read; `squares` is the sum of each session's squared count.

    One session in n is a Bernoulli sample of sessions: variance (n^2 - n) times the sum of squares. Where single uses
    were lost to sampling, what followed what is unknown, and no weight can tell: then it is a lower bound.
    """
    if not found.whole:
        return at_least(number)
    return count(number * found.one_in, (found.one_in**2 - found.one_in) * squares, number)


def _rows(found: Sequences, level: Patterns, limit: int) -> list[Row]:
    chosen, names = _most_frequent(found, level, limit)
    place = np.full(len(level.paths) + 1, -1)
    place[chosen] = np.arange(len(chosen))
    which = place[level.which]
    starts = np.flatnonzero(which >= 0)
    which = which[starts]
    length = level.paths.shape[1]
    n = len(chosen)
    well = sum(np.bincount(which, found.well[starts + i], n) for i in range(length)) / length
    time = np.bincount(which, found.end_ns[starts + length - 1] - found.time_ns[starts], n)
    sessions, squares = _by_session(which, found.session[starts], n)
    first = np.full(n, np.iinfo(np.int64).max)
    last = np.zeros(n, np.int64)
    np.minimum.at(first, which, found.time_ns[starts])
    np.maximum.at(last, which, found.time_ns[starts])
    return [
        Row(
            path=names[j],
            length=length,
            frequency=_estimate(found, int(level.counts[i]), float(squares[j])),
            sessions=_estimate(found, int(sessions[j]), float(sessions[j])),
            success_rate=round(float(well[j] / level.counts[i]), 4),
            mean_ms=round(float(time[j] / level.counts[i] / _MS), 3),
            first_seen_at=_instant(int(first[j])),
            last_seen_at=_instant(int(last[j])),
            next_step=found.labels[level.follower[i]] if level.followed[i] else None,
            next_step_rate=round(int(level.followed[i]) / int(level.counts[i]), 4)
            if level.followed[i]
            else None,
        )
        for j, i in enumerate(chosen)
    ]


def _most_frequent(found: Sequences, level: Patterns, limit: int) -> tuple[list[int], list[str]]:
    """Return the numbers and the names of the most frequent patterns; of equal ones by name."""
    counts = level.counts
    least = np.partition(counts, -limit)[-limit] if counts.size > limit else 0
    named = {
        i: " > ".join(found.labels[step] for step in level.paths[i])
        for i in np.flatnonzero(counts >= least).tolist()
    }
    chosen = sorted(named, key=lambda i: (-int(counts[i]), named[i]))[:limit]
    return chosen, [named[i] for i in chosen]


def _by_session(which: Any, session: Any, n: int) -> tuple[Any, Any]:
    """Return in how many sessions each pattern occurs, and the sum of its squared occurrences in them."""
    # Occurrences come in the order of sessions; sorting small numbers stably is linear and keeps that.
    order = np.argsort(which.astype(np.int16) if n < 2**15 else which, kind="stable")
    owner, of = which[order], session[order]
    starts = np.flatnonzero(
        np.r_[True, (owner[1:] != owner[:-1]) | (of[1:] != of[:-1])][: owner.size]
    )
    times = np.diff(np.append(starts, owner.size)).astype(float)
    return np.bincount(owner[starts], minlength=n), np.bincount(owner[starts], times**2, n)


def _transitions(found: Sequences) -> tuple[Transition, ...]:
    if not found.step.size:
        return ()
    labels, counts, times = matrix(found, MATRIX_STEPS)
    edge = len(labels) - 1
    every = counts.sum(axis=1)
    cells = [
        Transition(
            source="(start)" if i == edge else labels[i],
            target="(end)" if j == edge else labels[j],
            count=float(counts[i, j] * found.one_in),
            share=round(float(counts[i, j] / every[i]), 4),
            mean_gap_ms=None
            if edge in {i, j}
            else round(float(times[i, j] / counts[i, j] / _MS), 3),
        )
        for i, j in zip(*(part.tolist() for part in np.nonzero(counts)), strict=True)
    ]
    return tuple(sorted(cells, key=lambda cell: (cell.source, -cell.count, cell.target)))


def _instant(nanoseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)


REPORT = Report(
    question="What do people do after what, and what kinds of sessions are there?",
    params=WorkflowParams,
    summary=Summary,
    row=Row,
    tables={
        "rows": (
            "path",
            "frequency",
            "sessions",
            "success_rate",
            "mean_ms",
            "next_step",
            "next_step_rate",
        ),
        "transitions": ("source", "target", "count", "share", "mean_gap_ms"),
        "clusters": (
            "name",
            "sessions",
            "share",
            "mean_uses",
            "mean_duration_ms",
            "success_rate",
            "marked_by",
        ),
    },
    reduce=reduce,
    borrows=("errors.outcomes",),
    charts=(
        Flow(
            title="What follows what",
            table="transitions",
            source="source",
            target="target",
            value="count",
        ),
        HeatMap(
            title="Transition matrix",
            table="transitions",
            x="target",
            y="source",
            value="share",
        ),
        Bars(title="Most frequent patterns", category="path", value="frequency", color="length"),
        Scatter(
            title="Frequency and duration of patterns",
            x="frequency",
            y="mean_ms",
            label="path",
            color="length",
            log=True,
        ),
        Bars(title="Kinds of sessions", table="clusters", category="name", value="sessions"),
    ),
)
