"""Every format of an answer: the same numbers in each, whole files that need nothing else, and honest refusals."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pypdf
import pytest

from headgate.queries import ReportError, entry, names, run
from headgate.queries.charts import Flow, Gauge, HeatMap
from headgate.queries.declaration import described
from headgate.queries.render import FORMATS, render
from headgate.queries.render.channels import word
from headgate.queries.render.vega import drawings
from headgate.queries.render.workbook import as_workbook, sheet_of
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
REPORTS = pytest.mark.parametrize("name", names())
NASTY = "=1+1</script><b>|*x*"


@pytest.fixture(scope="module")
def used(engine_path: Path) -> Iterator[Store]:
    store = embedded_store(engine_path, "test_formats")
    migrate(store)
    store.client().command("SYSTEM STOP TTL MERGES")
    columns = [
        "Timestamp",
        "TraceState",
        "ServiceName",
        "SpanName",
        "SpanKind",
        "StatusCode",
        "Duration",
    ]
    columns += ["SpanAttributes"]
    rows = [
        [
            NOW - timedelta(hours=index),
            "" if index % 2 else "ot=th:c",
            "shop",
            NASTY if index % 4 else "pay",
            "Server",
            "Error" if index % 3 == 0 else "Unset",
            (index + 1) * 3_000_000,
            {"user.id": f"u{index % 7}", "session.id": f"s{index % 9}"},
        ]
        for index in range(60)
    ]
    store.client().insert("otel_traces", rows, column_names=columns)
    yield store
    store.client().command("DROP DATABASE test_formats SYNC")
    store.close()


@pytest.fixture(scope="module")
def documents(used: Store) -> dict[str, dict[str, Any]]:
    return {n: run(n, used, now=NOW, since="3d", where={"": ""}).to_dict() for n in names()}


class Page(HTMLParser):
    """What a browser would load and show."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.scripts: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._in = tag
        self.loads += [value or "" for key, value in attributes if key in {"src", "href"}]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in {"td", "th"}:
            self.tables[-1][-1][-1] += data
        elif self._in == "script":
            self.scripts[-1] += data


@REPORTS
def test_a_page_is_one_file_and_says_what_the_document_says(documents, name: str) -> None:
    """It loads nothing, holds the very document, and no name in the data ends its script or its markup."""
    page = Page()
    page.feed(render(documents[name], "html").decode())
    assert page.loads == []
    data = re.search(r"const data = (\{.*\});$", page.scripts[-1], re.MULTILINE)
    assert data is not None
    assert json.loads(data[1])["document"] == documents[name]
    rows = [n for n in entry(name).report.tables if table_of(documents[name], n)]
    assert len(page.tables) == len(rows)
    for found, wanted in zip(page.tables, rows, strict=True):
        assert len(found) - 1 == len(table_of(documents[name], wanted))


def table_of(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["rows"] if name == "rows" else document["summary"][name]
    return found


@REPORTS
def test_a_workbook_has_every_number(documents, name: str) -> None:
    """Read by openpyxl: each record's fields as typed cells, interval ends beside estimates, headers frozen."""
    book = openpyxl.load_workbook(io.BytesIO(render(documents[name], "xlsx")))
    for table in entry(name).report.tables:
        records = table_of(documents[name], table)
        sheet = book[sheet_of(name, table)]
        assert sheet.freeze_panes == "A2"
        cells = [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)]
        assert len(cells) == len(records)
        report = entry(name).report
        kind = report.row if table == "rows" else described(report.summary)[table][0].__args__[0]
        for line, record in zip(cells, records, strict=True):
            numbers = [part for field in described(kind) for part in flat(record, field)]
            assert [v for v in line if isinstance(v, int | float)] == pytest.approx(
                [n for n in numbers if isinstance(n, int | float)]
            )


def flat(record: dict[str, Any], field: str) -> list[Any]:
    found = record.get("uncertainty", {}).get(field)
    return [record[field], *([found["low"], found["high"]] if found else [])]


