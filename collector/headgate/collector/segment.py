"""A segment on its way through processing: the requests of one journal file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.collector.journal import SegmentFile, read
from headgate.collector.ledger import Entry
from headgate.collector.process import Request
from headgate.collector.record import LEDGER, LOGS, METRICS, TRACES
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.collector.quarantine import Quarantine

KINDS = {Signal.TRACES: TRACES, Signal.METRICS: METRICS, Signal.LOGS: LOGS}
_SIGNALS = {kind: signal for signal, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment that was stored: its size as a file, its stored items by signal, and when that began and ended."""

    id: str
    size: int
    items: Mapping[str, int]
    began_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed file, with its contents where they are still in memory: None means that they must be read."""

    file: SegmentFile
    contents: tuple[list[Request], list[Entry]] | None

    def load(self, quarantine: Quarantine) -> tuple[list[Request], list[Entry]]:
        """Return the requests and the ledger entries, in the order written.

        Records that are damaged go into quarantine. Raises OSError.
        """
        if self.contents is not None:
            return self.contents
        requests, entries = [], []
        for record in read(self.file, quarantine):
            if record.kind == LEDGER:
                entries += Entry.read(record.body)
            else:
                signal = _SIGNALS[record.kind]
                requests.append(Request(signal, record.body, record.items, record.arrival_ns))
        return requests, entries
