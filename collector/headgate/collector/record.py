"""One record of the journal: a request as it arrived, or a ledger entry, on disk.

A frame (a mark, the size of the payload, a checksum), then the payload: a header and the LZ4-compressed request. All
numbers are little-endian. Mark and checksum are keyed by the id of the segment: a reader finds the next record behind
a damaged one by its mark, and a sender, who does not know the id, cannot hide in a request what looks like a record.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lz4.block
import xxhash

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_BYTES = 16
FORMAT = b"HGJ\x01"
_FRAME = struct.Struct("<12sIQ")
_HEADER = struct.Struct("<BqI16sI")
FRAME_BYTES = _FRAME.size
TRACES, METRICS, LOGS, LEDGER = 0, 1, 2, 3
_KINDS = (TRACES, METRICS, LOGS, LEDGER)
_MOST_LZ4_EXPANDS = 256


@dataclass(frozen=True, slots=True)
class Record:
    """`kind` is TRACES, METRICS, LOGS or LEDGER; `digest` is empty bytes where the request has no identity."""

    kind: int
    arrival_ns: int
    items: int
    digest: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a segment that cannot be read: bytes start..end."""

    start: int
    end: int


def pack(record: Record) -> bytes:
    """Return the record's payload."""
    header = _HEADER.pack(
        record.kind,
        record.arrival_ns,
        record.items,
        record.digest.ljust(16, b"\0"),
        len(record.body),
    )
    compressed: bytes = lz4.block.compress(record.body, store_size=False)
    return header + compressed


def frame(key: bytes, payload: bytes) -> bytes:
    """Return what stands before the payload in the segment with this key (16 bytes)."""
    return _FRAME.pack(_mark(key), len(payload), _checksum(key, payload))


def unpack(key: bytes, data: bytes) -> Iterator[Record | Damage]:
    """Read a segment's bytes; what cannot be read is reported as Damage, and reading goes on at the next record.

    A torn last record is Damage up to the end.
    """
    for start, end, whole in _stretches(key, data):
        record = _read(data, start + FRAME_BYTES, end) if whole else None
        yield Damage(start, end) if record is None else record


def digests(key: bytes, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Return (arrival, digest) of each undamaged record that has one, without decompressing requests.

    Of undamaged ones only: what a crash has torn was never acknowledged, and must be taken when it comes again.
    """
    for start, _, whole in _stretches(key, data):
        if whole:
            _, arrival_ns, _, digest, _ = _HEADER.unpack_from(data, start + FRAME_BYTES)
            if digest != bytes(16):
                yield arrival_ns, digest


def _stretches(key: bytes, data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Cut a segment into (start, end, whether it is a whole and undamaged record)."""
    mark = _mark(key)
    position = 0
    while position < len(data):
        end = _end_of_whole(key, data, position)
        if end:
            yield position, end, True
        else:
            end = data.find(mark, position + 1)
            while end >= 0 and not _end_of_whole(key, data, end):
                end = data.find(mark, end + 1)
            end = len(data) if end < 0 else end
            yield position, end, False
        position = end


def _end_of_whole(key: bytes, data: bytes, position: int) -> int:
    """Return the end of the whole, undamaged record at `position`, or 0."""
    if position + FRAME_BYTES + _HEADER.size > len(data):
        return 0
    mark, size, checksum = _FRAME.unpack_from(data, position)
    start = position + FRAME_BYTES
    if mark != _mark(key) or size < _HEADER.size or start + size > len(data):
        return 0
    payload = memoryview(data)[start : start + size]
    return start + size if _checksum(key, payload) == checksum else 0


def _read(data: bytes, start: int, end: int) -> Record | None:
    """Return the record of an undamaged payload, or None when it is not one of ours all the same."""
    kind, arrival_ns, items, digest, size = _HEADER.unpack_from(data, start)
    compressed = memoryview(data)[start + _HEADER.size : end]
    if kind not in _KINDS or size > _MOST_LZ4_EXPANDS * len(compressed):
        return None
    try:
        body = lz4.block.decompress(compressed, uncompressed_size=size)
    except lz4.block.LZ4BlockError:
        return None
    known = digest if digest != bytes(16) else b""
    return Record(kind, arrival_ns, items, known, body) if len(body) == size else None


def _mark(key: bytes) -> bytes:
    return FORMAT + key[:8]


def _checksum(key: bytes, payload: bytes | memoryview) -> int:
    return xxhash.xxh3_64_intdigest(payload, seed=int.from_bytes(key[8:], "little"))
