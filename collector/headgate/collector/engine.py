"""Look after the embedded engine while it is inserted into: what it could not write it does not tell by itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.collector.errors import Retryable
from headgate.store import StoreError
from headgate.store.watch import Watch

if TYPE_CHECKING:
    from headgate.store import Store

log = logging.getLogger(__name__)
# Blocks that are looked at together. Of so many, in fifty partitions each, the engine has all tokens.
_TOGETHER = 16
_TEND_S = 10.0


class Engine:
    """The engine of one store, for the thread that inserts; of a server there is nothing to look after."""

    def __init__(self, store: Store) -> None:
        self._watch = Watch(store) if store.embedded else None
        self._tended_s = float("-inf")

    @property
    def broken(self) -> int:
        """How many parts it could not write whole, since the start."""
        return self._watch.broken if self._watch else 0

    @property
    def together(self) -> int:
        """How many blocks to insert before a look."""
        return _TOGETHER if self._watch else 1

    def doubt(self) -> None:
        """Check everything at the next look: an earlier process may have ended before it looked."""
        if self._watch is not None:
            self._watch.doubt()

    def look(self) -> bool:
        """Return whether all could be written since the last look; see `headgate.store.watch`.

        Else it has been repaired, and what was inserted since then is to be inserted again. Raises Retryable when that
        cannot be found out now.
        """
        try:
            return self._watch is None or self._watch.look()
        except (OSError, ClickHouseError, StoreError) as error:
            raise Retryable(f"what the engine wrote cannot be checked: {error}") from error

    def repair(self) -> None:
        """Let it take again what it noted and could not keep when an insert failed; see `headgate.store.repair`."""
        if self._watch is not None:
            try:
                self._watch.repair()
            except (OSError, ClickHouseError, StoreError) as error:
                log.warning("the engine's parts cannot be checked now: %s", error)

    def tend(self, now_s: float) -> None:
        """Look now and then, between deliveries: a merge that could not be written is undone while that is possible."""
        if now_s - self._tended_s > _TEND_S:
            self._tended_s = now_s
            try:
                self.look()
            except Retryable as error:
                log.warning("%s", error)
