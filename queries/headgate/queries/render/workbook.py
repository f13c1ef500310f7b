"""An answer as an Excel workbook: one sheet a table, numbers as numbers, frozen headers, native charts.

Heat maps, flows and gauges have sheets of their own (`headgate.queries.render.grids`).
Every field of the records is there, in the units of its name; durations stay milliseconds, shares are formatted as
per cent, times are dates by the clock of the time zone asked for. An estimate is followed by the ends of its interval.
A table longer than Excel's 1 048 576 rows goes on in a further sheet.
"""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headgate.queries.catalog import entry
from headgate.queries.charts import Bars, Chart, Histogram, Scatter, Share, Timeline
from headgate.queries.declaration import described
from headgate.queries.render.grids import added_sheet, write_grids
from headgate.queries.render.sections import sections
from headgate.queries.render.tables import SUMMARY, chosen, tables_of
from headgate.queries.render.wording import title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xlsxwriter
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

MOST_ROWS = 1_048_575  # beside the header
_CHARTED = 30
_WIDEST = 60


def as_workbook(*documents: Mapping[str, Any]) -> bytes:
    """Return the workbook; of several answers each has sheets of its own, numbered like the windows."""
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(
        out, {"in_memory": True, "nan_inf_to_errors": False, "strings_to_formulas": False,
              "strings_to_urls": False, "default_date_format": "yyyy-mm-dd hh:mm:ss"}
    )  # fmt: skip
    for number, document in enumerate(documents, 1):
        sheets = _Sheets(book, document, f" ({number})" if len(documents) > 1 else "")
        sheets.overview()
        shown = entry(document["report"]).report.tables
        for name in [
            *shown,
            *(n for n in tables_of(document["report"]) if n not in (*shown, SUMMARY)),
        ]:
            sheets.table(name)
        sheets.grids()
    book.close()
    return out.getvalue()


def sheet_of(report: str, table: str) -> str:
    """Return the name of a table's sheet; that of rows is the report's, unless another sheet is called so."""
    taken = {*tables_of(report)} - {"rows"}
    return (table if table != "rows" or report in taken else report)[:22]


