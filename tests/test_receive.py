"""Bodies are decompressed within their limit and the room there is; what is held is known at every moment."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.collector.errors import Malformed, Retryable, TooLarge, Unsupported
from headgate.collector.receive import MAX_JSON_BYTES, Received
from headgate.collector.room import Room
from headgate.collector.signals import Signal

MIB = 1 << 20
COMPRESS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}
COMPRESS["zstd"] = zstd.compress


def received(limit=MIB, room=64 * MIB) -> Received:
    return Received(Room(room), limit)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_what_was_compressed_comes_back(encoding):
    """At any size and in any number of members or frames, up to sixteen, exactly the bytes that went in."""

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(0, 2000))
    def property_(parts, times):
        parts = [part * times for part in parts]
        many = 1 if encoding == "deflate" else len(parts)
        body = b"".join(COMPRESS[encoding](part) for part in parts[:many])
        assert received(8 * MIB).plain(encoding, body) == b"".join(parts[:many])

    property_()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_the_limit_is_exact(encoding):
    """A body of just the limit passes, one of a byte more does not."""
    assert len(received().plain(encoding, COMPRESS[encoding](bytes(MIB)))) == MIB
    with pytest.raises(TooLarge, match=f"more than {MIB} bytes"):
        received().plain(encoding, COMPRESS[encoding](bytes(MIB + 1)))


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_costs_no_more_than_the_limit(encoding):
    """Of 2 GiB in a few kilobytes, hardly more than the limit is ever in memory."""
    unit = COMPRESS[encoding](bytes(128 * MIB))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        received(16 * MIB).plain(encoding, unit * 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 * MIB


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_damage_is_malformed(encoding):
    """Cut at any byte, with a bit flipped or with anything behind it: Malformed, or other bytes, never a crash."""
    body = COMPRESS[encoding](bytes(range(256)) * 3)
    assert received().plain(encoding, b"") == b"", "an empty request is no damage"
    for size in range(1, len(body)):
        with pytest.raises(Malformed, match="cut off"):
            received().plain(encoding, body[:size])
    with pytest.raises(Malformed, match=r"cannot be read|cut off"):
        received().plain(encoding, body + b"!")

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 8 * len(body) - 1))
    def property_(bit):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(Malformed, TooLarge):
            received().plain(encoding, bytes(changed))

    property_()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_many_members_are_refused(encoding):
    """Sixteen pass, a thousand would take quadratic time."""
    unit = COMPRESS[encoding](b"x")
    assert received().plain(encoding, unit * 16) == b"x" * 16
    with pytest.raises(Malformed, match="more than 16"):
        received().plain(encoding, unit * 1000)


def test_a_zstd_window_beyond_eight_mebibytes_is_refused():
    """RFC 8878 asks for no more; a larger one would be memory that nobody has counted."""
    level = zstd.CompressionParameter
    wide = {int(level.compression_level): 1, int(level.window_log): 24}
    with pytest.raises(Malformed, match="too much memory"):
        received(64 * MIB).plain("zstd", zstd.compress(bytes(20 * MIB), options=wide))


def test_other_encodings_are_unsupported():
    """The message says what can be sent."""
    with pytest.raises(Unsupported, match="'br' is not supported; send gzip, zstd or none"):
        received().plain("br", b"x")


def test_room_is_made_as_it_comes_out():
    """What decompresses beyond the room is refused for now, before it is there; a request alone always passes."""
    room = Room(MIB)
    body = gzip.compress(bytes(4 * MIB))
    alone = Received(room, 8 * MIB)
    assert len(alone.plain("gzip", body)) == 4 * MIB
    assert room.used == alone.held >= 4 * MIB
    with pytest.raises(Retryable, match="busy"):
        Received(room, 8 * MIB).plain("gzip", body)
    alone.drop()
    assert room.used == alone.held == 0


def test_a_trickle_keeps_no_large_request_waiting():
    """What exceeds the room passes beside others that hold a quarter, once; beside more of them it waits."""
    room = Room(16 * MIB)
    trickle = Received(room, 64 * MIB)
    trickle.grow(4 * MIB)
    large = Received(room, 64 * MIB)
    large.grow(10 * MIB)
    large.grow(50 * MIB)
    for another in (Received(room, 64 * MIB), trickle):
        with pytest.raises(Retryable, match="busy"):
            another.grow(1)
    large.drop()
    trickle.grow(1)
    with pytest.raises(Retryable, match="busy"):
        large.grow(60 * MIB)
    assert room.used == 4 * MIB + 1


def test_json_has_a_limit_of_its_own():
    """It takes up to 24 times its bytes while it is read: 16 MiB at most, whatever the protobuf limit."""
    text = b'{"resourceSpans":[]' + b" " * (MAX_JSON_BYTES - 20) + b"}"
    assert received(64 * MIB, 1024 * MIB).protobuf(Signal.TRACES, text) == b""
    with pytest.raises(TooLarge, match="send smaller batches, or protobuf"):
        received(64 * MIB, 1024 * MIB).protobuf(Signal.TRACES, text + b" ")
