r"""Which errors are the same bug: their type and place in the code, without ids and values.

This definition is final: stored fingerprints compare over months. The collector's kernel computes
the same for a whole segment and is tested against it.

`fingerprint` = xxHash64(type, newline, text). The text is the frames of the stack trace; if that
is empty, the stack trace as prose; if that is empty, the message as prose. At most the first 65536
bytes are read, and no line is begun once the text has 16384 bytes. Bytes up to 32 are blanks (a
newline ends a line); a word is a run of letters, digits, `_`, `-` and bytes above 127.

**Frames.** The margin of a line is its leading blanks; a `|` after blanks (exception groups) is
dropped with one blank after it, as often as it comes, and the margin begins anew behind it. The
rest is then the first of these that fits, `previous` being the kind of the line before:

1.  nothing: it has only blanks;
2.  goroutine: it begins with `goroutine `; at the second such line the text ends;
3.  head, its mark left out: it begins with `Caused by: `, `Suppressed: ` or `---> `;
4.  frame: it begins with `at `, or `#` and a digit; or it is indented and begins with `File "`,
    `from `, `(`, `/`, a letter then `:/` or `:\`, or digits then `:`; or it has no blank, has an
    `@`, and ends with a digit (blanks at its end aside);
5.  frame: it is indented, and `previous` is frame (a source line below its frame);
6.  head: it is not indented, and `previous` is frame or goroutine, or it has a `:in ` followed by a
    quote or a backquote;
7.  nothing.

A frame adds all its bytes; a head adds those before the first `:` that a blank or the end follows
(so without its message); the others add nothing. Both are written as below, joined by newlines;
a line that adds no byte adds no newline.

**Prose.** Every line is written, joined in the same way.

**Writing a line**, byte by byte. A token begins at the line's start and after each blank or
delimiter; delimiters are `'"`, backquote, `()<>[]{}=,;|` and, in frames, `@`.

-   Blanks become one space before the next byte written, none at the line's start or end.
-   In a word each run of digits becomes one `#`. At its end a word with digits becomes a single
    `#` as a whole: always in prose; in frames when a digit is its first byte besides `_` and `-`,
    when it has two or more runs of digits, or when its letters are all among `a`-`f`, `A`-`F`,
    `x`, `X`. If one or two of ` .:,+` are all that separates this `#` from another, they and it
    are removed again: `#:#` is `#`.
-   In frames `^` and `~` are left out. `/` and `\` are left out together with what their token has
    so far (only the last part of a path is kept), except before a digit followed by `x`.
-   In prose a `/`, `\` or `@`, or a `:` between a word byte and a digit, turns its token into `?`,
    and the bytes up to the next blank or delimiter other than `=` are skipped: paths, URLs,
    addresses, hosts with a port.
-   In prose, outside quotes, a quote (`'`, `"`, backquote) with at most one byte of a word directly
    before it opens; the next equal quote that has no backslash before it and no word byte after
    it closes, and what was written since the opening, both included, becomes `?`. Not closed in
    its line, it changes nothing.
"""

from __future__ import annotations

import re

import xxhash

MAX_INPUT_BYTES = 65536
MAX_TEXT_BYTES = 16384

_DIGITS = frozenset(b"0123456789")
_WORD = frozenset(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-" + bytes(range(128, 256))
)
_ID = frozenset(b"abcdefABCDEFxX_-0123456789")
_QUOTES = frozenset(b"'\"`")
_SKIP_END = frozenset(b"'\"`()<>[]{},;|") | frozenset(range(33))
_DELIMITERS = frozenset(b"'\"`()<>[]{},;|=")
_BETWEEN = frozenset(b" .:,+")
_HASH, _ANY, _SPACE, _NEWLINE, _COLON = b"#? \n:"

_BLANK = bytes(range(33))
_HAS_BLANK = re.compile(rb"[\x00-\x20]")
_MARGIN = re.compile(rb"(?:[\x00-\x20]*\|[\x00-\x20]?)*([\x00-\x20]*)")
_MARK = re.compile(rb"Caused by: |Suppressed: |---> ")
_FRAME = re.compile(rb"at |#[0-9]")
_INDENTED_FRAME = re.compile(rb'File "|from |\(|/|[A-Za-z]:[/\\]|[0-9]+:')
_METHOD = re.compile(rb":in ['`]")
_HEAD_END = re.compile(rb":(?=[\x00-\x20]|\Z)")


def fingerprint(error_type: bytes, stack_trace: bytes, message: bytes) -> int:
    """Return the 64-bit fingerprint of an error; equal for two occurrences of the same bug."""
    return xxhash.xxh64_intdigest(error_type + b"\n" + normalise(stack_trace, message))


def normalise(stack_trace: bytes, message: bytes) -> bytes:
    """Return the text that stands for an error's place in the code; empty when nothing is known."""
    return frames(stack_trace) or prose(stack_trace) or prose(message)


def prose(text: bytes) -> bytes:
    """Return all of `text` with ids, numbers, quoted values, paths and addresses removed."""
    out = bytearray()
    for line in text[:MAX_INPUT_BYTES].split(b"\n"):
        if len(out) >= MAX_TEXT_BYTES:
            break
        _write(out, line, in_frame=False)
    return bytes(out)


