"""What a collector knows between two segments: of traces, logs and events, the names it counts, and who it is."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import lz4.block
import numpy as np

from headgate.collector.cardinality import Names
from headgate.collector.sampler import State, Window
from headgate.collector.sampler.window import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = struct.Struct("<4sQ16sIIq")
_MAGIC = b"HGC2"


@dataclass(frozen=True, slots=True)
class States:
    """The sampler after segment number `sequence`; `collector` is 32 hex digits that name it for good."""

    sequence: int
    collector: str
    traces: State
    logs: State
    events: Window
    names: Names

    @classmethod
    def new(cls, new_id: Callable[[], str]) -> States:
        """Return the states before the first segment; `new_id` returns 32 random hex digits."""
        keys = new_id()
        return cls(
            0,
            new_id(),
            State.new(int(keys[:16], 16)),
            State.new(int(keys[16:], 16)),
            Window.empty(),
            Names.none(),
        )

    def after(self, traces: State, logs: State, events: Window) -> States:
        """Return the states after one more segment, but for its names."""
        return replace(self, sequence=self.sequence + 1, traces=traces, logs=logs, events=events)

    def to_bytes(self) -> bytes:
        """Return the states as bytes, from which `from_bytes` makes the same again; at most 4 MB."""
        traces, logs = self.traces.to_bytes(), self.logs.to_bytes()
        sums = self.events.sums.astype("<f8").tobytes()
        header = _HEADER.pack(
            _MAGIC,
            self.sequence,
            bytes.fromhex(self.collector),
            len(traces),
            len(logs),
            self.events.head,
        )
        names = self.names.to_bytes()
        packed: bytes = lz4.block.compress(header + traces + logs + sums + names)
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> States:
        """Read states back; ValueError when these are not the bytes of some."""
        try:
            plain = lz4.block.decompress(data)
            magic, sequence, collector, traces, logs, head = _HEADER.unpack_from(plain)
        except (lz4.block.LZ4BlockError, struct.error) as error:
            raise ValueError(f"These bytes hold no sampler's states: {error}.") from error
        start = _HEADER.size
        ends = (start + traces, start + traces + logs)
        names = ends[1] + 8 * 4 * BUCKETS
        sums = np.frombuffer(plain[ends[1] : names], "<f8").astype(np.float64)
        if magic != _MAGIC or sums.size != 4 * BUCKETS:
            raise ValueError(f"These bytes start with {magic!r}: no sampler's states.")
        return cls(
            sequence,
            collector.hex(),
            State.from_bytes(plain[start : ends[0]]),
            State.from_bytes(plain[ends[0] : ends[1]]),
            Window(head, sums.reshape(BUCKETS, 4)),
            Names.from_bytes(plain[names:]),
        )
