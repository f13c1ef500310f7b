"""Look whether the embedded engine could write all that it wrote, which it does not tell by itself."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from headgate.store.repair import repair_open

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.store.client import Store

_log = logging.getLogger(__name__)
FAILED_WRITES = "WriteBufferFromFileDescriptorWriteFailed"
"""The engine's counter of writes that failed, whatever they were for, since it was opened."""
# Times of files have whole seconds, and a merge has the time at which it ended.
_MARGIN_S = 5.0
_NEVER = -1


def failed_writes(store: Store) -> int:
    """Return how often the embedded engine could not write since it was opened, whatever that was for."""
    text = f"SELECT value FROM system.events WHERE event = '{FAILED_WRITES}'"
    rows = store.client().query(text).result_rows
    return int(rows[0][0]) if rows else 0


class Watch:
    """Watches one database of an embedded engine; for the thread that inserts into it.

    `broken` counts the parts that were set aside since the start.
    """

    def __init__(self, store: Store, now_s: Callable[[], float] = time.time) -> None:
        """Take what was written before for good, unless `doubt` says otherwise; `now_s` is the clock of files."""
        self._store = store
        self._now_s = now_s
        self._seen = 0
        # To the next whole second: what is there already is others', and need have no token.
        self._good_s = now_s() + _MARGIN_S + 1
        self.broken = 0

    def doubt(self) -> None:
        """Let the next look repair whether or not writes failed: a process ended before it looked."""
        self._seen = _NEVER

    def look(self) -> bool:
        """Return whether all is whole that was written since this last returned True; else repair it.

        After False what was inserted since then is to be inserted again: what is there is recognised by its token.
        Raises OSError, ClickHouseError, StoreError when that cannot be found out now.
        """
        now_s = self._now_s()
        failed = failed_writes(self._store)
        if failed != self._seen and not self._repair(failed):
            return False
        self._good_s = now_s
        return True

    def repair(self) -> None:
        """Repair what an insert that failed may have left, whether or not writes failed; raises as `look`."""
        self._repair(failed_writes(self._store))

    def _repair(self, failed: int) -> bool:
        """Return whether there was nothing to repair."""
        if self._seen not in {_NEVER, failed}:
            _log.warning(
                "the engine could not write %d times, as on a full disk; what it wrote is checked",
                failed - self._seen,
            )
        repaired = repair_open(self._store, self._good_s - _MARGIN_S)
        self.broken += repaired.broken
        self._seen = failed
        if repaired.tables:
            _log.warning("repaired %s", ", ".join(sorted(repaired.tables)))
        return not repaired.tables
