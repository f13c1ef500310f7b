"""Sizes as people read them."""

from __future__ import annotations


def size_text(size: float) -> str:
    """Return bytes in the decimal unit that suits them: 999 B, 1.0 kB, 12.3 MB, 4.56 GB."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
