"""Answers in every format: a table for people, files for offices, JSON, CSV and Parquet for programs.

All are made from the document of an answer, so that one that came over HTTP looks like one computed here. What a
format needs beside the base installation comes with the extra `export`, and is imported when it is used.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headgate.queries.errors import ReportError, choices
from headgate.queries.render.clock import local

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its media type, whether a terminal can show it, and the function that makes it, as `module:name`."""

    media: str
    text: bool
    maker: str


FORMATS = {
    "table": Format("text/plain; charset=utf-8", True, "table:as_table"),
    "json": Format("application/json", True, ""),
    "csv": Format("text/csv; charset=utf-8", True, "sheet:as_csv"),
    "md": Format("text/markdown; charset=utf-8", True, "markdown:as_markdown"),
    "html": Format("text/html; charset=utf-8", True, "page:as_page"),
    "pdf": Format("application/pdf", False, "paper:as_paper"),
    "xlsx": Format(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        False,
        "workbook:as_workbook",
    ),
    "parquet": Format("application/vnd.apache.parquet", False, "parquet:as_parquet"),
    "svg": Format("image/svg+xml", True, "picture:as_svg"),
    "png": Format("image/png", False, "picture:as_png"),
}

_FOR_PROGRAMS = {"csv", "parquet"}


def render(
    document: Document, format_: str, *, width: int = 80, color: bool = False, chart: int = 1
) -> bytes:
    """Return a document in a format; text is UTF-8 and ends with a newline.

    `width` and `color` matter to tables only, `chart` (the number of the chart, from 1) to pictures only. Raises
    ReportError for a format that there is not, or whose libraries are not installed.
    """
    known = FORMATS.get(format_)
    if known is None:
        raise ReportError(
            f"format {format_!r} is not possible; choose one of: {choices(format_, FORMATS)}"
        )
    if format_ == "json":
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"
    module, _, name = known.maker.partition(":")
    options: dict[str, Any] = {}
    if format_ == "table":
        options = {"width": width, "color": color}
    elif format_ in {"svg", "png"}:
        options = {"chart": chart}
    try:
        maker: Callable[..., str | bytes] = getattr(
            importlib.import_module(f"headgate.queries.render.{module}"), name
        )
        made = maker(document if format_ in _FOR_PROGRAMS else local(document), **options)
    except ModuleNotFoundError as error:
        raise ReportError(
            f"format {format_} needs {error.name}, which is not installed: pip install 'headgate[export]'"
        ) from error
    return made.encode() if isinstance(made, str) else made
