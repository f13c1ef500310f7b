"""Hashes of user ids are xxHash64, as ClickHouse and everybody else computes it."""

from __future__ import annotations

import random

import numpy as np
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.xxh import xxh64


def hashed(texts: list[bytes]) -> list[int]:
    # A byte in front, so that no text is aligned by luck.
    heap = Heap(as_buffer(b"x"))
    references = heap.add_texts(texts)
    result = xxh64(heap.buffer, references)
    assert result.dtype == np.uint64
    return result.tolist()


def expected(texts: list[bytes]) -> list[int]:
    return [xxhash.xxh64_intdigest(text) if text else 0 for text in texts]


def test_every_length():
    """All ways through the hash, by length: whole lanes of 32, words of 8 and 4, single bytes."""
    rng = random.Random(1)  # noqa: S311 - a test repeats itself
    texts = [rng.randbytes(size) for size in range(200)]
    assert hashed(texts) == expected(texts)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=8))
def test_as_the_reference(texts):
    """Arbitrary bytes hash as xxHash's own library does; the empty text is nobody, 0."""
    assert hashed(texts) == expected(texts)


def test_as_clickhouse(store):
    """The engine's xxHash64 gives the stored number, so that SQL can find a user."""
    users = ["u", "a user whose name has more than thirty-two bytes", "\u00fc" * 40]
    result = store.client().query(
        "SELECT arrayMap(x -> xxHash64(x), {users:Array(String)})", parameters={"users": users}
    )
    assert list(result.result_rows[0][0]) == hashed([user.encode() for user in users])
