"""What arrived in the last 60 seconds: requests and rows, and by how much more was kept of them than the law allows.

Counted in quarter seconds of arrival time. A segment covers several of them, and is given the largest count that
stood at any of its own arrivals: nothing that arrives after a threshold is crossed sees a count from before.
Counts are of what arrived and surpluses are of what was *expected* to be kept: nothing here depends on the draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUCKET_NS = 250_000_000
BUCKETS = 241  # 60 seconds, and the quarter second that the window begins in
LONGEST = 4 * 6 * 3600  # six hours
_REQUESTS, _ROWS, _REQUESTS_SURPLUS, _ROWS_SURPLUS = range(4)


@dataclass(frozen=True, slots=True)
class Window:
    """Sums [BUCKETS, 4] by quarter second, the last of which is number `head` since the epoch."""

    head: int
    sums: NDArray[np.float64]

    @classmethod
    def empty(cls) -> Window:
        """Return a window in which nothing has arrived."""
        return cls(0, np.zeros((BUCKETS, 4)))

    def observe(
        self, arrival_ns: NDArray[np.int64], request: NDArray[np.bool_], row: NDArray[np.bool_]
    ) -> Observed:
        """Add arrivals, at least one, in any order; the masks say which count as requests and which as rows.

        What seems to have arrived before the segment before it counts as arriving with that one's last. A segment may
        reach over more than the window, when it had to wait: each of its arrivals still counts in its own minute, up
        to LONGEST before the last. A clock that was set back by more than the window takes the window with it. Either
        way, what was counted stays counted.
        """
        bucket = arrival_ns // BUCKET_NS
        last = int(bucket.max())
        if -BUCKETS < last - self.head < 0:
            last = self.head
        moved = max(0, last - self.head)
        reach = min(moved, LONGEST, max(0, last - int(bucket.min())))
        series = np.zeros((BUCKETS + reach, 4))
        known = BUCKETS + reach - moved  # so many buckets of the series are of before
        if known > 0:
            series[:known] = self.sums[BUCKETS - known :]
        place = np.maximum(bucket - last, -reach) + BUCKETS + reach - 1
        peaks = []
        for column, counted in enumerate((request, row)):
            arrived = np.bincount(place[counted], minlength=BUCKETS + reach)
            series[:, column] += arrived
            total = np.cumsum(series[:, column])
            sliding = total.copy()
            sliding[BUCKETS:] -= total[:-BUCKETS]
            peaks.append(float(sliding[arrived > 0].max(initial=0.0)))
        return Observed(Window(last, series[reach:]), peaks[0], peaks[1])

    @property
    def requests_surplus(self) -> float:
        """Return how many requests more than allowed were expected to be kept."""
        return float(self.sums[:, _REQUESTS_SURPLUS].sum())

    @property
    def rows_surplus(self) -> float:
        """Return how many rows more than allowed were expected to be kept."""
        return float(self.sums[:, _ROWS_SURPLUS].sum())

    def charge(self, requests: float, rows: float) -> Window:
        """Return the window with this much more surplus (negative: less) in its last bucket."""
        sums = self.sums.copy()
        sums[-1, _REQUESTS_SURPLUS] += requests
        sums[-1, _ROWS_SURPLUS] += rows
        return Window(self.head, sums)


@dataclass(frozen=True, slots=True)
class Observed:
    """A window after new arrivals, and the largest counts of 60 seconds that stood at any of them."""

    window: Window
    requests: float
    rows: float
