"""How many requests were turned away that no ledger has: for now, or for want of a token."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from headgate.collector.errors import Forbidden, Retryable, Unauthenticated

if TYPE_CHECKING:
    from headgate.collector.errors import CollectorError


class Refusals:
    """Counters since the start; any thread.

    `for_now` were told to come again: memory, journal or disk are full, a message did not come in time, or we stop.
    `unauthorized` had no token that allows what they asked.
    """

    def __init__(self) -> None:
        self.for_now = self.unauthorized = 0
        self._lock = threading.Lock()

    def count(self, error: CollectorError) -> None:
        """Count the answer to a request; one that is refused for good is in the ledger, and not counted here."""
        with self._lock:
            self.for_now += isinstance(error, Retryable)
            self.unauthorized += isinstance(error, (Unauthenticated, Forbidden))
