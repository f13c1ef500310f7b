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
    from collections.abc import Callable, Sequence
    from pathlib import Path

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
_OPTIONS = {
    "table": ("width", "color", "rows"), "md": ("rows",), "html": ("rows",), "pdf": ("rows", "fonts"),
    "csv": ("table",), "parquet": ("table",), "svg": ("chart",), "png": ("chart", "fonts"),
}  # fmt: skip
_MOST_ROWS = {"table": 50, "md": 50, "pdf": 100, "html": 300}
_AFTER_EACH_OTHER = {"table", "md"}  # the others hold several answers in one file


def format_of(ending: str, given: str, otherwise: str) -> str:
    """Return the format that is given, else the one of a file's ending, else the other where there is no file.

    Raises ReportError for a format or an ending that there is not.
    """
    wanted = given or ending or otherwise
    if wanted not in FORMATS:
        said = f"format {wanted!r}" if given else f"a file that ends in .{ending}"
        raise ReportError(f"{said} is not possible; choose one of: {choices(wanted, FORMATS)}")
    return wanted


def unshown(documents: Sequence[Document], format_: str, fonts: Path | None = None) -> str:
    """Return a sentence about characters that a format cannot show here, for want of a font; empty for most formats."""
    if "fonts" not in _OPTIONS.get(format_, ()):
        return ""
    from headgate.queries.render.fonts import unshown as of_fonts

    return of_fonts(documents, fonts)


def render(
    documents: Document | Sequence[Document],
    format_: str,
    *,
    width: int = 80,
    color: bool = False,
    chart: int = 1,
    table: str = "",
    rows: int | None = None,
    fonts: Path | None = None,
) -> bytes:
    """Return one or several answers of one report in a format; text is UTF-8 and ends with a newline.

    `width` and `color` matter to tables only, `chart` (the number of the chart, from 1) to pictures only, and `table`
    (`rows`, `summary`, or a list of the summary) to CSV and Parquet only. What people read holds at most `rows` rows of
    each table and says how many more there are; 0 is all, None what suits the format.

    `fonts` is a directory of fonts for paper and PNG, beside those of the system; `unshown` says what none has.

    Raises ReportError for a format that there is not, whose libraries are not installed,
    and for a chart or a table that there is not.
    """
    known = FORMATS[format_of("", format_, "")]
    documents = [documents] if isinstance(documents, dict) else list(documents)
    if table and "table" not in _OPTIONS.get(format_, ()):
        raise ReportError(f"one table alone is for csv and parquet; {format_} holds all of them")
    if format_ == "json":
        shown: Any = documents[0] if len(documents) == 1 else documents
        return json.dumps(shown, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    given: dict[str, Any] = {"width": width, "color": color, "chart": chart, "table": table}
    given["fonts"] = fonts
    given["rows"] = _MOST_ROWS.get(format_, 0) if rows is None else rows
    options = {name: given[name] for name in _OPTIONS.get(format_, ())}
    module, _, name = known.maker.partition(":")
    try:
        maker: Callable[..., str | bytes] = getattr(
            importlib.import_module(f"headgate.queries.render.{module}"), name
        )
        shown = [d if format_ in _FOR_PROGRAMS else local(d) for d in documents]
        groups = [[document] for document in shown] if format_ in _AFTER_EACH_OTHER else [shown]
        made = [maker(*group, **options) for group in groups]
    except ModuleNotFoundError as error:
        raise ReportError(
            f"format {format_} needs {error.name}, which is not installed: pip install 'headgate[export]'"
        ) from error
    return b"\n".join(part.encode() if isinstance(part, str) else part for part in made)