def frames(stack_trace: bytes) -> bytes:
    """Return the frames of a stack trace and the types of chained errors, without messages."""
    out = bytearray()
    previous = ""
    goroutines = 0
    for line in stack_trace[:MAX_INPUT_BYTES].split(b"\n"):
        if len(out) >= MAX_TEXT_BYTES:
            break
        previous, part = _classify(line, previous)
        goroutines += previous == "goroutine"
        if goroutines > 1:
            break
        _write(out, part, in_frame=True)
    return bytes(out)


def _classify(line: bytes, previous: str) -> tuple[str, bytes]:
    """Return the kind of a line and what it adds."""
    margin = _MARGIN.match(line)
    indented = bool(margin and margin[1])
    line = line[margin.end() :] if margin else line
    kind, part = "", b""
    if not line:
        pass
    elif line.startswith(b"goroutine "):
        kind = "goroutine"
    elif mark := _MARK.match(line):
        kind, part = "head", line[mark.end() :]
    elif (
        _FRAME.match(line)
        or (indented and (_INDENTED_FRAME.match(line) or previous == "frame"))
        or _is_browser_frame(line.rstrip(_BLANK))
    ):
        kind, part = "frame", line
    elif not indented and (previous in {"frame", "goroutine"} or _METHOD.search(line)):
        kind, part = "head", line
    if kind == "head" and (end := _HEAD_END.search(part)):
        part = part[: end.start()]
    return kind, part


def _is_browser_frame(line: bytes) -> bool:
    return b"@" in line and line[-1] in _DIGITS and not _HAS_BLANK.search(line)


class _Writer:
    """The text of one line as it grows; positions are offsets in `out`."""

    def __init__(self, out: bytearray, *, in_frame: bool) -> None:
        self.out = out
        self.in_frame = in_frame
        self.begin = self.token = len(out)
        self.word = -1
        self.blank = False

    def separate(self) -> None:
        """Write the one space that stands for the blanks before the next byte."""
        if self.blank:
            self.blank = False
            if len(self.out) > self.begin:
                self.out.append(_SPACE)
            self.token = len(self.out)

    def add(self, byte: int) -> None:
        """Write a byte of a word."""
        if self.word < 0:
            self.word = len(self.out)
            self.length = self.runs = 0
            self.in_run = self.is_id = False
            self.all_id = True
            self.named = False
        self.length += 1
        digit = byte in _DIGITS
        if not digit:
            self.out.append(byte)
            self.named = self.named or byte not in b"_-"
            self.all_id = self.all_id and byte in _ID
        elif not self.in_run:
            self.out.append(_HASH)
            self.runs += 1
            self.is_id = self.is_id or not self.named
        self.in_run = digit

    def end_word(self) -> int:
        """Finish the word that may be open and return its length in the input."""
        if self.word < 0:
            return 0
        whole = self.is_id or self.all_id or self.runs > 1 or not self.in_frame
        if self.runs and whole:
            self.cut(self.word)
            self.put_hash()
        self.word = -1
        return self.length

    def put_hash(self) -> None:
        """Write a `#`, unless only one or two separators divide it from another."""
        out = self.out
        for separators in (1, 2):
            at = len(out) - separators - 1
            if at >= self.begin and out[at] == _HASH and _BETWEEN.issuperset(out[at + 1 :]):
                self.cut(at + 1)
                return
        out.append(_HASH)

    def cut(self, position: int) -> None:
        """Take back what was written since `position`."""
        del self.out[position:]
        self.token = min(self.token, position)


def _write(  # noqa: C901, PLR0912 - one state machine, mirrored by the collector's kernel
    out: bytearray, line: bytes, *, in_frame: bool
) -> None:
    """Add a line to `out` by the rules of the module's header."""
    if out:
        out.append(_NEWLINE)
    writer = _Writer(out, in_frame=in_frame)
    quote, quote_at, skipping = 0, 0, False
    for i, byte in enumerate(line):
        if skipping and byte not in _SKIP_END:
            continue
        skipping = False
        if byte in _WORD:
            writer.separate()
            writer.add(byte)
            continue
        word_length = writer.end_word()
        before = line[i - 1] if i else _SPACE
        after = line[i + 1] if i + 1 < len(line) else _SPACE
        if byte <= _SPACE:
            writer.blank = True
            continue
        if in_frame and byte in b"^~":
            continue
        writer.separate()
        if in_frame:
            if byte in b"/\\" and not (after in _DIGITS and line[i + 2 : i + 3] == b"x"):
                writer.cut(writer.token)
                continue
        elif byte in b"/\\@" or (byte == _COLON and before in _WORD and after in _DIGITS):
            writer.cut(writer.token)
            out.append(_ANY)
            skipping = True
            continue
        elif quote and byte == quote and before != b"\\"[0] and after not in _WORD:
            writer.cut(quote_at)
            out.append(_ANY)
            quote = 0
            writer.token = len(out)
            continue
        elif not quote and byte in _QUOTES and word_length <= 1:
            quote, quote_at = byte, len(out)
        out.append(byte)
        if byte in _DELIMITERS or (in_frame and byte == b"@"[0]):
            writer.token = len(out)
    writer.end_word()
    if out and len(out) == writer.begin:
        del out[-1:]
