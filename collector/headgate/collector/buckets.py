"""The histogram bucket of each duration, as `headgate.store.histogram` defines them, by a guess and a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import kernel
from headgate.store.histogram import LARGEST_NS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A double's exponent and first six bits tell its bucket, but for one or two.
_BITS = 6
_SHIFT = 52 - _BITS
_CELLS = np.arange(64 << _BITS, dtype=np.int64) + (1023 << _BITS)
GUESS = np.searchsorted(LARGEST_NS, (_CELLS << _SHIFT).view(np.float64).astype(np.uint64))


@kernel
def bucket_kernel(
    duration_ns: NDArray[np.uint64],
    cell: NDArray[np.int64],
    guess: NDArray[np.int64],
    largest_ns: NDArray[np.uint64],
    out: NDArray[np.int16],
) -> None:
    """Fill `out`; `cell` is the cell of each duration in `guess`, negative for 0."""
    for i in range(duration_ns.size):
        if cell[i] < 0:
            out[i] = -32768  # ZERO_BUCKET
            continue
        place = guess[min(cell[i], guess.size - 1)]
        while place > 0 and largest_ns[place - 1] >= duration_ns[i]:
            place -= 1
        while largest_ns[place] < duration_ns[i]:
            place += 1
        out[i] = place - 1


def bucket_index(duration_ns: NDArray[np.uint64]) -> NDArray[np.int16]:
    """Return the bucket of each duration."""
    cell = (duration_ns.astype(np.float64).view(np.int64) >> _SHIFT) - _CELLS[0]
    out = np.empty(duration_ns.size, np.int16)
    bucket_kernel(duration_ns, cell, GUESS, LARGEST_NS, out)
    return out