@REPORTS
def test_a_workbook_shows_what_excel_has_no_chart_for(documents, name: str) -> None:
    """Heat maps and flows are grids with every value and a scale of colours; gauges say their bands and the value."""
    document = documents[name]
    book = openpyxl.load_workbook(io.BytesIO(render(document, "xlsx")))
    summary, charts = document["summary"], entry(name).report.charts
    for chart in charts:
        if not isinstance(chart, HeatMap | Flow):
            continue
        records = [r for r in table_of(document, chart.table) if r[chart.value] is not None]
        if not any(record[chart.value] for record in records):
            assert chart.title not in book.sheetnames
            continue
        sheet = book[chart.title]
        heads = [cell.value for cell in sheet[1]][1:]
        lines = list(sheet.iter_rows(min_row=2, max_row=sheet.max_row - 2, values_only=True))
        found = sorted(v for line in lines for v in line[1:] if v is not None)
        assert found == pytest.approx(sorted(record[chart.value] for record in records))
        across, down = (
            (chart.x, chart.y) if isinstance(chart, HeatMap) else (chart.target, chart.source)
        )
        values = {
            (line[0], head): value
            for line in lines
            for head, value in zip(heads, line[1:], strict=True)
        }
        for record in records:
            place = word(down, record[down]), word(across, record[across])
            assert values[place] == pytest.approx(record[chart.value])
        (colored,) = sheet.conditional_formatting
        assert colored.rules[0].type == "colorScale"
    gauges = [c for c in charts if isinstance(c, Gauge) and summary[c.value] is not None]
    assert ("gauges" in book.sheetnames) == bool(gauges)
    if gauges:
        sheet = book["gauges"]
        assert len(sheet._charts) == len(gauges)
        told = {row[0]: row[1:3] for row in sheet.iter_rows(values_only=True)}
        assert told["reached"][1] + told["left"][1] == told["not shown"][1]
        assert told["reached"][1] == pytest.approx(
            min(max(summary[gauges[-1].value], gauges[-1].low), gauges[-1].high) - gauges[-1].low
        )


def test_text_stays_text_in_a_workbook(documents) -> None:
    """A name that looks like a formula is none."""
    book = openpyxl.load_workbook(io.BytesIO(render(documents["usage"], "xlsx")))
    cells = [cell for row in book["usage"].iter_rows() for cell in row if cell.value == NASTY]
    assert cells
    assert all(cell.data_type == "s" for cell in cells)


def test_a_long_table_goes_on_in_another_sheet(documents, monkeypatch) -> None:
    """Rows beyond Excel's limit are not cut off."""
    monkeypatch.setattr("headgate.queries.render.workbook.MOST_ROWS", 1)
    book = openpyxl.load_workbook(io.BytesIO(as_workbook(documents["usage"])))
    assert [s for s in book.sheetnames if s.startswith("usage")] == ["usage", "usage 2"]


@REPORTS
def test_parquet_has_typed_columns(documents, name: str) -> None:
    """Values and interval ends as in the document, whose rest is in the metadata."""
    table = pq.read_table(io.BytesIO(render(documents[name], "parquet")))
    rows = table.to_pylist()
    assert len(rows) == len(documents[name]["rows"])
    for found, record in zip(rows, documents[name]["rows"], strict=True):
        for field, value in record.items():
            if isinstance(value, int | float):
                assert found[field] == pytest.approx(value)
            uncertain = record.get("uncertainty", {}).get(field)
            if uncertain:
                assert found[f"{field}_low"] == uncertain["low"]
    rest = json.loads(table.schema.metadata[b"headgate"])
    assert rest["window"] == documents[name]["window"]


@REPORTS
def test_a_paper_is_set_with_pages_and_all_rows(documents, name: str) -> None:
    """As text, read back by pypdf: the question, the page numbers, each table's titles."""
    paper = pypdf.PdfReader(io.BytesIO(render(documents[name], "pdf")))
    text = " ".join(page.extract_text() for page in paper.pages)
    words = re.sub(r"\s+", "", text)
    assert f"1of{len(paper.pages)}" in words
    assert re.sub(r"\s+", "", entry(name).report.question) in words


@REPORTS
def test_markdown_tables_are_whole(documents, name: str) -> None:
    """Every line of a table has as many cells as its head, whatever is in the data."""
    text = render(documents[name], "md").decode()
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1


@REPORTS
def test_a_notebook_shows_it_and_pandas_takes_it(used: Store, name: str) -> None:
    """A fragment without script that no name in the data breaks; a frame with the values of the document."""
    answer = run(name, used, now=NOW, since="3d", where={"": ""})
    fragment = answer._repr_html_()
    assert "<script" not in fragment
    assert "</script>" not in fragment
    frame = answer.to_pandas()
    assert len(frame) == len(answer.rows)
    for column in frame.columns:
        assert frame[column].dropna().tolist() == [
            pd.Timestamp(r[column]) if column.endswith("_at") else r[column]
            for r in answer.to_dict()["rows"]
            if r[column] is not None
        ]


