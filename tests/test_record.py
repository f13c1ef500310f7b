"""Records of the journal: what is packed is read back, and what is damaged is reported exactly and alone."""

from __future__ import annotations

import os
import random
import resource
import struct

import lz4.block
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.collector.record import (
    FORMAT,
    FRAME_BYTES,
    LEDGER,
    TRACES,
    Damage,
    Record,
    digests,
    frame,
    pack,
    unpack,
)

KEY = bytes(range(100, 116))

_bodies = st.binary(max_size=300) | st.sampled_from((b"", b"a" * 100_000, FORMAT * 5))
_records = st.builds(
    Record,
    kind=st.integers(TRACES, LEDGER),
    arrival_ns=st.integers(-(2**63), 2**63 - 1),
    items=st.integers(0, 2**32 - 1),
    digest=st.just(b"") | st.binary(min_size=16, max_size=16).filter(any),
    body=_bodies,
)


def written(record: Record, key: bytes = KEY) -> bytes:
    payload = pack(record)
    return frame(key, payload) + payload


def three() -> tuple[list[Record], list[bytes]]:
    """Return three records, one that compresses well, one that does not at all, one that is empty."""
    noise = random.Random(1).randbytes(150)  # noqa: S311  # a test's data
    bodies = [b"abc" * 60, noise, b""]
    records = [
        Record(TRACES, 10 + i, i, bytes([i + 1] * 16), body) for i, body in enumerate(bodies)
    ]
    return records, [written(record) for record in records]


@given(st.lists(_records, max_size=5), st.binary(min_size=16, max_size=16))
def test_what_is_packed_is_read_back(records, key):
    """Any records, under any key, come back equal and in order; their digests too."""
    data = b"".join(written(record, key) for record in records)
    assert list(unpack(key, data)) == records
    assert list(digests(key, data)) == [(r.arrival_ns, r.digest) for r in records if r.digest]


def test_bodies_that_do_not_compress_come_back():
    """Noise of every small size, and a megabyte of it, is stored as it is."""
    for size in (*range(40), 1 << 20):
        record = Record(TRACES, 1, 1, b"", os.urandom(size))
        assert list(unpack(KEY, written(record))) == [record]


def test_a_tail_torn_off_at_any_byte_is_cut():
    """However much of the last record is missing, it is damage up to the end, without digest; the others are whole."""
    records, pieces = three()
    for last in range(3):
        before, piece = b"".join(pieces[:last]), pieces[last]
        for cut in range(1, len(piece)):
            data = before + piece[:cut]
            assert list(unpack(KEY, data)) == [*records[:last], Damage(len(before), len(data))]
            assert [digest for _, digest in digests(KEY, data)] == [
                record.digest for record in records[:last]
            ]


def test_a_tail_of_zeros_is_cut():
    """A crash of the machine can leave a file longer than what was written: zeros are no record."""
    records, pieces = three()
    for kept in range(len(pieces[1])):
        data = pieces[0] + pieces[1][:kept] + bytes(4096)
        assert list(unpack(KEY, data)) == [records[0], Damage(len(pieces[0]), len(data))]
        assert len(list(digests(KEY, data))) == 1


def test_a_flipped_byte_costs_one_record():
    """Whichever byte of a segment changes, the record it is in is reported with its place and the others survive."""
    records, pieces = three()
    ends = [sum(map(len, pieces[: i + 1])) for i in range(3)]
    data = b"".join(pieces)
    for position in range(len(data)):
        hit = next(i for i, end in enumerate(ends) if position < end)
        for bit in (0x01, 0x80):
            flipped = bytearray(data)
            flipped[position] ^= bit
            expected: list[Record | Damage] = list(records)
            expected[hit] = Damage(ends[hit] - len(pieces[hit]), ends[hit])
            assert list(unpack(KEY, bytes(flipped))) == expected
            assert [arrival for arrival, _ in digests(KEY, bytes(flipped))] == [
                record.arrival_ns for record in records if record is not records[hit]
            ]


