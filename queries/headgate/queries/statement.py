"""A statement as it is sent: a report's own text after the definitions of what it reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def joined(text: str, definitions: Mapping[str, str], relations: Mapping[str, str]) -> str:
    """Return a statement with those of the definitions that it reads, by their names or as relations, and no comments.

    What it does not read the engine would have to parse too, which takes as long as answering from a small table.
    """
    body = _uncommented(text)
    read = _read(body, definitions, relations)
    prelude = ",\n".join(
        f"{name} AS (\n{_uncommented(made)})" for name, made in definitions.items() if name in read
    )
    if not prelude:
        return body
    # A statement may begin with a WITH of its own; there can be only one.
    body = re.sub(r"\A\s*WITH\b", ",", body)
    return f"WITH {prelude}\n{body}"


def _read(text: str, definitions: Mapping[str, str], relations: Mapping[str, str]) -> set[str]:
    """Return the names of the definitions that a statement reads, or that those read."""
    found: set[str] = set()
    texts = [text]
    while texts:
        words = set(re.findall(r"\w+", texts.pop()))
        named = words | {relations[word] for word in words & relations.keys()}
        fresh = (named & definitions.keys()) - found
        found |= fresh
        texts += (_uncommented(definitions[name]) for name in fresh)
    return found


def _uncommented(text: str) -> str:
    return re.sub(r"^\s*--.*\n?", "", text, flags=re.MULTILINE)
