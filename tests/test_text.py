"""Attribute values as text: numbers as ECMAScript writes them, the rest as the stock exporter does."""

from __future__ import annotations

import random
import struct

import numpy as np
import otlp_strategies
import pytest
import twin_values
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue, KeyValueList
from otlp_examples import any_value

from headgate.collector.attributes import Values
from headgate.collector.composite import format_double, kvlist_json
from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.layout import Text
from headgate.collector.text import value_text

BOOL, INT, DOUBLE = 2, 3, 4


def texts(kinds: list[int], bits: list[int]) -> list[bytes]:
    none = np.zeros(len(kinds), np.int64)
    values = Values(np.array(kinds, np.uint8), np.array(bits, np.uint64), Text(none, none))
    heap = Heap(as_buffer(b"the request"))
    found = value_text(heap, values)
    return heap.read(found)


def double_texts(numbers: list[float]) -> list[str]:
    bits = [int.from_bytes(struct.pack("<d", x), "little") for x in numbers]
    return [text.decode() for text in texts([DOUBLE] * len(numbers), bits)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
@example([0, 1, 2**63, 2**63 + 1, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0xFFF8 << 48 | 7])
def test_every_double(bits):
    """Every bit pattern of a double gives the shortest text that reads back, in ECMAScript's form."""
    numbers = [struct.unpack("<d", b.to_bytes(8, "little"))[0] for b in bits]
    assert double_texts(numbers) == [twin_values.double(x) for x in numbers]


def decimals(count: int) -> list[float]:
    """Return numbers such as people write, and their neighbours: where the quick way begins and ends."""
    rng = random.Random(2)  # noqa: S311 - a test repeats itself
    found: list[float] = []
    for _ in range(count):
        digits, places = rng.randint(1, 17), rng.randint(0, 8)
        x = rng.choice((-1, 1)) * rng.randrange(10**digits) / 10**places
        found += (x, float(np.nextafter(x, np.inf)), float(np.nextafter(x, -np.inf)))
    return found


def test_decimals():
    """Short decimals and the doubles beside them are told apart: 60 000 of them."""
    numbers = [*decimals(20_000), *otlp_strategies.DOUBLES, 1e15, 1e15 - 0.125, 2.0**53 - 1]
    assert double_texts(numbers) == [twin_values.double(x) for x in numbers]


@settings(max_examples=300)
@given(st.floats())
@example(1e-7)
@example(123456789012345680000.0)
@example(-1.5e300)
@example(9007199254740993.0)
def test_slow_way(x):
    """The way that takes any double agrees, and what it writes reads back as the same number."""
    text = format_double(x)
    assert text == twin_values.double(x)
    assert float(text) == x or x != x  # noqa: PLR0124 - NaN


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
@example([-(2**63), 2**63 - 1, 0, -1, 10**18, 10**18 - 1, -(10**18)])
def test_integers(numbers):
    """Every 64-bit integer is written in decimal."""
    bits = [x % 2**64 for x in numbers]
    assert texts([INT] * len(bits), bits) == [b"%d" % x for x in numbers]


def test_bools_and_unset():
    """Bools are words whatever number stands for true; values without a member, or with a foreign one, are empty."""
    assert texts([BOOL, BOOL, BOOL, 0, 8], [0, 1, 2**63, 5, 5]) == [
        b"false",
        b"true",
        b"true",
        b"",
        b"",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "[]"),
        ({}, "{}"),
        ([1, -0.0, 1e21, 1e-7, 5e20, 0.1, 2.0], "[1,0,1e+21,1e-7,500000000000000000000,0.1,2]"),
        ([float("nan"), float("inf"), float("-inf")], '["NaN","Infinity","-Infinity"]'),
        (
            ['"\\\n\x00<\u00e9', b"\xff\x00", None, True],
            '["\\"\\\\\\n\\u0000<\u00e9","/wA=",null,true]',
        ),
        ({"b": {"d": [], "c": None}, "a": 1}, '{"a":1,"b":{"c":null,"d":[]}}'),
        (
            [2**63 - 1, 2.0**53, 2.0**60],
            "[9223372036854775807,9007199254740992,1152921504606847000]",
        ),
    ],
)
def test_json(value, text):
    """Arrays and lists are JSON: keys sorted, numbers as outside of JSON, what JSON cannot say as strings."""
    written = any_value(value)
    member = written.WhichOneof("value")
    raw = getattr(written, member).SerializeToString()
    heap = Heap(as_buffer(raw))
    kind = np.array([{"array_value": 5, "kvlist_value": 6}[member]], np.uint8)
    whole = Text(np.zeros(1, np.int64), np.array([len(raw)]))
    found = value_text(heap, Values(kind, np.zeros(1, np.uint64), whole))
    assert heap.read(found) == [text.encode()]


def test_equal_keys_in_a_list():
    """Of equal keys in a list the last one stands, as in the stock exporter's JSON."""
    pairs = [KeyValue(key="k", value=any_value(value)) for value in (1, 2)]
    raw = KeyValueList(values=pairs).SerializeToString()
    assert kvlist_json(raw) == b'{"k":2}'
