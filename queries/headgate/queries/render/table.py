"""An answer for a terminal: what was asked, over which window, the summary, the tables; readable at 80 columns."""

from __future__ import annotations

import collections
import io
import textwrap
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headgate.queries.catalog import entry
from headgate.queries.render.readable import named, readable
from headgate.queries.render.spark import spark
from headgate.queries.render.tables import is_empty

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
    "reason",
    "first",
    "second",
}
_NAMES = {
    "service",
    "operation",
    "user",
    "source",
    "target",
    "value",
    "error_type",
    "first",
    "second",
}
_TEXT_WIDTH = 11
_GAP = 2
_REASONS = 3
_SYMMETRIC_WITHIN = 0.15
NOT_SHOWN = {"source", "notes", "uncertainty"}
_OF_METRIC = {"value", "against", "difference", "low", "high", "before", "after"}
_MS_STEPS = ((3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms"))


def as_table(document: dict[str, Any], *, width: int, color: bool) -> str:
    """Return the answer as text of at most `width` columns."""
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
    console.print(Group(*_parts(document, width)))
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    return "\n".join(lines).rstrip("\n") + "\n"


def _parts(document: dict[str, Any], width: int) -> list[Any]:
    report = entry(document["report"]).report
    summary = document["summary"]
    parts: list[Any] = [
        Text(f"{document['report']}: {report.question}", style="bold"),
        Text(heading(document), style="dim"),
        *(Text(f"Note: {note}.", style="yellow") for note in summary["notes"]),
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
            parts += [_table(tables[name], columns, width)]
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
    since, until = _moment(window["since"]), _moment(window["until"])
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
        (name, show(name, value, summary.get("uncertainty", {}).get(name)))
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
        )
    for index in range(len(rows)):
        table.add_row(*(Text(cells[name][index]) for name in shown))
    return table


def is_numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Return whether a column is set flush right."""
    return name.endswith(("_at", "_series")) or not isinstance(rows[0][name], str | list)


def _least_width(name: str, cells: list[str]) -> int:
    if name in _TEXT_COLUMNS:
        return min(max(len(title(name)), *map(len, cells)), _TEXT_WIDTH)
    return max(*map(len, cells), *map(len, _broken_title(name, cells).split("\n")))


def _broken_title(name: str, cells: list[str]) -> str:
    """Return a title in lines about as short as what stands under it."""
    widest = max(8, *map(len, cells))
    return "\n".join(textwrap.wrap(title(name), widest, break_long_words=False))


def title(name: str) -> str:
    """Return a field's name as people read it."""
    for suffix, said in (("_ms", ""), ("_at", ""), ("_series", " by period")):
        if name.endswith(suffix):
            name = name.removesuffix(suffix) + said
    return name.replace("_", " ")


def cell(name: str, row: Mapping[str, Any]) -> str:
    """Return a record's value as people read it; one of a `metric` has that metric's unit."""
    unit = row["metric"] if name in _OF_METRIC and "metric" in row else name
    return show(unit, row[name], row.get("uncertainty", {}).get(name))


def show(name: str, value: Any, uncertainty: dict[str, float | None] | None = None) -> str:
    """Return a value as people read it, its unit taken from its field's name."""
    if value is None:
        return "-"
    if isinstance(value, list) and name.endswith("_series"):
        return spark(value)
    if isinstance(value, list):
        return ", ".join(readable(str(item)) for item in value)
    if isinstance(value, str):
        return _words(name, value)
    return _estimate(name, value, uncertainty) if uncertainty else _number(name, value)


def _words(field: str, text: str) -> str:
    if field.endswith("_at"):
        return _moment(text)
    if field == "metric":
        return title(text)
    return named(text) if field in _NAMES else readable(text)


def _estimate(name: str, value: float, uncertainty: dict[str, float | None]) -> str:
    low, high = uncertainty["low"], uncertainty["high"]
    if low == high:
        return f"~{_number(name, value)}"
    if value in {low, high} and None in {low, high}:
        return ("≥" if high is None else "≤") + _number(name, value)
    ends = [part for part in (low, high) if part is not None]
    # Digits that the interval makes meaningless are left out.
    coarse = not name.endswith("_ms") and max(abs(end - value) for end in ends) >= 1
    like = float(round(value)) if coarse else value
    number, _, unit = _number(name, value, like).partition(" ")

    def bare(part: float) -> str:
        return _number(name, part, like).partition(" ")[0]

    if low is None or high is None:
        bound = f"≥{bare(low)}" if low is not None else f"≤{bare(high or 0.0)}"
        return f"~{number} ({bound}) {unit}".rstrip()
    if abs(high + low - 2 * value) <= _SYMMETRIC_WITHIN * (high - low):
        return f"{number} ±{bare((high - low) / 2)} {unit}".rstrip()
    return f"{number} ({bare(low)} to {bare(high)}) {unit}".rstrip()


def _number(name: str, value: float, like: float | None = None) -> str:
    """Return a number with its unit; `like` is the value whose unit and digits are to be used."""
    scale = value if like is None else like
    if name.endswith("_ms"):
        return _duration(value, scale)
    if name.endswith(("_rate", "share", "_bound", "probability", "relative_error")):
        return f"{value * 100:.1f} %"
    if name.endswith(("q_value", "p_value")):
        return "<0.001" if value < 0.001 else f"{value:.3f}"
    if name.startswith("cost_per") or name.endswith("_cost"):
        return f"{value:,.2f}" if scale >= 100 or not scale else f"{value:.4g}"
    if name.startswith("hours_"):
        return f"{value:,.1f} h"
    return f"{value:,.0f}" if float(scale).is_integer() or scale >= 1000 else f"{value:,.2f}"


def _duration(milliseconds: float, scale: float) -> str:
    size, unit = next(((s, u) for s, u in _MS_STEPS if scale >= s), (1, "ms"))
    value = milliseconds / size
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:,.0f} {unit}"


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"
