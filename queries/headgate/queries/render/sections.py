"""An answer cut into what every document shows: heading, notes, numbers of the summary, tables of text.

HTML, PDF and Markdown are made of these, so that they say the same in the same words as the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headgate.queries.catalog import entry
from headgate.queries.declaration import described
from headgate.queries.render.readable import readable
from headgate.queries.render.table import (
    NOT_SHOWN,
    heading,
    is_numeric,
    left_out,
    legend,
    nothing,
)
from headgate.queries.render.tables import is_empty
from headgate.queries.render.wording import cell, moment, title

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Cell:
    """A header or a cell: its text, and whether it is a number."""

    text: str
    numeric: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: headers with what they mean, and rows of cells; `more` counts the rows that are left out."""

    title: str
    fields: tuple[str, ...]
    headers: tuple[tuple[Cell, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: str


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


def sections(document: Mapping[str, Any], rows: int = 0) -> Sections:
    """Cut a document; numbers are (title, value, meaning), tables at most so many rows long (0: all)."""
    report = entry(document["report"]).report
    summary = document["summary"]
    tables = {n: document["rows"] if n == "rows" else summary[n] for n in report.tables}
    meanings = {name: meaning for name, (_, meaning) in described(report.summary).items()}
    return Sections(
        name=document["report"],
        question=report.question,
        heading=heading(document),
        notes=tuple(map(readable, summary["notes"])),
        numbers=tuple(
            (title(name), cell(name, summary), meanings.get(name, ""))
            for name, value in summary.items()
            if name not in NOT_SHOWN and value is not None and not isinstance(value, list)
        ),
        sheets=tuple(
            _sheet(document["report"] if name == "rows" else title(name), records, report.tables[name],
                   _meanings(report, name), rows)
            for name, records in tables.items()
            if records
        ),
        estimated=() if document["exact"] else tuple(legend(document)),
        empty=nothing(document) if is_empty(document) else "",
        generated_at=moment(document["generated_at"], document["params"]["timezone"]),
    )  # fmt: skip


def _meanings(report: Any, name: str) -> dict[str, str]:
    kind = report.row
    if name != "rows":
        declared = described(report.summary)[name][0]
        kind = declared.__args__[0]
    return {field: meaning for field, (_, meaning) in described(kind).items()}


def _sheet(
    name: str,
    records: list[dict[str, Any]],
    columns: tuple[str, ...],
    meanings: dict[str, str],
    most: int,
) -> Sheet:
    numeric = {column: is_numeric(records, column) for column in columns}
    shown = records[:most] if most else records
    return Sheet(
        name,
        columns,
        tuple((Cell(title(c), numeric[c]), meanings.get(c, "")) for c in columns),
        tuple(tuple(Cell(cell(c, row), numeric[c]) for c in columns) for row in shown),
        left_out(len(records) - len(shown)),
    )
