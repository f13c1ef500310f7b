"""Names from outside as text that shows what it is: nothing in them moves a cursor or turns the line around."""

from __future__ import annotations

import unicodedata

EMPTY = "(empty)"
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, formats, surrogates, ends of lines
_JOINERS = {"\u200c", "\u200d"}  # part of words and of emoji


def readable(text: str) -> str:
    """Return the text with control characters, also those that change direction, as Python's escapes."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _HIDDEN and character not in _JOINERS
        else character
        for character in text
    )


def named(text: str) -> str:
    """Return a name as `readable`; one of no characters, or of blanks alone, says so."""
    return readable(text) if text.strip() else EMPTY