def test_csv_and_json_agree(documents) -> None:
    """The same calls in both."""
    rows = list(csv.DictReader(io.StringIO(render(documents["usage"], "csv").decode())))
    assert [float(row["calls"]) for row in rows] == [r["calls"] for r in documents["usage"]["rows"]]


@pytest.mark.parametrize("format_", [f for f in FORMATS if f not in {"svg", "png"}])
def test_nothing_is_an_answer_in_every_format(used: Store, format_: str) -> None:
    """An empty window makes a whole file."""
    empty = run("usage", used, now=NOW, since="2020-01-01", until="2020-01-02").to_dict()
    assert len(render(empty, format_)) > 10


def test_a_format_that_is_not_installed_says_what_to_install(documents, monkeypatch) -> None:
    """One sentence with the command."""
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(ReportError, match=r"pdf needs typst.*pip install 'headgate\[export\]'"):
        render(documents["usage"], "pdf")


def test_a_chart_that_there_is_not_is_refused_with_those_there_are(documents) -> None:
    """The titles are named."""
    with pytest.raises(ReportError, match="there is no chart 9; there are 1: Calls over time"):
        render(documents["usage"], "svg", chart=9)


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_browser_draws_every_chart(documents, tmp_path: Path) -> None:
    """Without a network: as many drawings in the page as the answer has charts."""
    path = tmp_path / "errors.html"
    path.write_bytes(render(documents["errors"], "html"))
    shown = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
         "--virtual-time-budget=5000", "--dump-dom", path.as_uri()],
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    assert shown.count('class="marks"') == len(drawings(documents["errors"])) > 1


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_click_on_a_bar_narrows_the_page_to_it(documents, tmp_path: Path) -> None:
    """Tables keep the rows of the bar's operation, the other rows are hidden, and the page says what it shows."""
    page = render(documents["usage"], "html").decode()
    before, _, after = page.rpartition("</body>")
    click = """<script>setTimeout(() => document.querySelector("#chart1 .mark-rect path")
        .dispatchEvent(new MouseEvent("click", { bubbles: true })), 2000)</script></body>"""
    path = tmp_path / "usage.html"
    path.write_text(before + click + after)
    shown = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
         "--virtual-time-budget=5000", "--dump-dom", path.as_uri()],
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    rows = re.findall(r"<tr( hidden[^>]*)?><td>shop</td><td>([^<]*)</td>", shown)
    assert [(bool(hidden), name) for hidden, name in rows] == [
        (False, html.escape(NASTY, quote=False)),
        (True, "pay"),
    ]
    assert "show everything" in shown.rpartition("</main>")[0]


def test_people_read_times_by_their_clock_and_programs_in_utc(used: Store) -> None:
    """With a time zone, tables, pages, papers and workbooks show its clock, and name it; CSV and JSON keep UTC."""
    zone = "Asia/Kathmandu"  # five and three quarter hours ahead: no other place looks the same
    document = run("errors", used, now=NOW, since="3d", where={"": ""}, timezone=zone).to_dict()
    last = document["rows"][0]["last_seen_at"]
    assert last.endswith("Z")
    shown = f"{datetime.fromisoformat(last) + timedelta(hours=5, minutes=45):%Y-%m-%d %H:%M}"
    heading = f"2026-11-17 17:45 to 2026-11-20 17:45 {zone}"
    for format_ in ("table", "md", "html"):
        text = render(document, format_, width=200).decode()
        assert heading in text
        assert shown in text
    text = "".join(
        page.extract_text() for page in pypdf.PdfReader(io.BytesIO(render(document, "pdf"))).pages
    )
    assert shown in text
    book = openpyxl.load_workbook(io.BytesIO(render(document, "xlsx")))
    cells = [cell.value for row in book["errors"].iter_rows() for cell in row]
    assert any(isinstance(c, datetime) and f"{c:%Y-%m-%d %H:%M}" == shown for c in cells)
    assert last in render(document, "csv").decode()
    assert json.loads(render(document, "json")) == document
