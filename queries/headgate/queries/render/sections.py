"""An answer cut into what every document shows: heading, notes, numbers of the summary, tables of text.

HTML, PDF and Markdown are made of these, so that they say the same in the same words as the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headgate.queries.catalog import entry
from headgate.queries.declaration import described
from headgate.queries.render.table import (
    NOT_SHOWN,
    cell,
    heading,
    is_numeric,
    legend,
    nothing,
    show,
    title,
)
from headgate.queries.render.tables import is_empty

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Cell:
    """A header or a cell: its text, and whether it is a number."""

    text: str
    numeric: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: headers with what they mean, and rows of cells."""

    title: str
    headers: tuple[tuple[Cell, str], ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of an answer, as text; `empty` is a sentence where nothing was recorded."""

    name: str
    question: str
    heading: str
    notes: tuple[str, ...]
    numbers: tuple[tuple[str, str, str], ...]
    sheets: tuple[Sheet, ...]
    estimated: tuple[str, ...]
    empty: str
    generated_at: str


def sections(document: Mapping[str, Any]) -> Sections:
    """Cut a document; numbers are (title, value, meaning)."""
    report = entry(document["report"]).report
    summary = document["summary"]
    tables = {n: document["rows"] if n == "rows" else summary[n] for n in report.tables}
    meanings = {name: meaning for name, (_, meaning) in described(report.summary).items()}
    uncertain = summary.get("uncertainty", {})
    return Sections(
        name=document["report"],
        question=report.question,
        heading=heading(document),
        notes=tuple(summary["notes"]),
        numbers=tuple(
            (title(name), show(name, value, uncertain.get(name)), meanings.get(name, ""))
            for name, value in summary.items()
            if name not in NOT_SHOWN and value is not None and not isinstance(value, list)
        ),
        sheets=tuple(
            _sheet(document["report"] if name == "rows" else title(name), rows, report.tables[name],
                   _meanings(report, name))
            for name, rows in tables.items()
            if rows
        ),
        estimated=() if document["exact"] else tuple(legend(document)),
        empty=nothing(document) if is_empty(document) else "",
        generated_at=document["generated_at"],
    )  # fmt: skip


def _meanings(report: Any, name: str) -> dict[str, str]:
    kind = report.row
    if name != "rows":
        declared = described(report.summary)[name][0]
        kind = declared.__args__[0]
    return {field: meaning for field, (_, meaning) in described(kind).items()}


def _sheet(
    name: str, rows: list[dict[str, Any]], columns: tuple[str, ...], meanings: dict[str, str]
) -> Sheet:
    numeric = {column: is_numeric(rows, column) for column in columns}
    return Sheet(
        name,
        tuple((Cell(title(c), numeric[c]), meanings.get(c, "")) for c in columns),
        tuple(tuple(Cell(cell(c, row), numeric[c]) for c in columns) for row in rows),
    )
