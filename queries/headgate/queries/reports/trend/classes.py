"""What the numbers of a series are called and how sure they are (REQ-TRD-01 to -07); exact, without periods of time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headgate.queries.changes import slopes

GROWING_ABOVE, DECLINING_BELOW, ABANDONED_FROM = 0.5, -0.5, -2.0
LEAST_PERIODS, TOO_SHORT, NEW = 5, "not enough history", "new"
EMERGING_BELOW_CALLS, ABANDONED_BELOW_CALLS = 10, 5


def trend_type(calls: float, velocity: float, periods: int, *, new: bool = False) -> str:
    """Return the class; tested in this order: abandoned, emerging, growing, declining, stable.

    None of them is said of fewer periods than LEAST_PERIODS; `new` says that there were no records before those.
    """
    if periods < LEAST_PERIODS:
        return NEW if new else TOO_SHORT
    if velocity <= ABANDONED_FROM and calls < ABANDONED_BELOW_CALLS:
        return "abandoned"
    if calls < EMERGING_BELOW_CALLS:
        return "emerging"
    if velocity > GROWING_ABOVE:
        return "growing"
    return "declining" if velocity < DECLINING_BELOW else "stable"


def acceleration(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slope of the second half less that of the first, of each series; a middle period is in the second."""
    half = x.size // 2
    second, _ = slopes(x[half:], y[:, half:])
    first, _ = slopes(x[:half], y[:, :half])
    return second - first


def growth(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the last quarter of the periods against the first, less 1; 1 where the first has none and the last any.

    A quarter has at least one period.
    """
    size = max(y.shape[1] // 4, 1)
    first, last = y[:, :size].sum(axis=1), y[:, -size:].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = last / first - 1
    return np.where(first > 0, share, np.where(last > 0, 1.0, 0.0))


def confidence(calls: float, periods: int) -> float:
    """Return 0.7 min(n / 100, 1) + 0.3 min(periods / 10, 1) (REQ-TRD-07)."""
    return round(0.7 * min(calls / 100, 1) + 0.3 * min(periods / 10, 1), 4)


@dataclass(frozen=True, slots=True)
class Fit:
    """A series over the periods that count: its slope and that slope's p-value, how these change, how much it grew.

    `growth_rate` is None where there is nothing to compare with: what is new, and too short to have a course.
    """

    velocity: float
    p_value: float
    acceleration: float
    growth_rate: float | None
    periods: int


def fits(
    calls: NDArray[np.float64], chosen: NDArray[np.bool_], new: NDArray[np.bool_]
) -> list[Fit]:
    """Fit every series over its chosen periods; both [series, periods], `new` [series] says which have no past."""
    found: list[Fit | None] = [None] * len(calls)
    alike, kind = np.unique(chosen, axis=0, return_inverse=True)
    for number, mask in enumerate(alike):
        members = np.flatnonzero(kind.ravel() == number)
        x, y = np.flatnonzero(mask).astype(np.float64), calls[np.ix_(members, mask)]
        made = (*slopes(x, y), acceleration(x, y), growth(y))
        for member, *values in zip(members.tolist(), *(v.tolist() for v in made), strict=True):
            velocity, p_value, turn, grown = values
            unknown = new[member] and x.size < LEAST_PERIODS
            found[member] = Fit(velocity, p_value, turn, None if unknown else grown, x.size)
    return [fit for fit in found if fit is not None]
