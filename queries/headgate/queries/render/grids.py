"""What Excel has no chart for, in a workbook: heat maps and flows as grids of coloured cells, gauges as half rings.

A grid has a sheet of its own, its cells coloured by a scale that follows their values. A gauge is a doughnut whose
lower half is left out: outside its bands, inside how far the value reaches, in the colour of the band it lies in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.queries.charts import Flow, Gauge, HeatMap
from headgate.queries.render.channels import band_colors, word
from headgate.queries.render.wording import show, title

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xlsxwriter
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

    from headgate.queries.charts import Chart

_LEAST, _MOST, _REST = "#f7fbff", "#6baed6", "#e5e7eb"  # light enough for black numbers
_NARROW, _LETTER = 8, 1.2
_GAUGE_ROWS = 14
_FORBIDDEN = str.maketrans(dict.fromkeys("[]:*?/\\'", " "))


def write_grids(
    book: xlsxwriter.Workbook,
    document: Mapping[str, Any],
    charts: Sequence[Chart],
    mark: str,
    formats: Mapping[str, Format],
    format_of: Callable[[str, float], str],
) -> None:
    """Write a sheet for each heat map and flow that has anything to show, and one for all gauges."""
    for chart in charts:
        if not isinstance(chart, HeatMap | Flow):
            continue
        records = document["rows"] if chart.table == "rows" else document["summary"][chart.table]
        if any(record[chart.value] for record in records):
            sheet = added_sheet(book, _named(book, chart.title, mark))
            _grid(sheet, chart, records, formats, format_of)
    gauges = [
        c for c in charts if isinstance(c, Gauge) and document["summary"][c.value] is not None
    ]
    if gauges:
        sheet = added_sheet(book, _named(book, "gauges", mark))
        for number, gauge in enumerate(gauges):
            value = document["summary"][gauge.value]
            _gauge(book, sheet, gauge, value, 1 + number * _GAUGE_ROWS, formats)


def added_sheet(book: xlsxwriter.Workbook, name: str) -> Worksheet:
    """Return a new sheet that prints as broad as a page, its head on each."""
    sheet = book.add_worksheet(name)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)
    return sheet


def _named(book: xlsxwriter.Workbook, wanted: str, mark: str) -> str:
    """Return a name for a sheet that no other has, of 31 letters at most, without those that Excel forbids."""
    base, number = wanted.translate(_FORBIDDEN)[: 31 - len(mark) - 2].strip(), 1
    taken = {name.lower() for name in book.sheetnames}
    while (name := f"{base}{'' if number == 1 else f' {number}'}{mark}").lower() in taken:
        number += 1
    return name


def _grid(
    sheet: Worksheet,
    chart: HeatMap | Flow,
    records: Sequence[Mapping[str, Any]],
    formats: Mapping[str, Format],
    format_of: Callable[[str, float], str],
) -> None:
    across, down = (
        (chart.x, chart.y) if isinstance(chart, HeatMap) else (chart.target, chart.source)
    )
    columns, rows = (
        {
            word(field, value): n
            for n, value in enumerate(dict.fromkeys(r[field] for r in records), 1)
        }
        for field in (across, down)
    )
    corner = f"{title(down)} \\ {title(across)}"
    sheet.write_string(0, 0, corner, formats["head"])
    for head, place in columns.items():
        sheet.write_string(0, place, head, formats["head"])
    for head, place in rows.items():
        sheet.write_string(place, 0, head, formats["text"])
    for record in records:
        value = record[chart.value]
        if value is not None:
            row, column = rows[word(down, record[down])], columns[word(across, record[across])]
            sheet.write_number(row, column, value, formats[format_of(chart.value, value)])
    scale = {"type": "2_color_scale", "min_color": _LEAST, "max_color": _MOST}
    sheet.conditional_format(1, 1, len(rows), len(columns), scale)
    sheet.freeze_panes(1, 1)
    sheet.set_column(0, 0, _LETTER * max(map(len, (corner, *rows))))
    widest = max(map(len, columns))
    sheet.set_column(1, len(columns), min(max(_NARROW, _LETTER * widest), 3 * _NARROW))
    sheet.write_string(len(rows) + 2, 0, f"{chart.title}: {title(chart.value)}", formats["soft"])


def _gauge(
    book: xlsxwriter.Workbook,
    sheet: Worksheet,
    gauge: Gauge,
    value: float,
    top: int,
    formats: Mapping[str, Format],
) -> None:
    words = [name for _, name in gauge.bands]
    ends = [min(end, gauge.high) for end, _ in gauge.bands]
    starts, shown = [gauge.low, *ends[:-1]], min(max(value, gauge.low), gauge.high)
    colors, whole = band_colors(words), gauge.high - gauge.low
    band = next((n for n, end in enumerate(ends) if shown <= end), len(ends) - 1)
    table: list[tuple[str, float, float]] = [
        *((name, end - start, 0.0) for name, start, end in zip(words, starts, ends, strict=True)),
        ("reached", 0.0, shown - gauge.low),
        ("left", 0.0, gauge.high - shown),
        ("not shown", whole, whole),
    ]
    sheet.set_column(0, 0, 24)
    for column, head in enumerate((title(gauge.value), "bands", "value")):
        sheet.write_string(top - 1, column, head, formats["head"])
    for row, (name, *parts) in enumerate(table, top):
        sheet.write_string(row, 0, name)
        for column, part in enumerate(parts, 1):
            sheet.write_number(row, column, part, formats["part"])
    last, none = top + len(table) - 1, {"fill": {"none": True}, "border": {"none": True}}
    fills = [{"fill": {"color": color}} for color in colors]
    inner = [*fills, {"fill": {"color": colors[band]}}, {"fill": {"color": _REST}}, none]
    outer = [*fills, none, none, none]
    drawn = book.add_chart({"type": "doughnut"})
    for column, points in ((2, inner), (1, outer)):
        drawn.add_series(
            {"name": [sheet.name, top - 1, column], "points": points,
             "categories": [sheet.name, top, 0, last, 0], "values": [sheet.name, top, column, last, column]}
        )  # fmt: skip
    drawn.set_rotation(270)
    drawn.set_hole_size(45)
    drawn.set_title(
        {"name": f"{gauge.title}: {show(gauge.value, value)}", "name_font": {"size": 12}}
    )
    hidden = list(range(len(words), len(table)))
    drawn.set_legend({"position": "bottom", "delete_series": hidden})
    drawn.set_size({"width": 360, "height": 270})
    sheet.insert_chart(top - 1, 4, drawn)
