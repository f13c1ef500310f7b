"""The collector's fingerprint kernel computes exactly what `headgate.store.fingerprint` defines."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.collector.fingerprints import fingerprint_kernel, fingerprints
from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.layout import Text
from headgate.collector.warmup import warm_up
from headgate.collector.xxh import xxh64
from headgate.store.fingerprint import MAX_INPUT_BYTES, MAX_TEXT_BYTES, fingerprint

# Tests are no package, so the definition's examples and strategies are taken from its tests by path.
DEFINITION = runpy.run_path(str(Path(__file__).with_name("test_fingerprint.py")))
STACKS = {
    name: DEFINITION["text"](value)
    for name, value in DEFINITION.items()
    if name.isupper() and isinstance(value, str)
}
MESSAGES = [
    message.encode()
    for pair in DEFINITION["SAME_MESSAGE"] + DEFINITION["DIFFERENT_MESSAGE"]
    for message in pair
]
PIECES = DEFINITION["PIECES"] | st.sampled_from(
    [
        *(b"Suppressed: ", b"---> ", b"goroutine ", b"goroutin", b"from ", b"C:\\", b"d:/", b"12:"),
        *(b":in `", b':in "', b'File "', b"#0", b"\n  ", b"\n", b"a" * 40, b"ab12", b":", b"\\'"),
    ]
)


@st.composite
def edited(draw):
    """Draw an example with a few pieces of it replaced by others."""
    text = bytearray(draw(st.sampled_from([*STACKS.values(), *MESSAGES])))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 12))] = draw(PIECES)
    return bytes(text)


TEXTS = (
    st.binary(max_size=200)
    | st.text(max_size=50).map(str.encode)
    | st.lists(PIECES, max_size=40).map(b"".join)
    | edited()
)
ERRORS = st.tuples(st.binary(max_size=40), TEXTS, TEXTS)


def of(errors):
    """Return the kernel's fingerprints of (type, stack trace, message) triples."""
    heap = Heap(as_buffer(b"7'"))
    texts = [heap.add_texts([error[part] for error in errors]) for part in range(3)]
    return fingerprints(heap, *texts).tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(ERRORS, max_size=8))
def test_kernel_is_the_definition(errors):
    """For any bytes, like or unlike stack traces, the kernel's fingerprint is the definition's."""
    assert of(errors) == [fingerprint(*error) for error in errors]


@pytest.mark.parametrize("name", STACKS)
def test_kernel_agrees_on_every_cut(name):
    """Every example agrees as stack trace and as message, wherever it is cut off."""
    text = STACKS[name]
    cuts = [text[:end] for end in range(len(text) + 1)]
    errors = [(b"E", cut, b"") for cut in cuts] + [(b"E", b"", cut) for cut in cuts]
    assert of(errors) == [fingerprint(*error) for error in errors]


@pytest.mark.parametrize(
    "before", [b"", b"at f(x)\n", b"goroutine 7 [r]:\n", b"Caused by: X\n", b"x\n"]
)
@pytest.mark.parametrize("margin", [b"", b" ", b"\t", b"|", b"| ", b" |  ", b"| | ", b"\r"])
def test_kernel_agrees_on_edges_of_the_rules(before, margin):
    """Lines that just fit or just miss a rule agree, behind each margin and each kind of line."""
    lines = [
        *(b"at", b"at ", b"at x", b"att x", b"#", b"#1", b"#x", b"#1 a:b 2", b"(", b"/", b"/a/b:1"),
        *(
            b"a:/b",
            b"a:\\b",
            b"_:/b",
            b"\xe9:/b",
            b"ab:/c",
            b"a:b",
            b"a:",
            b"1:",
            b"12: f",
            b"12",
            b":/",
        ),
        *(
            b"a@b1",
            b"a@b1 ",
            b"a@b1\r",
            b"a@b",
            b"a @b1",
            b"a@b1 c",
            b"@1",
            b"1",
            b'File "',
            b"File '",
        ),
        *(
            b"x:in 'y",
            b"x:in `y",
            b'x:in "y',
            b":in 'y",
            b"in 'y",
            b"x:in y",
            b"x: in 'y",
            b"from",
            b"from ",
        ),
        *(
            b"Caused by: ",
            b"Caused by:",
            b"Caused by: a: b",
            b"---> a:b: c",
            b"--->",
            b"Suppressed: 'a b' c",
        ),
        *(
            b"a: b",
            b"a:",
            b"a:b: c",
            b"a:\tb",
            b"'a b' c",
            b"goroutine",
            b"goroutine ",
            b"",
            b"|",
            b"\x00",
        ),
    ]
    stacks = [
        before + margin + line + end for line in lines for end in (b"", b"\n", b"\n x 1\ny: z")
    ]
    errors = [(b"E", stack, b"") for stack in stacks]
    assert of(errors) == [fingerprint(*error) for error in errors]


