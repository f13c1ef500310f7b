"""References into a buffer: strings, and where messages lie. What is decoded is never copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Text:
    """Strings as references: `length[i]` bytes from `offset[i]` of some buffer, both int64."""

    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.offset.size)

    def take(self, index: NDArray[Any] | slice) -> Text:
        """Return the strings at `index` (integers, a mask or a slice)."""
        return Text(self.offset[index], self.length[index])


@dataclass(frozen=True, slots=True)
class Ranges:
    """Sub-messages: message i belongs to row `row[i]` and lies in `start[i]`..`end[i]`; rows never decrease."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.row.size)

    def first(self, rows: int) -> NDArray[np.int64]:
        """Return rows + 1 positions: the sub-messages of row r are first[r]..first[r + 1]."""
        return np.searchsorted(self.row, np.arange(rows + 1))
