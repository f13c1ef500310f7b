"""All that the sampler knows from earlier segments, as one value that can be written into a segment's plan."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.sampler.memory import Memory
from headgate.collector.sampler.shares import Counts
from headgate.collector.sampler.window import BUCKETS, Window

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_HEADER = struct.Struct("<4sQqqqqq")
_MAGIC = b"HGS1"


@dataclass(frozen=True, slots=True)
class State:
    """A sampler between two segments, of traces or of logs; `key` is 64 random bits of its own.

    Bounded, however many strata and traces there are: at most 0.92 MB as bytes.
    """

    key: int
    window: Window
    counts: Counts
    memory: Memory

    @classmethod
    def new(cls, key: int) -> State:
        """Return the state before the first segment."""
        return cls(key, Window.empty(), Counts.empty(), Memory.empty())

    def to_bytes(self) -> bytes:
        """Return the state as bytes, from which `from_bytes` makes the same state again."""
        arrays: list[NDArray[Any]] = [
            self.window.sums,
            self.counts.key,
            self.counts.count,
            self.memory.end_ns,
            self.memory.size,
            self.memory.identity,
            self.memory.code,
        ]
        header = _HEADER.pack(
            _MAGIC,
            self.key,
            self.window.head,
            self.counts.time_ns,
            self.counts.key.size,
            self.memory.size.size,
            self.memory.identity.size,
        )
        return b"".join(
            (header, *(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays))
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """Read a state back; ValueError when these are not the bytes of one."""
        try:
            magic, key, head, time_ns, strata, generations, traces = _HEADER.unpack_from(data)
        except struct.error as error:
            raise ValueError("These bytes are too few for a sampler's state.") from error
        if min(strata, generations, traces) < 0:
            raise ValueError("These bytes hold a negative count: no sampler's state.")
        if magic != _MAGIC:
            raise ValueError(f"These bytes start with {magic!r}: no sampler's state.")
        position = _HEADER.size

        def take(kind: DTypeLike, count: int) -> NDArray[Any]:
            nonlocal position
            array = np.frombuffer(data, np.dtype(kind).newbyteorder("<"), count, position)
            position += array.nbytes
            return array.astype(kind)

        sums = take(np.float64, 4 * BUCKETS).reshape(BUCKETS, 4)
        counts = Counts(time_ns, take(np.uint64, strata), take(np.float64, strata))
        memory = Memory(
            take(np.int64, generations),
            take(np.int64, generations),
            take(np.uint64, traces),
            take(np.uint32, traces),
        )
        if position != len(data) or int(memory.size.sum()) != traces:
            raise ValueError("These bytes are not the whole of one sampler's state.")
        return cls(key, Window(head, sums), counts, memory)