def test_kernel_agrees_on_messages():
    """The examples of messages agree with their definition."""
    errors = [(b"E", b"", message) for message in MESSAGES]
    assert of(errors) == [fingerprint(*error) for error in errors]


@settings(deadline=None)
@given(st.lists(ERRORS, min_size=1, max_size=4), st.data())
def test_a_batch_is_its_errors_one_by_one(pool, data):
    """Repeated errors, in any order, get what each gets alone, also beside others of equal lengths."""
    kind, stack, message = pool[0]
    pool += [(kind[::-1], stack, message), (kind, stack[::-1], message)]
    pool.append((kind, stack, message[::-1]))
    batch = data.draw(st.lists(st.sampled_from(pool), max_size=30))
    assert of(batch) == [of([error])[0] for error in batch]


@pytest.mark.parametrize("around", [b"\\", b"'", b"a", b"x", b"1", b"1x", b" ", b":", b"#", b"/"])
def test_neighbouring_bytes_do_not_matter(around):
    """What lies beside a text in the heap is not read as a part of it."""
    texts = [
        *(b"'a' b", b"1 2", b":1", b"/1", b"x:in '", b"a@1", b" b", b"c:", b"/", b"'q"),
        *(b"in 'a b' c", b"1\n a:", b"at a/1", b" 1", b"'a b"),
    ]
    errors = [(b"E", stack, message) for stack in (b"", *texts) for message in texts]
    heap = Heap(as_buffer(b""))
    parts = []
    for part in range(3):
        padded = heap.add_texts([around + error[part] + around for error in errors])
        parts.append(Text(padded.offset + len(around), padded.length - 2 * len(around)))
    assert fingerprints(heap, *parts).tolist() == [fingerprint(*error) for error in errors]


@pytest.mark.parametrize(
    "unit",
    [
        *(b"y ", b"abc", b"1", b"a1 ", b"'", b"' ", b"/", b"\n", b" ", b"|", b"x\n", b":"),
        *(
            b" at f(x1)\n",
            b'  File "a.py", line 1, in f\n',
            b"Caused by: a.B: c\n",
            b"#0 z",
            b"a@1",
        ),
    ],
)
@pytest.mark.parametrize("limit", [MAX_TEXT_BYTES, MAX_INPUT_BYTES])
def test_limits_are_the_definitions(unit, limit):
    """Texts a little shorter and longer than each limit, and of twice its size, agree."""
    texts = [(unit * limit)[:size] for size in (limit - 1, limit, limit + 1, 2 * limit)]
    errors = [(b"E", text, b"") for text in (*texts, b" at f\n" + texts[-1])]
    errors.append((b"E", b"", texts[-1]))
    assert of(errors) == [fingerprint(*error) for error in errors]


def test_nothing_has_a_fingerprint_too():
    """No errors give no fingerprints; an error without type, stack trace and message has one."""
    assert of([]) == []
    assert of([(b"", b"", b"")] * 2) == [xxhash.xxh64_intdigest(b"\n")] * 2


def test_long_types_are_hashed_whole():
    """A type longer than any text is part of the fingerprint to its last byte."""
    errors = [(b"T" * 200_000 + last, b"", b"message 1") for last in (b"", b"1", b"2")]
    assert of(errors) == [fingerprint(*error) for error in errors]
    assert len(set(of(errors))) == len(errors)


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize(("offset", "length"), [(0, 21), (99, 1), (-5, 3), (3, -1)])
def test_a_reference_outside_the_heap_is_an_error(part, offset, length):
    """A text outside the heap raises, whichever it is, and never reads other memory."""
    texts = [Text(np.zeros(1, np.int64), np.zeros(1, np.int64)) for _ in range(3)]
    texts[part] = Text(np.array([offset]), np.array([length]))
    with pytest.raises(IndexError):
        fingerprints(Heap(as_buffer(b"a\n" * 10)), *texts)


@given(st.binary(max_size=200), st.integers(0, 9))
@settings(deadline=None)
def test_hash_is_xxhash64(data, margin):
    """The compiled hash is xxHash64 wherever the bytes lie, and 0 for an empty string."""
    text = Text(np.array([margin]), np.array([len(data)]))
    got = xxh64(as_buffer(b"m" * margin + data), text).tolist()
    assert got == [xxhash.xxh64_intdigest(data) if data else 0]


def test_warm_up_compiles_the_kernel():
    """After the warm-up the kernel is compiled, and no error needs another version of it."""
    warm_up()
    compiled = fingerprint_kernel.signatures
    assert compiled
    of([(b"E", STACKS["PYTHON"], b"message")])
    assert fingerprint_kernel.signatures == compiled
