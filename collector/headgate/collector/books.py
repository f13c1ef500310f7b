"""What became of a pipeline's items since its start, and what the ledger has yet to be told of those not stored."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from headgate.collector.cardinality import OTHER
from headgate.collector.errors import Retryable
from headgate.collector.journal import Append, Journal, SegmentFile
from headgate.collector.ledger import Entry, Tally, minute_of
from headgate.collector.record import LEDGER, Record, pack
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headgate.collector.partial import Partial

_HOUR_NS = 3600 * 10**9
_LONGEST_NAME = 1024


class Books:
    """Counters by signal, and the entries that go the way of the data: into the journal; any thread."""

    def __init__(
        self,
        lock: threading.Condition,
        journal: Journal,
        clock_ns: Callable[[], int],
        noted: Callable[[], None],
        written: Callable[[list[Entry]], None],
        most_services: int,
    ) -> None:
        """Share `lock`, which is held when `noted` (there is something to write) and `written` are called.

        Of what was left out of requests, `most_services` are named within an hour; others count as `__other__`.
        """
        self._lock = lock
        self._journal = journal
        self._clock_ns = clock_ns
        self._noted = noted
        self._written = written
        self._tally = Tally()
        self._under_way = 0
        self._most_services = most_services
        self._services: set[bytes] = set()
        self._hour = 0
        self.received, self.stored, self.sampled_out = (Counter[Signal]() for _ in range(3))
        self.rejected, self.duplicate = Counter[Signal](), Counter[Signal]()
        self._of_fate = {"Rejected": self.rejected, "Duplicate": self.duplicate}

    @property
    def has_entries(self) -> bool:
        """Return whether entries wait to be written; the lock is held."""
        return bool(self._tally)

    @property
    def pending(self) -> bool:
        """Return whether entries are not in a segment yet; the lock is held."""
        return bool(self._tally or self._under_way)

    def reject(self, signal: Signal, size: int, items: int = 1) -> None:
        """Count a request that was refused for good; it has one item as far as we know."""
        self.count("Rejected", signal, items, size)

    def reject_items(self, signal: Signal, partial: Partial) -> None:
        """Count the items that were left out of a request, by service."""
        for service, (items, size) in partial.by_service.items():
            name = self._named(service)
            self.count("Rejected", signal, items, size, name)
            if name != service:
                with self._lock:
                    minute = minute_of(self._clock_ns())
                    self._tally.add(Entry(minute, signal, name, "Other", items, 0))

    def _named(self, service: bytes) -> bytes:
        """Return the name to count a service under: a sender of bad items names as many as it likes."""
        with self._lock:
            hour = self._clock_ns() // _HOUR_NS
            if hour != self._hour:
                self._hour, self._services = hour, set()
            full = len(self._services) >= self._most_services
            if service not in self._services and (full or len(service) > _LONGEST_NAME):
                return OTHER
            self._services.add(service)
            return service

    def count(self, fate: str, signal: Signal, items: int, size: int, service: bytes = b"") -> None:
        """Note something that was received and is not stored: "Rejected" or "Duplicate"."""
        entry = Entry(minute_of(self._clock_ns()), signal, service, fate, items, size)
        with self._lock:
            self.received[signal] += items
            self._of_fate[fate][signal] += items
            self._tally.add(entry)
            self._noted()

    def write(self) -> None:
        """Send what was noted into the journal."""
        with self._lock:
            entries = self._tally.take()
            if not entries:
                return
            self._under_way += 1

        def written(result: SegmentFile | Retryable) -> None:
            with self._lock:
                self._under_way -= 1
                if isinstance(result, Retryable):
                    for entry in entries:
                        self._tally.add(entry)
                else:
                    self._written(entries)

        record = Record(LEDGER, self._clock_ns(), 0, b"", Entry.write(entries))
        self._journal.append(Append(pack(record), 0, written))
