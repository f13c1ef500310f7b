"""The thresholds given to traces of earlier segments, so that a trace's late spans are treated as its first ones.

Rules that hold here:
- An entry ends a fixed time after it was made, however often it is used: a trace id that is used for ever does not keep
  the probability of its first minute for ever. A lower threshold makes a new entry.
- When there is no room the oldest entries go, in the order in which their traces came. Neither what is remembered
  nor what is evicted depends on R; entries are found by a keyed hash of the id, but never placed or dropped by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel
from headgate.collector.sampler.thresholds import DROP, pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.sampler.traces import Traces

CAPACITY = 65_536
LIFETIME_NS = 30_000_000_000


@kernel
def _recall(
    remembered: NDArray[np.uint64],
    threshold: NDArray[np.int64],
    slots: NDArray[np.int32],
    identity: NDArray[np.uint64],
    least: NDArray[np.int64],
    dropped: NDArray[np.bool_],
) -> None:
    mask = np.uint64(slots.size - 1)
    for i in range(remembered.size):
        slot = remembered[i] & mask
        while True:
            found = i64(slots[i64(slot)])
            if found < 0:
                break
            if identity[found] == remembered[i]:
                least[found] = min(least[found], threshold[i])
                if threshold[i] == DROP:
                    dropped[found] = True
                break
            slot = (slot + np.uint64(1)) & mask


@dataclass(frozen=True, slots=True)
class Memory:
    """Traces (by identity) and their packed thresholds, oldest first; generation g is the next `size[g]` of them.

    A generation is what one segment added; it ends at `end_ns[g]`, in time of arrival.
    """

    end_ns: NDArray[np.int64]
    size: NDArray[np.int64]
    identity: NDArray[np.uint64]
    code: NDArray[np.uint32]

    @classmethod
    def empty(cls) -> Memory:
        """Return a memory of nothing."""
        return cls(
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty(0, np.uint64),
            np.empty(0, np.uint32),
        )

    def at(self, now_ns: int) -> Memory:
        """Return what still holds; an end that a clock set back has moved out of reach is over too."""
        holds = (self.end_ns > now_ns) & (self.end_ns <= now_ns + 2 * LIFETIME_NS)
        if holds.all():
            return self
        entry = np.repeat(holds, self.size)
        return Memory(self.end_ns[holds], self.size[holds], self.identity[entry], self.code[entry])

    def recall(self, traces: Traces) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the least threshold remembered of each trace (DROP: none), and whether a rule had dropped it."""
        least = np.full(len(traces), DROP, np.int64)
        dropped = np.zeros(len(traces), bool)
        _recall(self.identity, unpack(self.code), traces.slots, traces.identity, least, dropped)
        return least, dropped

    def add(
        self, now_ns: int, identity: NDArray[np.uint64], threshold: NDArray[np.int64]
    ) -> Memory:
        """Return the memory with a generation more; of too many traces the first CAPACITY are taken."""
        identity, threshold = identity[:CAPACITY], threshold[:CAPACITY]
        if not identity.size:
            return self
        surplus = max(0, self.identity.size + identity.size - CAPACITY)
        ends = np.cumsum(self.size)
        left = np.clip(ends - surplus, 0, self.size)
        some = left > 0
        return Memory(
            np.append(self.end_ns[some], now_ns + LIFETIME_NS),
            np.append(left[some], identity.size),
            np.concatenate((self.identity[surplus:], identity)),
            np.concatenate((self.code[surplus:], pack(threshold))),
        )
