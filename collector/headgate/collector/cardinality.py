"""Names are counted one by one within limits; what comes after them in an hour is counted as `__other__`.

A name that has a place keeps it to the end of the next hour after it was last used, so that a flood of new names crowds
out none that are known. Of new names, those with most calls in the segment come first. Raw rows keep their names.

What was refused is in the segment's plan: a repeat refuses the same. The names that have places go with the sampler's
states from segment to segment, across restarts, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

OTHER = b"__other__"
MOST = 100_000
"""Names that have places, all together: a bound on memory and on the size of a plan."""

_ROW = np.dtype([("key", "<u8"), ("parent", "<u8"), ("hour", "<i4")])


@dataclass(frozen=True, slots=True)
class Names:
    """The names that have places, as hashes in ascending order of `key`; `parent` is among whose names each counts.

    `hour` is when each was last used, in hours since 1970.
    """

    key: NDArray[np.uint64]
    parent: NDArray[np.uint64]
    hour: NDArray[np.int32]

    @classmethod
    def none(cls) -> Names:
        """Return no names."""
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int32))

    def since(self, hour: int) -> Names:
        """Return those that were used in `hour` or later."""
        kept = self.hour >= hour
        return Names(self.key[kept], self.parent[kept], self.hour[kept])

    def to_bytes(self) -> bytes:
        """Return the names as bytes, 20 each."""
        rows = np.empty(self.key.size, _ROW)
        rows["key"], rows["parent"], rows["hour"] = self.key, self.parent, self.hour
        return rows.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Names:
        """Read names back; raises ValueError."""
        rows = np.frombuffer(data, _ROW)
        return cls(
            rows["key"].astype(np.uint64),
            rows["parent"].astype(np.uint64),
            rows["hour"].astype(np.int32),
        )


class Guard:
    """Judges the names of one part of a segment; `names` are those that have places after it."""

    def __init__(
        self, names: Names, hour: int, refused: NDArray[np.uint64] | None = None, most: int = MOST
    ) -> None:
        """Begin with the names of before; `refused` is what the plan has refused, None where there is no plan yet."""
        self._planned = refused
        self._hour = hour
        self._most = most
        self._refused: list[NDArray[np.uint64]] = []
        self.names = names.since(hour - 1)

    @property
    def refused(self) -> NDArray[np.uint64]:
        """The hashes of the names that were refused, in ascending order."""
        if self._planned is not None:
            return self._planned
        return np.unique(np.concatenate([np.empty(0, np.uint64), *self._refused]))

    def judge(
        self,
        key: NDArray[np.uint64],
        parent: NDArray[np.uint64],
        count: NDArray[Any],
        limit: int,
    ) -> NDArray[np.bool_]:
        """Return which of some different names are refused; each counts among its parent's, of which `limit` are taken.

        `key` and `parent` are hashes, `count` are the calls of each name.
        """
        if self._planned is not None:
            return np.isin(key, self._planned)
        place = np.searchsorted(self.names.key, key)
        known = np.zeros(key.size, bool)
        inside = place < self.names.key.size
        known[inside] = self.names.key[place[inside]] == key[inside]
        self.names.hour[place[known]] = self._hour
        new = np.flatnonzero(~known)
        new = new[np.lexsort((key[new], -count[new].astype(np.int64), parent[new]))]
        admitted = new[self._has_room(parent[new], limit)]
        self._add(key[admitted], parent[admitted])
        refused = ~known
        refused[admitted] = False
        self._refused.append(key[refused])
        return refused

    def _has_room(self, parent: NDArray[np.uint64], limit: int) -> NDArray[np.bool_]:
        """Return which new names are taken, given whose they are, each parent's together and the best first."""
        starts = np.flatnonzero(np.concatenate([[True], parent[1:] != parent[:-1]]))[: parent.size]
        size = np.diff(np.append(starts, parent.size))
        rank = np.arange(parent.size) - np.repeat(starts, size)
        parents, taken = np.unique(self.names.parent, return_counts=True)
        place = np.searchsorted(parents, parent)
        there = place < parents.size
        there[there] = parents[place[there]] == parent[there]
        used = np.zeros(parent.size, np.int64)
        used[there] = taken[place[there]]
        fits = used + rank < limit
        fits &= np.cumsum(fits) <= self._most - self.names.key.size
        return fits

    def _add(self, key: NDArray[np.uint64], parent: NDArray[np.uint64]) -> None:
        if not key.size:
            return
        keys = np.concatenate([self.names.key, key])
        order = np.argsort(keys)
        hours = np.concatenate([self.names.hour, np.full(key.size, self._hour, np.int32)])
        parents = np.concatenate([self.names.parent, parent])
        self.names = replace(self.names, key=keys[order], parent=parents[order], hour=hours[order])


def mixed(left: NDArray[np.uint64] | np.uint64, right: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a hash of pairs of hashes; the order matters."""
    # Arrays wrap around silently, as is meant here.
    value = np.atleast_1d(left) * np.uint64(0x9E3779B97F4A7C15) + right
    value ^= value >> np.uint64(32)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    return value ^ (value >> np.uint64(29))
