"""The ledger: what came in and what became of it, by minute of arrival, signal and service."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.block import Block, make_block
from headgate.collector.heap import Heap
from headgate.collector.native import encode_dictionary, encode_numbers, encode_strings
from headgate.collector.signals import Signal
from headgate.collector.times import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headgate.collector.decode import Batches
    from headgate.collector.layout import Ranges
    from headgate.collector.native import Encoded
    from headgate.collector.process import Request
    from headgate.collector.uses import Names

FATES = ("Stored", "SampledOut", "Rejected", "Duplicate")
NOTES = ("Other", "Corrected")
"""What else is counted of items, whatever their fate: names counted as `__other__`, and times that were corrected."""
MISSING = "Missing"
"""Items that a request had when it arrived and of which no row was made, or, below 0, the other way round."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`items` items and `size` bytes of one signal and service, arrived in one minute, and their fate or a note."""

    minute_s: int
    signal: Signal
    service: bytes
    fate: str
    items: int
    size: int

    @staticmethod
    def write(entries: Sequence[Entry]) -> bytes:
        """Return entries as a journal record's body."""
        return json.dumps(
            [[*astuple(e)[:2], e.service.hex(), *astuple(e)[3:]] for e in entries]
        ).encode()

    @staticmethod
    def read(body: bytes) -> list[Entry]:
        """Return the entries of a journal record's body."""
        return [
            Entry(minute, Signal(signal), bytes.fromhex(service), fate, items, size)
            for minute, signal, service, fate, items, size in json.loads(body)
        ]


class Tally:
    """Entries added up until they are written; not thread-safe."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, Signal, bytes, str], list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        key = (entry.minute_s, entry.signal, entry.service, entry.fate)
        sums = self._sums.setdefault(key, [0, 0])
        sums[0] += entry.items
        sums[1] += entry.size

    def take(self) -> list[Entry]:
        """Return the entries so far and begin anew."""
        entries = [Entry(*key, *sums) for key, sums in self._sums.items()]
        self._sums = {}
        return entries


def minute_of(arrival_ns: int) -> int:
    """Return the start of the minute, in seconds."""
    return arrival_ns // (60 * NS_PER_SECOND) * 60


def sampled_out(
    batch: NDArray[np.int64], size: NDArray[np.int64], batches: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the items and bytes, by resource batch, of rows that are not kept: each row's batch and own size."""
    items = np.bincount(batch, minlength=batches)
    octets = np.bincount(batch, weights=size, minlength=batches)
    return items, octets.astype(np.int64)


def ledger_entries(
    heap: Heap,
    signal: Signal,
    requests: Sequence[Request],
    batches: Batches,
    services: Names,
    items: NDArray[np.int64],
    out: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    notes: Mapping[str, NDArray[np.int64]] = MappingProxyType({}),
) -> list[Entry]:
    """Return what became of `requests`, decoded together; `services` and `items` are by resource batch.

    The bytes of a request that belong to no resource batch (a few at its front) go to its first service. `out` are the
    items and bytes of `sampled_out`; what a batch has beside its items is stored as long as any of these is. `notes`
    are items by resource batch, for NOTES.
    """
    ranges: Ranges = batches.resource_range
    tally = Tally()
    found = np.bincount(_owners(requests, batches), items, len(requests)).astype(np.int64)
    for request, made in zip(requests, found.tolist(), strict=True):
        # A metric that holds several kinds has, as protobuf says, only the last: here others have been counted, too.
        if request.items != made and signal is not Signal.METRICS:
            minute_s = minute_of(request.arrival_ns)
            tally.add(Entry(minute_s, signal, b"", MISSING, request.items - made, 0))
    if not len(ranges):
        return tally.take()
    starts = np.concatenate([[0], ranges.end[:-1]])
    size = ranges.end - starts
    size[-1] += sum(len(request.body) for request in requests) - ranges.end[-1]
    minute = _minutes(requests, batches)
    out_items, out_size = (np.zeros_like(items), np.zeros_like(size)) if out is None else out
    out_size = np.where((items > 0) & (out_items == items), size, out_size)
    names = heap.read(services.distinct)
    for fate, counts, octets in (
        ("Stored", items - out_items, size - out_size),
        ("SampledOut", out_items, out_size),
        *((note, counts, np.zeros_like(size)) for note, counts in notes.items()),
    ):
        columns = (minute, services.code, counts, octets)
        for at, service, count, total in zip(*(c.tolist() for c in columns), strict=True):
            if fate == "Stored" or count:
                tally.add(Entry(at, signal, names[service], fate, count, total))
    return tally.take()


