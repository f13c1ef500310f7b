"""What was chosen for a segment, as the bytes that its plan holds: a repeat keeps the same rows by it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.block import Block
from headgate.collector.states import States

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of traces, packed, in order of first appearance; `mark` tells whose they are."""

    packed: NDArray[np.uint32]
    mark: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """Of one part: the thresholds of its traces and logs (None: it has none), that of its events, its history.

    `refused` are the names that are counted as `__other__` (headgate.collector.cardinality).
    """

    traces: Thresholds | None
    logs: Thresholds | None
    events: int
    history: Block | None
    refused: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Of a segment: what was chosen for each of its parts, by name, and the states after it."""

    parts: Mapping[str, Chosen]
    states: States

    def to_bytes(self) -> bytes:
        """Return bytes from which `from_bytes` makes the same."""
        pieces: list[bytes] = []

        def put(data: bytes) -> int:
            pieces.append(data)
            return len(data)

        def put_thresholds(given: Thresholds | None) -> list[int] | None:
            if given is None:
                return None
            return [put(given.packed.astype("<u4").tobytes()), given.mark]

        parts = {
            name: {
                "traces": put_thresholds(part.traces),
                "logs": put_thresholds(part.logs),
                "events": part.events,
                "history": part.history and [put(part.history.data), part.history.rows],
                "refused": put(part.refused.astype("<u8").tobytes()),
            }
            for name, part in self.parts.items()
        }
        header = json.dumps({"parts": parts, "states": put(self.states.to_bytes())}).encode()
        return b"".join((header, b"\n", *pieces))

    @classmethod
    def from_bytes(cls, data: bytes) -> Decisions:
        """Read decisions back; raises ValueError or KeyError when another version wrote them."""
        header, _, rest = data.partition(b"\n")
        written = json.loads(header)
        position = 0

        def take(size: int) -> bytes:
            nonlocal position
            position += size
            return rest[position - size : position]

        def take_thresholds(given: list[int] | None) -> Thresholds | None:
            if given is None:
                return None
            return Thresholds(np.frombuffer(take(given[0]), "<u4").astype(np.uint32), given[1])

        parts = {}
        for name, part in written["parts"].items():
            traces, logs = take_thresholds(part["traces"]), take_thresholds(part["logs"])
            history = part["history"]
            block = history and Block("sampling_history", history[1], (take(history[0]),))
            refused = np.frombuffer(take(part["refused"]), "<u8").astype(np.uint64)
            parts[name] = Chosen(traces, logs, part["events"], block, refused)
        return cls(parts, States.from_bytes(take(written["states"])))
