"""How much of each period was recorded: nothing (a gap, see `headgate.queries.gaps`), a part, or all of it.

What tells is what anybody did: a report asks for that beside its own question (`anyone`), so that a question that is
narrowed to something rarely used knows gaps too. A period is whole if it lies within the window and no hour of it is a
gap; what is recorded by the day only cannot tell its hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.queries.declaration import Ask
from headgate.queries.gaps import missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.queries.columns import Columns
    from headgate.queries.declaration import Context, Params
    from headgate.queries.periods import Periods
    from headgate.queries.window import Window

ANYONE, ARRIVALS = "anyone", "arrivals"
BORROWED = f"trend.{ARRIVALS}"
_HOUR_S, _DAY_S = 3600, 86400


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which periods nothing at all was recorded of, and which all of, both bool [periods]."""

    missing: NDArray[np.bool_]
    whole: NDArray[np.bool_]


def anyone(params: Params, window: Window) -> dict[str, Ask]:
    """Return the question what anybody did in the window."""
    everything = replace(params, service=None, operation=None, where={}, by=None)
    return {ANYONE: Ask(window, everything, (ARRIVALS,), quiet=True)}


def coverage(columns: Mapping[str, Columns], context: Context, calls: NDArray[Any]) -> Coverage:
    """Return how much was recorded of each period of an answer, given its own calls in them."""
    periods, arrivals = context.periods, columns[f"{ANYONE}.{ARRIVALS}"]
    everything = calls_of_anyone(arrivals, periods, calls)
    if everything is None:
        return Coverage(np.zeros(len(periods), bool), periods.whole)
    gone = missing(everything)
    return Coverage(gone, periods.whole & ~gone & ~_holed(arrivals, periods))


def calls_of_anyone(
    arrivals: Columns, periods: Periods, calls: NDArray[Any]
) -> NDArray[np.float64] | None:
    """Return what anybody did in each period, given the calls that an answer has in them.

    None where that is not known: nothing was counted, or in other periods than the answer's.
    """
    if not arrivals.rows:
        return None
    starts = arrivals["period_s"].astype(np.int64)
    place = np.searchsorted(periods.edges_s[:-1], starts)
    inside = (place < len(periods)) & (periods.edges_s[np.minimum(place, len(periods))] == starts)
    everything = np.bincount(place[inside], arrivals["calls"][inside], len(periods)).astype(
        np.float64
    )
    return None if ((calls > 0) & (everything == 0)).any() else everything


def from_first(
    calls: NDArray[np.float64], context: Context, label: tuple[str, str]
) -> tuple[float | None, ...]:
    """Return an operation's calls in each period, None before its first record."""
    begun = context.begun(label) | (calls > 0)
    return tuple(n if known else None for n, known in zip(calls.tolist(), begun, strict=True))


def _holed(arrivals: Columns, periods: Periods) -> NDArray[np.bool_]:
    """Return which periods have hours that are gaps; none where hours are not known."""
    found = np.zeros(len(periods), bool)
    if periods.step == "hour" or "hour_s" not in arrivals:
        return found
    hours = arrivals["hour_s"].astype(np.int64)
    if not (hours % _DAY_S).any():
        return found
    first = -int(-periods.window.since.timestamp() // _HOUR_S)
    size = int(periods.window.until.timestamp() // _HOUR_S) - first
    number = hours // _HOUR_S - first
    inside = (number >= 0) & (number < size)
    if size <= 0 or not inside.any():
        return found
    calls = np.bincount(number[inside], arrivals["calls"][inside], size).astype(np.float64)
    begins = (np.flatnonzero(missing(calls)) + first) * _HOUR_S
    for at in (begins, begins + _HOUR_S - 1):  # an hour of UTC may belong to two days
        found[periods.index(at)] = True
    return found
