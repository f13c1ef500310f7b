"""Text that every exporter can encode."""

from __future__ import annotations


def encodable(text: str) -> str:
    """Return `text` with lone surrogates replaced: one would make the exporter drop its whole batch."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
