"""What the bytes and the lines of a stack trace are, as `headgate.store.fingerprint` defines them.

Functions take a line by its first byte and the `end` of the whole text, counted from the address `source`: they stop
at a newline by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel
from headgate.collector.memory import byte_at, load32

if TYPE_CHECKING:
    from collections.abc import Iterable


# What a byte can be, as bits of its entry in CLASS. A newline is no blank here: it ends every loop over blanks.
BLANK, DIGIT, LETTER, WORD, NAME, ID, QUOTE, DELIMITER, SKIP_END, BETWEEN, SLASH, UNDERLINE = (
    1 << bit for bit in range(12)
)
_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MEMBERS: dict[int, Iterable[int]] = {
    BLANK: set(range(33)) - {10},
    DIGIT: _DIGITS,
    LETTER: _LETTERS,
    WORD: (*_DIGITS, *_LETTERS, *b"_-", *range(128, 256)),
    NAME: (*_LETTERS, *range(128, 256)),
    ID: b"0123456789abcdefABCDEFxX_-",
    QUOTE: b"'\"`",
    DELIMITER: b"'\"`()<>[]{},;|=",
    SKIP_END: (*b"'\"`()<>[]{},;|", *range(33)),
    BETWEEN: b" .:,+",
    SLASH: b"/\\",
    UNDERLINE: b"^~",
}
CLASS = np.array(
    [sum(bit for bit, members in _MEMBERS.items() if byte in members) for byte in range(256)],
    np.uint16,
)
NEWLINE, SPACE, HASH, ANY, COLON, BACKSLASH, AT_SIGN, BAR, DOUBLE_QUOTE, X = b'\n #?:\\@|"x'
METHOD = np.uint64(int.from_bytes(b":in ", "little"))  # before a quote: where Ruby places an error

# How lines begin that are heads, goroutines, frames, or frames if indented: rows of a length and the bytes.
PREFIX = np.array(
    [
        [len(prefix), *prefix.ljust(12)]
        for prefix in (
            *(b"Caused by: ", b"Suppressed: ", b"---> ", b"goroutine ", b"at "),
            *(b'File "', b"from ", b"(", b"/"),
        )
    ],
    np.uint8,
)
GOROUTINE, AT = 3, 4

# What a line is. A goroutine's line adds nothing but is remembered: a plain line after one of the last two is a head.
NO_LINE, HEAD_LINE, GOROUTINE_LINE, FRAME_LINE = range(4)


@kernel
def prefix_at(source: int, position: int, end: int) -> int:
    """Return the row of PREFIX that the bytes from `position` begin with, or -1."""
    for row in range(PREFIX.shape[0]):
        size = i64(PREFIX[row, 0])
        same = i64(0)
        while (
            same < size
            and position + same < end
            and byte_at(source, position + same) == PREFIX[row, same + 1]
        ):
            same += 1
        if same == size:
            return row
    return -1


@kernel
def skip_margin(source: int, position: int, end: int) -> tuple[int, bool]:
    """Return (the first byte of a line behind blanks and bars, whether a blank is directly before it)."""
    margin = position
    while position < end:
        if byte_at(source, position) == BAR:
            margin = position + 1
            if margin < end and CLASS[byte_at(source, margin)] & BLANK:
                margin += 1
            position = margin
        elif CLASS[byte_at(source, position)] & BLANK:
            position += 1
        else:
            break
    return position, position > margin


@kernel
def is_place(source: int, position: int, end: int) -> bool:
    """Return whether a line begins with a drive, as in `C:/`, or with a number and a colon."""
    first = i64(CLASS[byte_at(source, position)])
    position += 1
    while first & DIGIT and position < end and CLASS[byte_at(source, position)] & DIGIT:
        position += 1
    if position == end or byte_at(source, position) != COLON:
        return False
    if first & DIGIT:
        return True
    slash = position + 1 < end and CLASS[byte_at(source, position + 1)] & SLASH != 0
    return slash and first & LETTER != 0


@kernel
def survey(source: int, start: int, end: int) -> tuple[int, int, bool, bool]:
    """Return of a line (where it ends, where a head ends, whether it is a browser's frame, whether Ruby's head)."""
    head_end = i64(-1)
    at_sign = digit = blank = words = ruby = False
    position = start
    while position < end and byte_at(source, position) != NEWLINE:
        byte = byte_at(source, position)
        kind = i64(CLASS[byte])
        if kind & BLANK:
            blank = True
            if head_end < 0 and position > start and byte_at(source, position - 1) == COLON:
                head_end = position - 1
        else:
            words = blank
            digit = kind & DIGIT != 0
            at_sign = at_sign or byte == AT_SIGN
            if kind & QUOTE and byte != DOUBLE_QUOTE and position - start >= 4:
                ruby = ruby or load32(source, position - 4) == METHOD
        position += 1
    if head_end < 0:
        closed = position > start and byte_at(source, position - 1) == COLON
        head_end = position - 1 if closed else position
    return position, head_end, at_sign and digit and not words, ruby


@kernel
def classify(source: int, position: int, end: int, previous: int) -> tuple[int, int, int]:
    """Return (what the line at `position` is, where the part begins that it adds, where that ends at the latest)."""
    position, indented = skip_margin(source, position, end)
    row = prefix_at(source, position, end)
    if row == GOROUTINE or position == end or byte_at(source, position) == NEWLINE:
        return GOROUTINE_LINE if row == GOROUTINE else NO_LINE, position, position
    if row >= 0 and row < GOROUTINE:
        position += i64(PREFIX[row, 0])
        return HEAD_LINE, position, survey(source, position, end)[1]
    numbered = byte_at(source, position) == HASH and position + 1 < end
    if (
        row == AT
        or (numbered and CLASS[byte_at(source, position + 1)] & DIGIT)
        or (indented and (row >= 0 or previous == FRAME_LINE))
        or (indented and is_place(source, position, end))
    ):
        return FRAME_LINE, position, end
    line_end, head_end, browser, ruby = survey(source, position, end)
    if browser:
        return FRAME_LINE, position, line_end
    if not indented and (ruby or previous >= GOROUTINE_LINE):
        return HEAD_LINE, position, head_end
    return NO_LINE, line_end, line_end
