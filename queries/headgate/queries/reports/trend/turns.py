"""When things changed: the change points of calls, failures and durations that chance does not explain (REQ-TRD-09)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from headgate.queries.changes import LEAST_PERIODS, change_point, without_profile
from headgate.queries.declaration import Context
from headgate.queries.labels import OfOperation
from headgate.queries.significance import benjamini_hochberg

FALSE_DISCOVERIES = 0.05
_KINDS = {
    "calls": ("decline", "growth"),
    "error_rate": ("improvement", "degradation"),
    "mean_ms": ("improvement", "degradation"),
}


@dataclass(frozen=True, slots=True)
class Change(OfOperation):
    """A level that changed, by Pettitt's test on periods less their hour of the day or day of the week."""

    metric: Annotated[str, "`calls` of a period, `error_rate` or `mean_ms`"]
    kind: Annotated[str, "`growth`, `decline`, `degradation` or `improvement`"]
    began_at: Annotated[datetime, "start of the first period after the change"]
    before: Annotated[float, "level before"]
    after: Annotated[float, "level since"]
    p_value: Annotated[float, "how probable so clear a change is by chance, if alone"]


@dataclass(frozen=True, slots=True)
class Level:
    """A metric by series and period: `total`, divided by `size` where it is a rate or a mean."""

    metric: str
    total: NDArray[np.float64]
    size: NDArray[np.float64] | None = None


def changes(
    labels: Sequence[tuple[str, str]],
    levels: Sequence[Level],
    chosen: NDArray[np.bool_],
    context: Context,
) -> tuple[Change, ...]:
    """Return the changes in the chosen periods [series, periods], at most one a series and metric, the surest first.

    All series are tested, so the share of false discoveries is bounded (Benjamini and Hochberg 1995).
    """
    slot = _slots(context)
    found = []
    for level in levels:
        for number, label in enumerate(labels):
            known = (
                chosen[number] if level.size is None else chosen[number] & (level.size[number] > 0)
            )
            periods = np.flatnonzero(known)
            if periods.size < LEAST_PERIODS:
                continue
            total = level.total[number, periods]
            size = np.ones(periods.size) if level.size is None else level.size[number, periods]
            change = change_point(without_profile(total / size, slot[periods]))
            if change is not None:
                found.append((label, level.metric, periods, total, size, change))
    surest = benjamini_hochberg([entry[-1].p_value for entry in found])
    kept = [
        _made(*entry, context)
        for entry, q in zip(found, surest, strict=True)
        if q <= FALSE_DISCOVERIES
    ]
    kept = [change for change in kept if change.before != change.after]
    return tuple(sorted(kept, key=lambda c: (c.p_value, c.service, c.operation, c.metric)))


def _slots(context: Context) -> NDArray[np.int64]:
    """Return the slot of each period in the cycle that its step has: hours of a day, days of a week."""
    local = [edge.astimezone(context.zone) for edge in context.periods.edges[:-1]]
    if context.periods.step == "hour":
        return np.array([moment.hour for moment in local], np.int64)
    if context.periods.step == "day":
        return np.array([moment.weekday() for moment in local], np.int64)
    return np.zeros(len(local), np.int64)


def _made(
    label: tuple[str, str],
    metric: str,
    periods: NDArray[np.int64],
    total: NDArray[np.float64],
    size: NDArray[np.float64],
    change: Any,
    context: Context,
) -> Change:
    at = change.begins
    before, after = (
        round(float(total[part].sum() / size[part].sum()), 6)
        for part in (slice(at), slice(at, None))
    )
    return Change(
        service=label[0],
        operation=label[1],
        metric=metric,
        kind=_KINDS[metric][after > before],
        began_at=context.periods.edges[int(periods[at])],
        before=before,
        after=after,
        p_value=round(change.p_value, 9),
    )
