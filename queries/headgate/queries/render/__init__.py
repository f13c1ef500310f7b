"""Answers as text: a table for people, JSON and CSV for programs.

All are made from the document of an answer, so that one that came over HTTP looks like one computed here.
"""

from __future__ import annotations

import json
from typing import Any

from headgate.queries.errors import ReportError, choices
from headgate.queries.render.sheet import as_csv
from headgate.queries.render.table import as_table

FORMATS = ("table", "json", "csv")


def render(document: dict[str, Any], format_: str, *, width: int = 80, color: bool = False) -> str:
    """Return a document as text that ends with a newline; `width` and `color` matter to tables only."""
    if format_ == "json":
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if format_ == "csv":
        return as_csv(document)
    if format_ == "table":
        return as_table(document, width=width, color=color)
    raise ReportError(
        f"format {format_!r} is not possible; choose one of: {choices(format_, FORMATS)}"
    )
