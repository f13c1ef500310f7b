"""How many bytes of requests may be in memory: counted before they are read, until their rows are stored.

One room serves every protocol and every tenant. What does not fit is refused with Retryable, before its bytes are
read as far as the protocol says how many will come.
"""

from __future__ import annotations

import threading

from headgate.collector.errors import Retryable


class Room:
    """A counter of bytes with a limit; any thread."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used = 0
        self._lock = threading.Lock()

    @property
    def pressed(self) -> bool:
        """Return whether more than half is in use."""
        return self.used > self.limit_bytes // 2

    @property
    def crowded(self) -> bool:
        """Return whether more than three quarters are in use."""
        return self.used > self.limit_bytes * 3 // 4

    def take(self, size: int, held: int = 0) -> None:
        """Count `size` more bytes for a request that holds `held` of those in use; raises Retryable.

        Where all others hold a quarter at most, a request is never refused, however large: a trickle of small ones
        must not keep it waiting for ever. Beside one so large there is room for no other.
        """
        with self._lock:
            full = self.used + size > self.limit_bytes
            if size > 0 and full and self.used - held > self.limit_bytes // 4:
                raise Retryable("the collector is busy: too many bytes wait to be stored")
            self.used += size

    def give(self, size: int) -> None:
        """Take bytes off the count."""
        with self._lock:
            self.used -= size
