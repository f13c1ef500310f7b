"""Blocks of ClickHouse's Native format, read back by a reader that is not ours, and by the engine itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_rows import columns_of

from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.keyed import encode_lowcardinality
from headgate.collector.layout import Text
from headgate.collector.native import (
    Encoded,
    encode_array,
    encode_block,
    encode_hex,
    encode_nullable,
    encode_numbers,
    encode_strings,
)

PREFIX = b"not part of any text"
NAME = "LowCardinality(String)"


def heap_of(texts: list[bytes]) -> tuple[np.ndarray, Text]:
    heap = Heap(as_buffer(PREFIX))
    references = heap.add_texts(texts)
    return heap.buffer, references


def read(kind: str, rows: int, column: Encoded) -> list:
    """Return a column of a block, a second column behind it proving that the first ends where it should."""
    last = encode_numbers(np.arange(rows, dtype=np.uint32))
    columns = columns_of(
        b"".join(encode_block(rows, [("c", kind, column), ("last", "UInt32", last)]))
    )
    assert columns["last"] == list(range(rows))
    return columns["c"]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *(("UInt8", np.uint8), ("UInt16", np.uint16), ("UInt32", np.uint32), ("UInt64", np.uint64)),
        *(("Int16", np.int16), ("Int32", np.int32), ("Int64", np.int64)),
    ],
)
def test_integers(kind, dtype):
    """Integers of every width keep their extremes, contiguous or not."""
    limits = np.iinfo(dtype)
    values = np.array([limits.min, 0, 1, limits.max, 5, 6], dtype)
    assert read(kind, 6, encode_numbers(values)) == values.tolist()
    assert read(kind, 3, encode_numbers(values[::2])) == values[::2].tolist()


def test_string_lengths():
    """Lengths on both sides of every size of a varint."""
    texts = [b"x" * size for size in (0, 1, 127, 128, 16383, 16384, 2097151, 2097152)]
    assert read("String", len(texts), encode_strings(*heap_of(texts))) == texts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=140), min_size=1, max_size=6))
def test_strings(texts):
    """Arbitrary bytes as strings, and as the lower-case hexadecimal of ids."""
    buffer, references = heap_of(texts)
    assert read("String", len(texts), encode_strings(buffer, references)) == texts
    hexadecimal = [text.hex().encode() for text in texts]
    assert read("String", len(texts), encode_hex(buffer, references)) == hexadecimal


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 9), (8, 1), (9, 0), (2**62, 2)])
def test_strings_outside_the_buffer(offset, length):
    """A reference to bytes that are not there is an error, never somebody else's memory."""
    text = Text(np.array([0, offset]), np.array([1, length]))
    with pytest.raises(ValueError, match="outside"):
        encode_strings(as_buffer(b"12345678"), text)


@pytest.mark.parametrize("distinct", [1, 2, 255, 256, 257, 65535, 65536, 65537])
def test_dictionary_widths(distinct):
    """Dictionaries on both sides of one and two byte indexes; only the strings in use are sent."""
    buffer, words = heap_of([b"%d" % i for i in range(2 * distinct)])
    codes = np.concatenate([np.arange(1, 2 * distinct, 2), [2 * distinct - 1, 1]])
    found = read(NAME, codes.size, encode_lowcardinality(buffer, codes, words))
    assert found == [b"%d" % code for code in codes]


def test_dictionary_widths_in_the_engine(store):
    """The engine reads dictionaries of every width as the client does."""
    client = store.client()
    client.command(f"CREATE TABLE words (word {NAME}) ENGINE = Memory")
    for distinct in (1, 256, 257, 65536, 65537):
        buffer, words = heap_of([b"%d" % i for i in range(distinct)])
        column = encode_lowcardinality(buffer, np.arange(distinct)[::-1], words)
        block = b"".join(encode_block(distinct, [("word", NAME, column)]))
        client.raw_insert("words", insert_block=block, fmt="Native")
        result = client.query("SELECT count(), uniqExact(word), sum(toUInt64(word)) FROM words")
        assert result.result_rows == [(distinct, distinct, distinct * (distinct - 1) // 2)]
        client.command("TRUNCATE TABLE words")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.lists(st.binary(max_size=3), max_size=3), max_size=3), min_size=1))
def test_arrays_of_arrays(rows):
    """Nesting keeps dictionaries in front of offsets, also where nothing is nested."""
    inner = [texts for row in rows for texts in row]
    flat = [text for texts in inner for text in texts]
    buffer, references = heap_of(flat)
    words = encode_lowcardinality(buffer, np.arange(len(flat)), references)
    counts = np.array([len(texts) for texts in inner], np.int64)
    column = encode_array(np.array(list(map(len, rows))), encode_array(counts, words))
    assert read(f"Array(Array({NAME}))", len(rows), column) == rows


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.floats(allow_nan=False), min_size=1))
def test_nullable(values):
    """NULL and 0 are different."""
    numbers = encode_numbers(np.array([value or 0.0 for value in values]))
    null = np.array([value is None for value in values])
    assert read("Nullable(Float64)", len(values), encode_nullable(numbers, null)) == values
