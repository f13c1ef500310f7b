"""One record of the journal: a request as it arrived, or a ledger entry, on disk.

A record is a mark (4 bytes), the size of what follows the checksum (4), a checksum (xxh3, 8), then a header and the
LZ4-compressed request. The mark lets a reader find the next record behind a damaged one; the checksum covers header
and request. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lz4.block
import xxhash

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

MARK = b"HGJ\x01"
_FRAME = struct.Struct("<4sIQ")
_HEADER = struct.Struct("<BqI16sI")
TRACES, METRICS, LOGS, LEDGER = 0, 1, 2, 3


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
    """Return the record as it is written."""
    header = _HEADER.pack(
        record.kind,
        record.arrival_ns,
        record.items,
        record.digest.ljust(16, b"\0"),
        len(record.body),
    )
    compressed: bytes = lz4.block.compress(record.body, store_size=False)
    payload = header + compressed
    return _FRAME.pack(MARK, len(payload), xxhash.xxh3_64_intdigest(payload)) + payload


def unpack(data: bytes) -> Iterator[Record | Damage]:
    """Read a segment's bytes; what cannot be read is reported as Damage, and reading goes on at the next record.

    A torn last record is Damage up to the end.
    """
    view = memoryview(data)
    position = 0
    while position < len(view):
        end = _whole(view, position)
        if end:
            payload = view[position + _FRAME.size : end]
            kind, arrival_ns, items, digest, size = _HEADER.unpack_from(payload)
            body = lz4.block.decompress(payload[_HEADER.size :], uncompressed_size=size)
            yield Record(kind, arrival_ns, items, b"" if digest == bytes(16) else digest, body)
            position = end
            continue
        resume = data.find(MARK, position + 1)
        while resume >= 0 and not _whole(view, resume):
            resume = data.find(MARK, resume + 1)
        resume = len(view) if resume < 0 else resume
        yield Damage(position, resume)
        position = resume


def digests(data: bytes | mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Return (arrival, digest) of each record without touching the requests; stops at the first damage."""
    position = 0
    while position + _FRAME.size + _HEADER.size <= len(data):
        mark, size, _ = _FRAME.unpack_from(data, position)
        if mark != MARK or position + _FRAME.size + size > len(data):
            return
        _, arrival_ns, _, digest, _ = _HEADER.unpack_from(data, position + _FRAME.size)
        if digest != bytes(16):
            yield arrival_ns, digest
        position += _FRAME.size + size


def _whole(view: memoryview, position: int) -> int:
    """Return the end of the whole, undamaged record at `position`, or 0."""
    if position + _FRAME.size + _HEADER.size > len(view):
        return 0
    mark, size, checksum = _FRAME.unpack_from(view, position)
    start = position + _FRAME.size
    if mark != MARK or size < _HEADER.size or start + size > len(view):
        return 0
    return start + size if xxhash.xxh3_64_intdigest(view[start : start + size]) == checksum else 0
