"""An answer as Markdown (GitHub's tables), for tickets, wikis and chats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.queries.render.sections import Cell, Sheet, sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def as_markdown(document: Mapping[str, Any], rows: int = 0) -> str:
    """Return the answer as text."""
    return "\n".join(_lines(document, rows)) + "\n"


def _lines(document: Mapping[str, Any], rows: int) -> Iterator[str]:
    parts = sections(document, rows)
    yield from (f"# {parts.name}", "", _escape(parts.question), "", f"*{_escape(parts.heading)}*")
    for note in parts.notes:
        yield from ("", f"> {_escape(note)}.")
    if parts.empty:
        yield from ("", parts.empty)
        return
    yield from ("", "| | |", "|---|---|")
    yield from (f"| {_escape(name)} | {_escape(value)} |" for name, value, _ in parts.numbers)
    for sheet in parts.sheets:
        yield from ("", f"## {_escape(sheet.title)}", "", *_table(sheet))
        if sheet.more:
            yield from ("", f"*{_escape(sheet.more)}*")
    for line in parts.estimated:
        yield from ("", f"*{_escape(line)}*")


def _table(sheet: Sheet) -> Iterator[str]:
    heads = [cell for cell, _ in sheet.headers]
    yield _row(heads)
    yield "|" + "|".join("--:" if cell.numeric else "---" for cell in heads) + "|"
    yield from map(_row, sheet.rows)


def _row(cells: Any) -> str:
    return "| " + " | ".join(_escape(cell.text) for cell in cells if isinstance(cell, Cell)) + " |"


def _escape(text: str) -> str:
    """Return text that means itself: no table ends, no markup begins."""
    for character in ("\\", "|", "*", "_", "`", "<", "[", "#"):
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
