"""Which characters no font on this machine can show: what would be an empty box on paper or in a picture.

Typst is asked, since it looks for a font as it does for the page itself: among its own, those of the system, and those
in a directory that is named. Under the rules of PDF/A (ISO 19005-2) it refuses what has no glyph, and says what.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_COMMON = 0x250  # Latin is in every font that there is
_REFUSED = re.compile(r'the text `"(.+)"` could not be displayed', re.DOTALL)
_MOST = 10
_LETTERS = {"L", "N", "P", "S"}  # marks and joiners are shown with what they belong to


def unshown(documents: Iterable[Mapping[str, Any]], fonts: Path | None = None) -> str:
    """Return a sentence about characters of answers that no font has, naming up to ten; empty where all are shown.

    Where Typst cannot tell, the sentence says so.
    """
    import typst

    wanted = {character for document in documents for character in _characters(document)}
    known = typst.Fonts(font_paths=[fonts] if fonts else [])
    lacking: list[str] = []
    while wanted and len(lacking) <= _MOST:
        text = " ".join(sorted(wanted)).replace("\\", "").replace('"', "")
        try:
            typst.compile(
                f'#"{text}"'.encode(),
                format="pdf",
                pdf_standards="a-2b",
                font_paths=known,
            )
        except typst.TypstError as error:
            refused = _REFUSED.search(str(error))
            named = wanted & set(refused[1]) if refused else set()
            if not named:  # other words than we know: no reason to give no report
                return f"which characters no font here has cannot be told: {error}"
            lacking += sorted(named)
            wanted -= named
        else:
            break
    if not lacking:
        return ""
    names = ", ".join(
        f"U+{ord(character):04X} {unicodedata.name(character, 'without a name').lower()}"
        for character in lacking[:_MOST]
    )
    more = " and more" if len(lacking) > _MOST else ""
    return (
        f"no font here has {names}{more}: install one that has, or name a directory of fonts with --fonts"
        " or $HEADGATE_FONTS; HTML, Excel and SVG use the fonts of who reads them"
    )


def _characters(value: Any) -> Iterator[str]:
    """Yield the characters of all texts that need a font of their script."""
    if isinstance(value, str):
        if not value.isascii():
            yield from (
                c for c in value if ord(c) >= _COMMON and unicodedata.category(c)[0] in _LETTERS
            )
    elif isinstance(value, list):
        for item in value:
            yield from _characters(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _characters(item)
