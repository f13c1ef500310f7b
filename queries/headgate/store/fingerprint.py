r"""Which errors are the same bug: type and normalised stack, with whatever differs between two occurrences removed.

The text is the stack trace; its indented lines (the frames) when it has any, so that the message is left out;
the whole of it otherwise; the message when there is no stack trace. In it

- a word (letters, digits, `_`, `-`, bytes above 127) with a digit in it becomes `#`, and `#.#`, `#:#`, `#,#`
  become `#`: numbers, ids, UUIDs, addresses, times;
- of a path or URL only the last part is kept;
- outside frames, a quoted value becomes `?`.

`fingerprint` here is the definition; the collector's kernel computes the same for a whole segment and is tested
against it.
"""

from __future__ import annotations

import re

import xxhash

_WORD = re.compile(rb"[A-Za-z0-9_\-\x80-\xff]+")
_QUOTED = re.compile(rb"(?<![A-Za-z0-9_\-\x80-\xff#])(['\"`])[^\n'\"`]*\1")
_BEFORE_SLASH = re.compile(rb"[^\s'\"`()<>\[\]{}=]*[/\\]")
_JOINED = re.compile(rb"#(?:[.:,]#)+")
MAX_TEXT_BYTES = 16384


def normalise(stack_trace: bytes, message: bytes) -> bytes:
    """Return the text that stands for an error's place in the code."""
    text = stack_trace or message
    frames = (
        [line for line in text.split(b"\n") if line[:1] in {b" ", b"\t"}] if stack_trace else []
    )
    if frames:
        text = b"\n".join(frames)
    text = text[:MAX_TEXT_BYTES]
    if not frames:
        text = _QUOTED.sub(b"?", text)
    text = _BEFORE_SLASH.sub(b"", text)
    text = _WORD.sub(lambda m: b"#" if any(48 <= c <= 57 for c in m[0]) else m[0], text)
    return _JOINED.sub(b"#", text)


def fingerprint(error_type: bytes, stack_trace: bytes, message: bytes) -> int:
    """Return the 64-bit fingerprint of an error: xxHash64 of its type, a newline and its normalised text."""
    return xxhash.xxh64_intdigest(error_type + b"\n" + normalise(stack_trace, message))
