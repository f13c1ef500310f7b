"""Fingerprints of all errors of a segment, as `headgate.store.fingerprint` defines them.

That module's header holds the rules; here they are one pass over the bytes. Each error's type and text are written
into one scratch array and hashed there. A text never takes more bytes than were read for it: every byte written,
newlines and `?` included, stands for at least one that was passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.fingerprint_lines import (
    ANY,
    AT_SIGN,
    BACKSLASH,
    BETWEEN,
    BLANK,
    CLASS,
    COLON,
    DELIMITER,
    DIGIT,
    GOROUTINE_LINE,
    HASH,
    ID,
    NAME,
    NEWLINE,
    NO_LINE,
    QUOTE,
    SKIP_END,
    SLASH,
    SPACE,
    UNDERLINE,
    WORD,
    X,
    classify,
)
from headgate.collector.kernel import i64, kernel
from headgate.collector.memory import address, byte_at, copy_bytes, same
from headgate.collector.xxh import xxh64_one
from headgate.store.fingerprint import MAX_INPUT_BYTES, MAX_TEXT_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.heap import Heap
    from headgate.collector.layout import Text

RECENT = 256  # errors that are remembered, for one bug often fails many calls in the same words


@kernel
def write_word(
    source: int,
    position: int,
    end: int,
    out: NDArray[np.uint8],
    begin: int,
    size: int,
    in_frame: bool,  # noqa: FBT001 - kernels are called with positions only
) -> tuple[int, int]:
    """Write the word at `position` of `source` behind out[begin:size]; return (the position after it, the new size)."""
    word = size
    runs = some = i64(0)
    every = i64(ID)
    in_run = is_id = False
    while position < end:
        byte = byte_at(source, position)
        kind = i64(CLASS[byte])
        if not kind & WORD:
            break
        position += 1
        if kind & DIGIT and in_run:
            continue
        in_run = kind & DIGIT != 0
        if in_run:
            byte = i64(HASH)
            runs += 1
            is_id = is_id or not some & NAME
        some |= kind
        every &= kind
        out[size] = byte
        size += 1
    if runs == 0 or (in_frame and not (is_id or every > 0 or runs > 1)):
        return position, size
    # The word is a `#` as a whole; one or two separators between it and another `#` go with it.
    size = word
    for _ in range(2):
        if size - begin < 2 or not CLASS[out[size - 1]] & BETWEEN:
            break
        size -= 1
        if out[size - 1] == HASH:
            return position, size
    out[word] = HASH
    return position, word + 1


@kernel
def write_line(
    source: int,
    start: int,
    end: int,
    out: NDArray[np.uint8],
    base: int,
    size: int,
    in_frame: bool,  # noqa: FBT001 - kernels are called with positions only
) -> tuple[int, int]:
    """Write the line from `start` to a newline or `end`; return (where it ended, the new size).

    The text begins at `out[base]` and has reached `size`.
    """
    before_line = size
    if size > base:
        out[size] = NEWLINE
        size += 1
    begin = token = size
    position = start
    long_word = i64(-1)  # where a word of two or more bytes ended
    quote = quote_at = i64(0)
    blank = skipping = False
    while position < end:
        byte = byte_at(source, position)
        kind = i64(CLASS[byte])
        if byte == NEWLINE:
            break
        if skipping and not kind & SKIP_END:
            position += 1
            continue
        skipping = False
        if kind & BLANK or (in_frame and kind & UNDERLINE):
            blank = blank or kind & BLANK != 0
            position += 1
            continue
        if blank:
            blank = False
            if size > begin:
                out[size] = SPACE
                size += 1
            token = size
        if kind & WORD:
            word = position
            position, size = write_word(source, position, end, out, begin, size, in_frame)
            token = min(token, size)
            if position - word > 1:
                long_word = position
            continue
        before = byte_at(source, position - 1) if position > start else i64(SPACE)
        after = i64(CLASS[byte_at(source, position + 1)]) if position + 1 < end else i64(BLANK)
        opens = kind & QUOTE and position != long_word
        position += 1
        if in_frame:
            if kind & SLASH:
                hexadecimal = position + 1 < end and byte_at(source, position + 1) == X
                if not (after & DIGIT and hexadecimal):
                    size = token
                    continue
        elif (
            kind & SLASH
            or byte == AT_SIGN
            or (byte == COLON and CLASS[before] & WORD and after & DIGIT)
        ):
            out[token] = ANY
            size = token + 1
            skipping = True
            continue
        elif byte == quote and before != BACKSLASH and not after & WORD:
            out[quote_at] = ANY
            token = size = quote_at + 1
            quote = i64(0)
            continue
        elif quote == 0 and opens:
            quote = byte
            quote_at = size
        out[size] = byte
        size += 1
        if kind & DELIMITER or (in_frame and byte == AT_SIGN):
            token = size
    return position, size if size > begin else before_line


@kernel
def write_text(
    source: int,
    position: int,
    end: int,
    out: NDArray[np.uint8],
    base: int,
    max_text: int,
    in_frame: bool,  # noqa: FBT001 - kernels are called with positions only
) -> int:
    """Write the frames of a stack trace, or all lines as prose, from `out[base]`; return the position after them."""
    size = base
    kind = i64(NO_LINE)
    goroutines = i64(0)
    while position < end and size - base < max_text:
        stop = end
        if in_frame:
            kind, position, stop = classify(source, position, end, kind)
            goroutines += kind == GOROUTINE_LINE
            if goroutines > 1:
                break
        position, size = write_line(source, position, stop, out, base, size, in_frame)
        while position < end and byte_at(source, position) != NEWLINE:
            position += 1
        position += 1
    return size


@kernel
def fingerprint_kernel(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    max_input: int,
    max_text: int,
    recent: NDArray[np.int64],
    scratch: NDArray[np.uint8],
    written: NDArray[np.uint8],
    out: NDArray[np.uint64],
) -> None:
    """Fill `out`; all references are known to lie in the buffer.

    Offset and length have a row for messages, stack traces and types each. `recent` remembers errors, by the lengths
    of their parts; it starts as -1. `written` is `scratch`, read-only: what the compiled hash takes.
    """
    text = address(buffer)
    for i in range(out.size):
        slot = ((length[0, i] * 31 + length[1, i]) * 31 + length[2, i]) % recent.size
        twin = recent[slot]
        recent[slot] = i
        part = i64(0)
        while (
            twin >= 0
            and part < 3
            and length[part, i] == length[part, twin]
            and same(text, buffer.size, offset[part, i], offset[part, twin], length[part, i])
        ):
            part += 1
        if part == 3:
            out[i] = out[twin]
            continue
        base = length[2, i] + 1
        copy_bytes(buffer, offset[2, i], scratch, 0, base - 1)
        scratch[base - 1] = NEWLINE
        size = base
        for choice in range(3):  # the stack trace's frames, else all of it, else the message
            part = i64(choice < 2)
            if size == base:
                position = offset[part, i]
                end = position + min(length[part, i], max_input)
                size = write_text(text, position, end, scratch, base, max_text, choice == 0)
        out[i] = xxh64_one(written, 0, size)


def fingerprints(heap: Heap, error_type: Text, stack: Text, message: Text) -> NDArray[np.uint64]:
    """Return the fingerprint of each error; raises IndexError where a text lies outside the heap."""
    buffer = heap.buffer
    parts = (message, stack, error_type)
    offset = np.stack([part.offset for part in parts])
    length = np.stack([part.length for part in parts])
    if np.any((offset < 0) | (length < 0) | (length > buffer.size - offset)):
        raise IndexError("a text of an error lies outside the heap")
    recent = np.full(RECENT, -1, np.int64)
    scratch = np.empty(int(error_type.length.max(initial=0)) + 1 + MAX_INPUT_BYTES, np.uint8)
    written = scratch.view()
    written.flags.writeable = False
    out = np.empty(len(error_type), np.uint64)
    limits = MAX_INPUT_BYTES, MAX_TEXT_BYTES
    fingerprint_kernel(buffer, offset, length, *limits, recent, scratch, written, out)
    return out
