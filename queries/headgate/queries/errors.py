"""What can be wrong with a question, by what the asker should do about it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 10


class ReportError(ValueError):
    """The question cannot be answered as it was put; the message says how to put it."""


class UnknownReport(ReportError):
    """There is no report of that name."""


def choices(wanted: str, known: Iterable[str]) -> str:
    """Return the known names as text, the closest to `wanted` first, the rest of many only counted."""
    names = sorted(known)
    close = difflib.get_close_matches(wanted, names, n=3)
    ordered = close + [name for name in names if name not in close]
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more


def guess(wanted: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: what may have been meant, and what there is."""
    names = list(known)
    close = difflib.get_close_matches(wanted, names, n=1)
    meant = f", did you mean {close[0]!r}?" if close else ";"
    return f"{meant} there are: {choices(wanted, names)}"
