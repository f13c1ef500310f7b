"""How durations are spread: quantiles of many sets of calls at once, from their counts in buckets (REQ-PERF-02)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.queries.columns import Columns, parts
from headgate.queries.estimate import Estimate, Quantiles
from headgate.queries.uncertain import design_effect, draws_of
from headgate.store.histogram import bucket_value_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NS_TO_MS = 1e-6
_NO_CELLS = (np.empty(0), np.empty(0), np.empty(0))


def by_operation(buckets: Columns) -> dict[tuple[Any, ...], Columns]:
    """Return the buckets of each service and operation, ascending, which spares `Spread` from sorting each."""
    return dict(parts(buckets, "service", "operation", ordered="bucket"))


def p95_ms(timed: Sequence[tuple[Columns, Columns]]) -> list[Estimate | None]:
    """Return the 95th percentile of each of many sets of calls, given as to `Spread`."""
    return [found[0] if found else None for found in Spread(timed, (0.95,)).counted()]


class Spread:
    """Quantiles of many sets of calls, each given by its moments and buckets (columns of `performance`).

    `values` are the distinct durations (ns, ascending within a set) that stand for buckets, `calls` and `variance`
    their calls and sums of w (w - 1); set n has those from `bounds[n]` to before `bounds[n + 1]`. No duration lies
    outside what was measured, whatever the width of its bucket.
    """

    def __init__(self, timed: Sequence[tuple[Columns, Columns]], shares: Sequence[float]) -> None:
        self._moments = [moments for moments, _ in timed]
        cells = [_cells(buckets) for _, buckets in timed]
        sizes = [len(index) for index, _, _ in cells]
        self.bounds = [0, *itertools.accumulate(sizes)]
        index, self.calls, self.variance = map(np.concatenate, zip(_NO_CELLS, *cells, strict=True))
        measured = [
            (one["shortest"].min(), one["longest"].max()) if one.rows else (0.0, np.inf)
            for one in self._moments
        ]
        limits = np.repeat(np.reshape(measured, (-1, 2)), sizes, axis=0)
        self.values = np.clip(bucket_value_ns(index), *limits.T)
        self._within = self.variance * np.repeat([*map(design_effect, self._moments)], sizes)
        self._quantiles = Quantiles(self.values, self.calls, self.bounds, shares)

    def counted(self) -> list[list[Estimate] | None]:
        """Return the quantiles of each set, in ms; None where no durations were counted."""
        draws = [draws_of(one) for one in self._moments]
        found = self._quantiles.judged(self._within, draws=draws, unit=_NS_TO_MS)
        return [None if one is None else [e.rounded(6) for e in one] for one in found]

    def sampled(self) -> list[list[Estimate] | None]:
        """Return the same, unrounded, with the errors they have when the calls are a sample of what goes on.

        One of w rows that are independent draws adds w^2 to the variance of a sum: w (w - 1), and w for itself.
        """
        return self._quantiles.judged(self._within + self.calls, unit=_NS_TO_MS)


def _cells(buckets: Columns) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the distinct buckets, ascending, with their calls and variance."""
    index, calls, variance = (buckets[name] for name in ("bucket", "calls", "variance"))
    if (index[1:] > index[:-1]).all():
        return index, calls, variance
    least = int(index.min())
    place = index.astype(np.int64) - least
    held = np.flatnonzero(np.bincount(place))
    calls, variance = (np.bincount(place, part)[held] for part in (calls, variance))
    return held + least, calls, variance
