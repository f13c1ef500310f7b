"""All questions of a report: its own and those beside it, several at a time where rollups answer."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from headgate.queries.reading import reads_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from headgate.queries.asking import Asking, Planned
    from headgate.queries.columns import Columns
    from headgate.queries.declaration import Ask
    from headgate.queries.overlap import Answered
    from headgate.queries.source import Source

_FIRSTS = "firsts"


@dataclass(frozen=True, slots=True)
class Answers:
    """What was asked beside the report's own question, by label, and all answers; `source` has what to tell of them.

    The columns of query q of label l are called `l.q`. `firsts` are the times of first records, where they were asked.
    """

    own: Answered
    source: Source
    asks: Mapping[str, Ask]
    beside: Mapping[str, Answered]
    columns: Mapping[str, Columns]
    firsts: Mapping[tuple[str, str], datetime]


def answers(asking: Asking, ask: Ask) -> Answers:
    """Answer a report's own question and what its declaration asks beside it.

    What depends on no other answer and reads counts is begun at once in other threads of the store's, unless the own
    question is answered by raw rows.
    """
    report, params = asking.report.report, ask.params
    main = asking.plan(ask)
    window = main.source.window
    asks = {
        label: beside
        for label, beside in (report.asks(params, window) if report.asks else {}).items()
        if not beside.counted_only or asking.is_dimension(beside.params)
    }
    planned = {label: asking.plan(beside, window) for label, beside in asks.items()}
    calls: dict[str, Callable[[], Any]] = {
        label: partial(asking.answered, plan)
        for label, plan in planned.items()
        if plan.ask.given is None
        and not plan.ask.additive
        and not reads_rows(plan.source, plan.texts.values())
    }
    if report.firsts:
        windows = (window.before, *(plan.source.window for plan in planned.values()))
        calls[_FIRSTS] = partial(asking.firsts, min(w.since for w in windows), params)
    with nullcontext(calls) if main.source.raw else asking.store.aside.begun(calls) as begun:
        own = asking.answered(main)
        columns = dict(own.columns)
        source = asking.told(own.source, params, columns)
        found: dict[str, Answered] = {}
        others = {}
        for label, plan in planned.items():
            if label in begun:
                answer = begun[label]()
            else:
                answer = asking.answered(_given(plan, columns), [own, *found.values()])
            found[label], other = answer, answer.source
            if answer.params.by != params.by:
                other = asking.told(other, answer.params, answer.columns, refuse=False)
            if not plan.ask.quiet:
                others[label] = other
            columns |= {f"{label}.{query}": part for query, part in answer.columns.items()}
        firsts = begun[_FIRSTS]() if report.firsts else {}
    return Answers(own, source.with_notes_of(others), asks, found, columns, firsts)


def _given(plan: Planned, columns: Mapping[str, Columns]) -> Planned:
    """Return a question with the parameters that it takes from the answers there are."""
    if plan.ask.given is None:
        return plan
    return replace(plan, ask=replace(plan.ask, params=plan.ask.given(columns)))
