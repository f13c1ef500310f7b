"""How often calls end well: of all, of each day, of each operation, and which operation can be relied on most."""

from collections.abc import Mapping, Sequence

import numpy as np

from headgate.queries.columns import Columns, parts
from headgate.queries.coverage import Coverage, coverage
from headgate.queries.declaration import Context
from headgate.queries.estimate import Estimate
from headgate.queries.outcomes import ALERT_ABOVE_ERROR_RATE, success, verdict
from headgate.queries.reports.errors.records import Day, Reliability
from headgate.queries.significance import effective, wilson_low
from headgate.queries.uncertain import variance_of

LEAST_FAILURES = 5


def unreliable(ranking: Sequence[Reliability]) -> list[Reliability]:
    """Return the operations that fail more often than calls may, and not only a few times; the worst first."""
    return [
        entry
        for entry in reversed(ranking)
        if entry.error_rate is not None
        and entry.error_rate.value > ALERT_ABOVE_ERROR_RATE
        and entry.failure_count.value >= LEAST_FAILURES
    ]


def overall(error_rate: Estimate | None, ranking: Sequence[Reliability]) -> str:
    """Return the verdict on everything: what is well on the whole may hide an operation that is not."""
    found = verdict(error_rate)
    return "attention" if found == "ok" and unreliable(ranking) else found


def days(columns: Mapping[str, Columns], context: Context) -> tuple[Day, ...]:
    """Return the days of the window: those without calls too, but not those without any record of anything."""
    outcomes = columns["outcomes"]
    if not outcomes.rows:
        return ()
    known = {int(number): part for (number,), part in parts(numbered(outcomes, context), "period")}
    recorded = covered(columns, context)
    return tuple(
        Day(
            date=context.periods.label(number),
            whole=bool(recorded.whole[number]),
            **success(known.get(number, Columns({}))),
        )
        for number in np.flatnonzero(~recorded.missing).tolist()
    )


def covered(columns: Mapping[str, Columns], context: Context) -> Coverage:
    """Return how much was recorded of each day."""
    outcomes = columns["outcomes"]
    position = context.periods.index(outcomes["period_s"].astype(np.int64))
    return coverage(
        columns, context, np.bincount(position, outcomes["calls"], len(context.periods))
    )


def numbered(columns: Columns, context: Context) -> Columns:
    """Return columns with the number of each row's period."""
    if not columns.rows:
        return columns
    return columns.replaced("period", context.periods.index(columns["period_s"].astype("int64")))


def reliability(outcomes: Columns) -> tuple[Reliability, ...]:
    """Rank operations by the success rate that their calls prove (REQ-ERR-03, PIT-R0-01)."""
    found = []
    for label, part in parts(outcomes, "service", "operation"):
        calls = part.sum("calls")
        # Rows of weight w tell less than w rows would: sum w^2 = sum w (w - 1) + sum w.
        size = float(effective(calls, variance_of(part) + calls))
        share = part.chosen(part["outcome"] == "ok").sum("calls") / calls
        found.append((round(float(wilson_low(share * size, size)), 6), label, part))
    found.sort(key=lambda entry: (-entry[0], -entry[2].sum("calls"), entry[1]))
    scores = [entry[0] for entry in found]
    ranked = []
    for score, (service, operation), part in found:
        numbers = success(part)
        ranked.append(
            Reliability(
                rank=1 + scores.index(score),
                service=service,
                operation=operation,
                proved_rate=round(score, 4),
                verdict=verdict(numbers["error_rate"]),
                **numbers,
            )
        )
    return tuple(ranked)
