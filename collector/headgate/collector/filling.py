"""The segment that is being written: what is in it so far, and when it is to be sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.collector.ledger import Entry
    from headgate.collector.process import Request


@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is sealed, and how much may wait.

    A segment is sealed at `segment_bytes` (of requests, uncompressed) or `segment_items`, or by age: `busy_age_s` when
    it has `busy_items`, else `idle_age_s`. `memory_bytes` bounds the requests in memory: beyond half of it sealed
    segments are read back from disk, beyond all of it senders are told to come back. `journal_bytes` bounds the files,
    of whose disk `reserve_bytes` are left free.
    """

    segment_bytes: int = 32 << 20
    segment_items: int = 100_000
    busy_items: int = 1000
    busy_age_s: float = 2.0
    idle_age_s: float = 4.0
    memory_bytes: int = 80 << 20
    journal_bytes: int = 4 << 30
    reserve_bytes: int = 64 << 20


class Filling:
    """What the journal's current segment holds; not thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.requests: list[Request] = []
        self.entries: list[Entry] = []
        self.size = 0
        self._items = 0
        self._since_s: float | None = None

    def __bool__(self) -> bool:
        return bool(self.requests or self.entries)

    def begin(self, now_s: float) -> None:
        """Let the age count from now, unless it does already."""
        if self._since_s is None:
            self._since_s = now_s

    def add(self, request: Request, now_s: float) -> None:
        """Take a request that is durable."""
        self.begin(now_s)
        self.requests.append(request)
        self.size += len(request.body)
        self._items += request.items

    @property
    def full(self) -> bool:
        """Return whether it is to be sealed for its size, so early that two leave room for requests to come."""
        most_bytes = min(self._limits.segment_bytes, self._limits.memory_bytes * 2 // 7)
        return self.size >= most_bytes or self._items >= self._limits.segment_items

    @property
    def due_s(self) -> float:
        """Return when it is to be sealed for its age."""
        if self._since_s is None:
            return float("inf")
        busy = self._items >= self._limits.busy_items
        return self._since_s + (self._limits.busy_age_s if busy else self._limits.idle_age_s)
