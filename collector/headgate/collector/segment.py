"""A segment: the requests that are processed and inserted together, and the promises made to their senders.

A segment lives in memory: its requests are acknowledged once all of its blocks are inserted, never before.
Its id is 128 random bits, so that no two segments of any collector ever share a deduplication token.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.collector.ledger import Entry
    from headgate.collector.process import Request


@dataclass(slots=True)
class Segment:
    """Requests in order of arrival, each with the future that its sender waits for."""

    id: str
    requests: list[Request] = field(default_factory=list)
    waiting: list[Future[None]] = field(default_factory=list)
    rejected: list[Entry] = field(default_factory=list)
    size: int = 0
    items: int = 0

    def add(self, request: Request) -> Future[None]:
        """Append a request; the future is done when it is stored, or fails with a CollectorError."""
        future: Future[None] = Future()
        self.requests.append(request)
        self.waiting.append(future)
        self.size += len(request.body)
        self.items += request.items
        return future

    def __bool__(self) -> bool:
        return bool(self.requests or self.rejected)
