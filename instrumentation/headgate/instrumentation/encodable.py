"""Text that every exporter can encode."""

from __future__ import annotations


def encodable(text: str) -> str:
    """`text` with lone surrogates replaced.

    One of them would make the exporter drop the whole batch.
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
