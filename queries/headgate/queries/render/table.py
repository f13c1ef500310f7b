"""An answer for a terminal: what was asked, over which window, the summary, the tables; readable at 80 columns."""

from __future__ import annotations

import collections
import io
import textwrap
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headgate.queries.catalog import entry
from headgate.queries.render.readable import readable
from headgate.queries.render.tables import is_empty
from headgate.queries.render.wording import cell, moment, title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXT_COLUMNS = {"operation", "message", "operations", "error_type", "service", "verdict"}
_TEXT_COLUMNS |= {
    "finding",
    "advice",
    "key",
    "value",
    "code",
    "measure",
    "steps",
    "path",
    "next_step",
    "reason",
    "first",
    "second",
}
_TEXT_WIDTH = 11
_WORD_WIDTH = 18  # of words that are not broken
_GAP = 2
_REASONS = 3
NOT_SHOWN = {"source", "notes", "uncertainty"}


def as_table(document: dict[str, Any], *, width: int, color: bool, rows: int = 0) -> str:
    """Return the answer as text of at most `width` columns, its tables of at most so many rows (0: all)."""
    text = io.StringIO()
    console = Console(
        file=text,
        width=width,
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        markup=False,
    )
    console.print(Group(*_parts(document, width, rows)))
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    return "\n".join(lines).rstrip("\n") + "\n"


def _parts(document: dict[str, Any], width: int, most: int) -> list[Any]:
    report = entry(document["report"]).report
    summary = document["summary"]
    parts: list[Any] = [
        Text(f"{document['report']}: {report.question}", style="bold"),
        Text(heading(document), style="dim"),
        *(Text(f"Note: {readable(note)}.", style="yellow") for note in summary["notes"]),
    ]
    tables = {name: document["rows"] if name == "rows" else summary[name] for name in report.tables}
    if is_empty(document):
        return [*parts, Text(""), Text(nothing(document))]
    parts += [Text(""), _summary(summary)]
    for name, columns in report.tables.items():
        if tables[name]:
            parts += [Text("")]
            parts += (
                [Text(document["report"] if name == "rows" else title(name), style="bold")]
                if len(report.tables) > 1
                else []
            )
            shown = tables[name][:most] if most else tables[name]
            parts += [_table(shown, columns, width)]
            if more := left_out(len(tables[name]) - len(shown)):
                parts += [Text(more, style="dim")]
    if not document["exact"]:
        parts += [Text(""), *(Text(line, style="dim") for line in legend(document))]
    return parts


def legend(document: Mapping[str, Any]) -> list[str]:
    """Return what the signs mean, and why some numbers have no interval."""
    records = [document["summary"], *document["rows"]]
    records += [
        item
        for value in document["summary"].values()
        if isinstance(value, list)
        for item in value
        if isinstance(item, dict)
    ]
    found = collections.Counter(
        bounds["reason"]
        for record in records
        for bounds in record.get("uncertainty", {}).values()
        if bounds.get("reason")
    )
    reasons = [f"~ {reason}" for reason, _ in found.most_common(_REASONS)]
    more = len(found) - len(reasons)
    return [
        "Estimated from sampled rows: ± or (low to high) is the 95 % interval, ≥ ≤ are bounds, ~ has none.",
        *reasons,
        *([f"~ and {more} more reasons, all of them in JSON and CSV"] if more else []),
    ]


def left_out(count: int) -> str:
    """Return what to say of rows that a table leaves out."""
    return f"and {count:,} more; --rows 0 shows all, JSON, CSV and Excel hold them" if count else ""


def heading(document: Mapping[str, Any]) -> str:
    """Return what an answer is of: its window, what it was narrowed to, whether it is exact, where it comes from."""
    window = document["window"]
    asked = [
        f"{key}={value}"
        for key, value in document["params"].items()
        if key in {"service", "operation"} and value
    ]
    asked += [f"{key}={value}" for key, value in document["params"]["where"].items()]
    asked = [readable(text) for text in asked]
    narrowed = f" · {' '.join(asked)}" if asked else ""
    how = "exact" if document["exact"] else "estimated"
    since, until = moment(window["since"]), moment(window["until"])
    zone = document["params"]["timezone"]
    return f"{since} to {until} {zone}{narrowed} · {how}, from {document['summary']['source']}"


def nothing(document: Mapping[str, Any]) -> str:
    """Return what to say and to advise where nothing was recorded."""
    narrower = " and without its filters" if document["params"]["where"] else ""
    return (
        "Nothing was recorded in this window. Try a longer one with --since 7d"
        f"{narrower}, or check that the application sends its data here."
    )


def _summary(summary: dict[str, Any]) -> Padding:
    shown = [
        (name, cell(name, summary))
        for name, value in summary.items()
        if name not in NOT_SHOWN and value is not None and not isinstance(value, list)
    ]
    grid = Table.grid(padding=(0, 2))
    for style in ("dim", "", "dim", ""):
        grid.add_column(style=style)
    half = (len(shown) + 1) // 2
    for index in range(half):
        left = shown[index]
        right = shown[index + half] if index + half < len(shown) else None
        cells = [title(left[0]), left[1], *([title(right[0]), right[1]] if right else ["", ""])]
        grid.add_row(*(Text(cell) for cell in cells))
    return Padding(grid, (0, 0, 0, 1))


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...], width: int) -> Table:
    """Lay out as many of the columns as fit, from the first on, with no word of a name broken needlessly."""
    cells = {name: [cell(name, row) for row in rows] for name in columns}
    shown: list[str] = []
    left = width
    for name in columns:
        left -= _least_width(name, cells[name]) + _GAP
        if left < -_GAP:
            break
        shown.append(name)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
    for name in shown:
        numeric = is_numeric(rows, name)
        head = _broken_title(name, cells[name]) if numeric else title(name)
        table.add_column(
            head,
            justify="right" if numeric else "left",
            vertical="top",
            overflow="fold",
            no_wrap=numeric,
            min_width=_least_width(name, cells[name]),
        )
    for index in range(len(rows)):
        table.add_row(*(Text(cells[name][index]) for name in shown))
    return table


def is_numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Return whether a column is set flush right."""
    return name.endswith(("_at", "_series")) or not isinstance(rows[0][name], str | list)


def _least_width(name: str, cells: list[str]) -> int:
    if name in _TEXT_COLUMNS:
        word = max(len(word) for cell in cells for word in (cell.split() or [""]))
        widest = max(_TEXT_WIDTH, min(word, _WORD_WIDTH))
        return min(max(len(title(name)), *map(len, cells)), widest)
    return max(*map(len, cells), *map(len, _broken_title(name, cells).split("\n")))


def _broken_title(name: str, cells: list[str]) -> str:
    """Return a title in lines about as short as what stands under it."""
    widest = max(8, *map(len, cells))
    return "\n".join(textwrap.wrap(title(name), widest, break_long_words=False))
