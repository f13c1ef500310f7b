"""Gaps: periods in which nothing at all was recorded, though something is as good as certain to have happened.

A gap is missing, not zero, and never interpolated (REQ-CAP-24). Nobody can see what was not recorded, so a gap is
told by its improbability: if calls came independently at the typical period's number, an empty period would have a
probability of exp(-number), under one in a thousand million from LEAST_TYPICAL on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_TYPICAL = 21.0


def missing(calls: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which periods are gaps, given the calls of everything in each; those before the first use are none.

    The typical number is the lower quartile of the periods that have calls, so that quiet hours do not count as gaps
    for having busy ones beside them; at least half of the periods since the first use must have calls.
    """
    used = np.flatnonzero(calls > 0)
    if not used.size or np.percentile(calls[used], 25) < LEAST_TYPICAL:
        return np.zeros(calls.size, bool)
    if 2 * used.size < calls.size - used[0]:
        return np.zeros(calls.size, bool)
    found: NDArray[np.bool_] = calls == 0
    found[: used[0]] = False
    return found
