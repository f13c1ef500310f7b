"""How large a call's message will be, which gRPC does not say before it is there.

A connection sends messages much alike: room is made for what the largest of its last ones took. Of a new connection
nothing is known, and its first message may be of any size: only a few of those are read at once. Nor are many of one
connection, so that a client whose messages do not arrive keeps nobody else waiting.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headgate.collector.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORDINARY_BYTES = 1 << 20
"""What a batch of 2048 well-filled spans takes."""

_REMEMBERED = 16_384
_WAIT_S = 1.0


class Sizes:
    """What connections have sent; any thread."""

    def __init__(
        self,
        limit: int,
        newcomers: int,
        hurry: Callable[[], None],
        *,
        at_once: int,
        wait_s: float = _WAIT_S,
    ) -> None:
        """Expect no more than `limit` bytes, and let `newcomers` new connections send at once.

        `hurry` is called when another one has waited for `wait_s` in vain. A connection may send `at_once` messages.
        """
        self._limit = limit
        self._hurry = hurry
        self._wait_s = wait_s
        self._largest: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._newcomers = threading.BoundedSemaphore(newcomers)
        self._at_once = at_once
        self._read_of: Counter[str] = Counter()

    def expected(self, connection: str) -> int:
        """Return how much room to make for a connection's next message."""
        largest = self._largest.get(connection, ORDINARY_BYTES)
        return min(max(largest, ORDINARY_BYTES), self._limit)

    @contextmanager
    def reading(self, connection: str) -> Iterator[bool]:
        """Let a message be read, a new connection's in its turn; raises Retryable when that does not come.

        Yields whether the connection is new. Raises Retryable, too, where a connection sends too many at once.
        """
        with self._lock:
            if self._read_of[connection] >= self._at_once:
                raise Retryable("too many messages of one connection are on their way")
            self._read_of[connection] += 1
        try:
            with self._turn(connection) as is_new:
                yield is_new
        finally:
            with self._lock:
                self._read_of[connection] -= 1
                if not self._read_of[connection]:
                    del self._read_of[connection]

    @contextmanager
    def _turn(self, connection: str) -> Iterator[bool]:
        if connection in self._largest:
            yield False
            return
        if not self._newcomers.acquire(timeout=self._wait_s):
            self._hurry()
            raise Retryable("the collector is busy: too many new connections send at once")
        try:
            yield True
        finally:
            self._newcomers.release()

    def learn(self, connection: str, size: int) -> None:
        """Remember what a connection has sent; a large one is forgotten by halves."""
        with self._lock:
            before = self._largest.pop(connection, 0)
            self._largest[connection] = max(size, before // 2)
            if len(self._largest) > _REMEMBERED:
                self._largest.popitem(last=False)