def accountable(
    blocks: Sequence[Block],
    heap: Heap,
    signal: Signal,
    requests: Sequence[Request],
    batches: Batches,
    services: Names,
) -> list[Block]:
    """Return a signal's blocks, each with what moves its rows from stored to rejected should the store refuse it."""
    # Nothing of the decoded requests is held on to while blocks are inserted.
    minute, code, names = _minutes(requests, batches), services.code, heap.read(services.distinct)

    def refused(batch: NDArray[np.int64]) -> list[Entry]:
        tally = Tally()
        for number, rows in zip(*(c.tolist() for c in np.unique_counts(batch)), strict=True):
            place = (int(minute[number]), signal, names[code[number]])
            tally.add(Entry(*place, "Stored", -rows, 0))
            tally.add(Entry(*place, "Rejected", rows, 0))
        return tally.take()

    return [
        block if block.batch is None else replace(block, refused=partial(refused, block.batch))
        for block in blocks
    ]


def _minutes(requests: Sequence[Request], batches: Batches) -> NDArray[np.int64]:
    """Return the minute in which each resource batch arrived."""
    minutes = np.array([minute_of(request.arrival_ns) for request in requests])
    return minutes[_owners(requests, batches)]


def _owners(requests: Sequence[Request], batches: Batches) -> NDArray[np.int64]:
    """Return the request of each resource batch."""
    ends = np.cumsum([len(request.body) for request in requests])
    # A batch may be empty, and then begins where its request ends.
    return np.searchsorted(ends, batches.resource_range.start, side="left")


def ledger_block(entries: Sequence[Entry]) -> list[Block]:
    """Encode entries as one block; no block when there are none.

    Received is what arrived: the sum of all fates, and of what has none. It equals the sum of the fates unless rows are
    missing.
    """
    if not entries:
        return []
    heap = Heap(np.empty(0, np.uint8))

    def words(values: list[bytes]) -> Encoded:
        distinct = list(dict.fromkeys(values))
        place = {value: code for code, value in enumerate(distinct)}
        texts = heap.add_texts(distinct)
        return encode_dictionary(
            np.array([place[value] for value in values]),
            encode_strings(heap.buffer, texts),
            len(distinct),
        )

    # Counts below 0 wrap around, and back when they are added up.
    items = np.array([entry.items for entry in entries], np.int64).view(np.uint64)
    size = np.array([entry.size for entry in entries], np.uint64)
    fate = np.array([entry.fate in {*FATES, MISSING} for entry in entries])
    columns = {
        "Time": encode_numbers(np.array([entry.minute_s for entry in entries], np.uint32)),
        "Signal": words([entry.signal.encode() for entry in entries]),
        "ServiceName": words([entry.service for entry in entries]),
        "Received": encode_numbers(np.where(fate, items, np.uint64(0))),
        "ReceivedBytes": encode_numbers(np.where(fate, size, np.uint64(0))),
    }
    for name in (*FATES, *NOTES):
        mine = np.array([entry.fate == name for entry in entries])
        columns[name] = encode_numbers(np.where(mine, items, np.uint64(0)))
        if name in FATES:
            columns[f"{name}Bytes"] = encode_numbers(np.where(mine, size, np.uint64(0)))
    return [make_block("ledger", len(entries), columns)]