class _Sheets:
    """Writes the sheets of one workbook."""

    def __init__(self, book: xlsxwriter.Workbook, document: Mapping[str, Any], mark: str) -> None:
        self._book = book
        self._mark = mark
        self._document = document
        self._report = entry(document["report"]).report
        formats: dict[str, dict[str, Any]] = {
            "head": {
                "bold": True,
                "bottom": 1,
                "text_wrap": True,
                "valign": "top",
                "bg_color": "#eef1f5",
            },
            "title": {"bold": True, "font_size": 16},
            "soft": {"font_color": "#5b6472"},
            "whole": {"num_format": "#,##0"},
            "part": {"num_format": "#,##0.00"},
            "share": {"num_format": "0.0%"},
            "ms": {"num_format": "#,##0.000"},
            "time": {"num_format": "yyyy-mm-dd hh:mm:ss"},
            "text": {"text_wrap": False},
        }
        self._formats: dict[str, Format] = {n: book.add_format(f) for n, f in formats.items()}

    def overview(self) -> None:
        """Write what the answer is of, and the numbers of the summary."""
        parts, summary = sections(self._document), self._document["summary"]
        sheet = added_sheet(self._book, f"summary{self._mark}")
        sheet.hide_gridlines(2)
        sheet.set_column(0, 0, 30)
        sheet.set_column(1, 3, 18)
        sheet.set_column(4, 4, 80)
        sheet.write_string(0, 0, parts.name, self._formats["title"])
        for row, text in enumerate(
            (parts.question, parts.heading, *(f"{n}." for n in parts.notes), *parts.estimated), 1
        ):
            sheet.write_string(row, 0, text, self._formats["soft"])
        row = 3 + len(parts.notes) + len(parts.estimated)
        for column, head in enumerate(("number", "value", "low (95 %)", "high (95 %)", "meaning")):
            sheet.write_string(row, column, head, self._formats["head"])
        uncertain = summary.get("uncertainty", {})
        for name, (_, meaning) in described(self._report.summary).items():
            value = summary[name]
            if isinstance(value, list):
                continue
            row += 1
            sheet.write_string(row, 0, _unit(name))
            self._cell(sheet, row, 1, name, value)
            for column, end in ((2, "low"), (3, "high")):
                self._cell(sheet, row, column, name, uncertain.get(name, {}).get(end))
            sheet.write_string(row, 4, meaning, self._formats["soft"])

    def table(self, name: str) -> None:
        """Write one table, in as many sheets as it needs, and the charts that Excel can draw of it."""
        fields, rows = chosen(self._document, name)
        uncertain = {f for row in rows for f in row.get("uncertainty", {})}
        columns = [
            (f, end) for f in fields for end in (("", "low", "high") if f in uncertain else ("",))
        ]
        label = sheet_of(self._document["report"], name) + self._mark
        for number, start in enumerate(range(0, max(len(rows), 1), MOST_ROWS), 1):
            part = rows[start : start + MOST_ROWS]
            sheet = added_sheet(self._book, label if number == 1 else f"{label} {number}")
            self._write(sheet, part, columns)
            if number == 1 and part:
                self._draw(
                    sheet, [c for c in self._report.charts if c.table == name], columns, part
                )

    def grids(self) -> None:
        """Write what Excel can only show as coloured cells, and the gauges."""
        write_grids(
            self._book, self._document, self._report.charts, self._mark, self._formats, _format
        )

    def _write(
        self,
        sheet: Worksheet,
        rows: Sequence[Mapping[str, Any]],
        columns: Sequence[tuple[str, str]],
    ) -> None:
        sheet.freeze_panes(1, 0)
        if rows:
            sheet.autofilter(0, 0, len(rows), len(columns) - 1)
        for column, (field, end) in enumerate(columns):
            head = f"{_unit(field)}{f' {end}' if end else ''}"
            sheet.write_string(0, column, head, self._formats["head"])
            widest = len(head)
            for number, row in enumerate(rows, 1):
                value = (
                    row[field] if not end else row.get("uncertainty", {}).get(field, {}).get(end)
                )
                self._cell(sheet, number, column, field, value)
                widest = max(widest, min(len(str(value)), _WIDEST) if isinstance(value, str) else 8)
            sheet.set_column(column, column, widest + 2)

    def _cell(self, sheet: Worksheet, row: int, column: int, field: str, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            sheet.write_boolean(row, column, value)
        elif isinstance(value, int | float):
            sheet.write_number(row, column, value, self._formats[_format(field, value)])
        elif isinstance(value, list):
            sheet.write_string(row, column, "; ".join(map(str, value)))
        elif field.endswith("_at"):
            moment = datetime.fromisoformat(value).replace(tzinfo=None)
            sheet.write_datetime(row, column, moment, self._formats["time"])
        else:
            sheet.write_string(row, column, str(value), self._formats["text"])

    def _draw(
        self,
        sheet: Worksheet,
        charts: Sequence[Chart],
        columns: Sequence[tuple[str, str]],
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        place = {field: number for number, (field, end) in enumerate(columns) if not end}
        top = 1
        for chart in charts:
            if isinstance(chart, Timeline) and not chart.series:
                kind, category, values = "line", chart.x, chart.y
            elif isinstance(chart, Histogram):
                kind, category, values = "column", chart.low, (chart.count,)
            elif isinstance(chart, Scatter):
                kind, category, values = "scatter", chart.x, (chart.y,)
            elif isinstance(chart, Bars):
                kind, category, values = "bar", chart.category, (chart.value,)
            elif isinstance(chart, Share):
                kind, category, values = "pie", chart.category, (chart.value,)
            else:
                continue
            drawn = self._book.add_chart({"type": kind})
            last = min(len(rows), _CHARTED if kind in {"bar", "pie"} else len(rows))
            for field in values:
                drawn.add_series(
                    {"name": title(field),
                     "categories": [sheet.name, 1, place[category], last, place[category]],
                     "values": [sheet.name, 1, place[field], last, place[field]]}
                )  # fmt: skip
            drawn.set_title({"name": chart.title, "name_font": {"size": 11}})
            drawn.set_size({"width": 720, "height": 300 if kind != "bar" else 120 + 18 * last})
            if kind == "bar":
                drawn.set_y_axis({"reverse": True})
            else:
                drawn.set_x_axis({"name": title(category)})
            if len(values) == 1 and kind != "pie":
                drawn.set_legend({"none": True})
            drawn.show_blanks_as("gap")
            sheet.insert_chart(top, len(columns) + 1, drawn)
            top += 17 if kind != "bar" else 8 + last


def _unit(field: str) -> str:
    """Return a header: the field's title with its unit."""
    return f"{title(field)} (ms)" if field.endswith("_ms") else title(field)


def _format(field: str, value: float) -> str:
    if field.endswith("_ms"):
        return "ms"
    if field.endswith(("_rate", "share", "_bound", "probability", "relative_error")):
        return "share"
    return "whole" if float(value).is_integer() else "part"
