"""Stretches of one array: what is done within each of many groups that lie one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Stretches:
    """Stretches of arrays, none of them empty; `last` are the positions of their last elements."""

    def __init__(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> None:
        self._starts, self._stops, self.last = starts, stops, stops - 1
        self._slices = [*map(slice, starts.tolist(), stops.tolist())]

    def chosen(self, numbers: NDArray[np.int64]) -> Stretches:
        """Return some of the stretches, by their numbers."""
        return Stretches(self._starts[numbers], self._stops[numbers])

    def cumulated(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums from the first to each element of a stretch; 0 outside of all.

        Each stretch is added up by itself: as differences of sums over all of them they would lose digits.
        """
        found = np.zeros(len(values))
        for part in self._slices:
            np.add.accumulate(values[part], out=found[part])
        return found

    def searched(
        self,
        ascending: NDArray[np.float64],
        wanted: NDArray[np.float64],
        side: Literal["left", "right"],
    ) -> NDArray[np.int64]:
        """Return where the numbers `wanted`, a row for each stretch, belong in it, as `numpy.searchsorted` does."""
        found = np.empty(wanted.shape, np.int64)
        for row, part in enumerate(self._slices):
            found[row] = ascending[part].searchsorted(wanted[row], side)
        return found + self._starts[:, None]
