"""How calls ended: the counts and rates of outcomes that several reports share (REQ-SUC-01 to -03, REQ-ALRT-04).

Columns hold a row for each outcome (and whatever else they were grouped by): `outcome`, `arrivals`, `calls`,
`variance` (see `headgate.queries.estimate`). Every rate has the number of calls as its denominator (PIT-R0-01).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.queries.estimate import Estimate, count, rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.queries.columns import Columns

WARN_BELOW_SUCCESS_RATE = 0.80
ARCHIVE_AFTER_HOURS = 168


def calls_of(outcomes: Columns) -> Estimate:
    """Return the number of calls."""
    return count(outcomes.sum("calls"), outcomes.sum("variance"), outcomes.sum("arrivals"))


def with_outcome(outcomes: Columns, *wanted: str) -> Columns:
    """Return the rows with one of the outcomes."""
    return outcomes.chosen(np.isin(outcomes["outcome"].astype(str), wanted))


def success_rate(outcomes: Columns) -> Estimate | None:
    """Return the share of calls that ended well, None without calls."""
    return _share(outcomes, with_outcome(outcomes, "ok"))


def error_rate(outcomes: Columns) -> Estimate | None:
    """Return the share of calls that failed, timeouts included; None without calls."""
    return _share(outcomes, with_outcome(outcomes, "error", "timeout"))


def _share(outcomes: Columns, part: Columns) -> Estimate | None:
    calls = outcomes.sum("calls")
    if not calls:
        return None
    variance = part.sum("variance")
    rest = max(outcomes.sum("variance") - variance, 0.0)
    return rate(part.sum("calls"), calls, variance, rest).rounded(4)


def series(
    columns: Columns, position: NDArray[np.int64], length: int, name: str = "calls"
) -> NDArray[np.float64]:
    """Return a column added up by position, float64 [length]."""
    return np.bincount(position, columns[name].astype(np.float64), length).astype(np.float64)