@settings(max_examples=200)
@given(st.data())
def test_any_damage_leaves_what_it_does_not_touch(data):
    """Bytes overwritten, removed or put in anywhere: records outside are all read, and every byte is accounted for."""
    records, pieces = three()
    whole = b"".join(pieces)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    filling = data.draw(st.binary(max_size=60))
    damaged = whole[:start] + filling + whole[end:]
    found = list(unpack(KEY, damaged))
    position = 0
    for record, piece in zip(records, pieces, strict=True):
        if position + len(piece) <= start or position >= end:
            assert record in found
        position += len(piece)
    sizes = [f.end - f.start if isinstance(f, Damage) else len(written(f)) for f in found]
    assert sum(sizes) == len(damaged)


def forged(kind: int, size: int, compressed: bytes) -> bytes:
    """Return a record whose checksum is right and whose header lies."""
    payload = struct.pack("<BqI16sI", kind, 1, 1, bytes(16), size) + compressed
    return frame(KEY, payload) + payload


def test_a_size_that_lies_allocates_nothing():
    """Four gigabytes that a header claims are damage, not memory."""
    good = Record(TRACES, 1, 1, b"", b"good")
    compressed = lz4.block.compress(b"x" * 1000, store_size=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for size in (0, 999, 1001, 10_000, 2**31, 2**32 - 1):
        lie = forged(TRACES, size, compressed)
        assert list(unpack(KEY, lie + written(good))) == [Damage(0, len(lie)), good]
    huge = FORMAT + KEY[:8] + struct.pack("<IQ", 2**32 - 1, 0) + bytes(100)
    assert list(unpack(KEY, huge + written(good))) == [Damage(0, len(huge)), good]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_what_a_later_version_wrote_is_damage_and_not_lost():
    """A kind of record that is not known is reported, so that it is put aside, and reading goes on."""
    good = Record(TRACES, 1, 1, b"", b"good")
    later = forged(9, 4, lz4.block.compress(b"what", store_size=False))
    assert list(unpack(KEY, later + written(good))) == [Damage(0, len(later)), good]
    nonsense = forged(TRACES, 4, b"\xff\xff\xff\xff")
    assert list(unpack(KEY, nonsense)) == [Damage(0, len(nonsense))]


def test_a_request_cannot_hide_a_record():
    """What looks like a record inside a request is none even when the request around it is damaged."""
    theirs = bytes(range(16))
    noise = random.Random(2)  # noqa: S311  # a test's data
    record = Record(
        TRACES,
        noise.getrandbits(62),
        noise.getrandbits(32),
        noise.randbytes(16),
        noise.randbytes(64),
    )
    for key, found in ((theirs, 0), (KEY, 1)):
        hidden = written(record, key)
        inner = written(Record(TRACES, 5, 1, b"\x05" * 16, noise.randbytes(64) + hidden))
        damaged = bytearray(inner)
        damaged[FRAME_BYTES + 30] ^= 1
        assert hidden in bytes(damaged), "LZ4 keeps noise as it is"
        whole = [one for one in unpack(KEY, bytes(damaged)) if isinstance(one, Record)]
        assert len(whole) == found, "only who knows the segment's id could"


def test_many_false_starts_are_passed_quickly():
    """Reading behind damage takes time in proportion: marks of other segments are not even looked at."""
    body = (FORMAT + bytes(8) + struct.pack("<I", 1 << 20) + bytes(8)) * 40_000
    noise = written(Record(TRACES, 1, 1, b"", b""))[:-1] + body
    good = Record(TRACES, 2, 1, b"", b"good")
    assert list(unpack(KEY, noise + written(good))) == [Damage(0, len(noise)), good]


def test_the_checksum_is_keyed():
    """A checksum made without the segment's id does not pass."""
    payload = pack(Record(TRACES, 1, 1, b"", b"x"))
    unkeyed = FORMAT + KEY[:8] + struct.pack("<IQ", len(payload), xxhash.xxh3_64_intdigest(payload))
    assert list(unpack(KEY, unkeyed + payload)) == [Damage(0, len(unkeyed + payload))]
