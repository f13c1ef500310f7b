"""What of an answer goes where: one table into CSV and Parquet, several windows into one file, names as they are."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import openpyxl
import pyarrow.parquet as pq
import pypdf
import pytest
from report_rows import NOW, add_spans

from headgate.queries import ReportError, names, run
from headgate.queries.render import FORMATS, format_of, render, unshown
from headgate.queries.render.tables import tables_of
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store import Store

TURNED = "pay\u202egnp\n\tnow"  # what a terminal would show backwards, and in two lines


@pytest.fixture(scope="module")
def shop(engine_path: Path) -> Iterator[Store]:
    """Make two days of uses of three operations: a plain name, a hostile one, and one without a name."""
    store = embedded_store(engine_path, "test_tables")
    migrate(store)
    store.client().command("SYSTEM STOP TTL MERGES")
    add_spans(
        store,
        [
            {"Timestamp": NOW - timedelta(hours=hour, minutes=5), "SpanName": name}
            for hour in range(48)
            for name in ("buy", TURNED, "")
        ],
    )
    yield store
    store.client().command("DROP DATABASE test_tables SYNC")
    store.close()


def asked(store: Store, name: str = "usage", since: str = "24h", **more: Any) -> dict[str, Any]:
    return run(name, store, now=NOW, since=since, where={"": ""}, **more).to_dict()


def records(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


@pytest.mark.parametrize("name", ["usage", "success", "cost"])
def test_a_summary_alone_is_an_answer(shop: Store, name: str) -> None:
    """With granularity=summary there are no rows, and yet something was recorded, in every format."""
    own = {"per_request": 1.0} if name == "cost" else {}
    document = asked(shop, name, granularity="summary", **own)
    calls = document["summary"]["calls"]
    assert calls == 72
    for format_ in ("table", "md", "html"):
        text = render(document, format_).decode()
        assert "Nothing was recorded" not in text
        assert "72" in text
    (record,) = records(render(document, "csv"))
    assert record["calls"] == "72"


def test_a_summary_of_nothing_is_nothing(shop: Store) -> None:
    """Where no number counts anything, the sentence stays."""
    document = run("usage", shop, now=NOW, since="2020-01-01", until="2020-01-02",
                   granularity="summary").to_dict()  # fmt: skip
    assert "Nothing was recorded" in render(document, "table").decode()


@pytest.mark.parametrize("name", names())
def test_every_table_can_be_had_alone(shop: Store, name: str) -> None:
    """As CSV and Parquet, each with the records and the fields of the document."""
    document = asked(shop, name)
    for table, fields in tables_of(name).items():
        found = records(render(document, "csv", table=table))
        wanted = {"rows": document["rows"], "summary": [document["summary"]]}.get(table)
        wanted = document["summary"][table] if wanted is None else wanted
        assert len(found) == len(wanted)
        assert all(set(fields) <= set(record) for record in found)
        packed = pq.read_table(io.BytesIO(render(document, "parquet", table=table)))
        assert packed.num_rows == len(wanted)
        assert set(fields) <= set(packed.column_names)


def test_a_table_that_there_is_not_is_refused_with_those_there_are(shop: Store) -> None:
    """Also where a format holds all tables."""
    document = asked(shop)
    with pytest.raises(ReportError, match=r"'timelines' is not possible; usage has: timeline, "):
        render(document, "csv", table="timelines")
    with pytest.raises(ReportError, match="one table alone is for csv and parquet; html holds all"):
        render(document, "html", table="timeline")


def test_several_windows_are_told_apart(shop: Store) -> None:
    """One CSV with the window in each row, one page and one workbook with all answers, an array as JSON."""
    documents = [asked(shop), asked(shop, since="48h")]
    found = records(render(documents, "csv"))
    begins = [document["window"]["since"] for document in documents]
    assert [record["window_since"] for record in found] == [b for b in begins for _ in range(3)]
    assert [record["calls"] for record in found] == ["24"] * 3 + ["48"] * 3
    assert json.loads(render(documents, "json")) == documents
    page = render(documents, "html").decode()
    assert page.count("<h1>usage</h1>") == 2
    assert page.count('class="plot"') == len(set(page.split('class="plot" id="')[1:])) == 6
    book = openpyxl.load_workbook(io.BytesIO(render(documents, "xlsx")))
    calls = [
        [cell.value for cell in column[1:]]
        for number in (1, 2)
        for column in book[f"usage ({number})"].columns
        if column[0].value == "calls"
    ]
    assert calls == [[24] * 3, [48] * 3]
    table = pq.read_table(io.BytesIO(render(documents, "parquet")))
    assert table["window_since"].to_pylist() == [
        datetime.fromisoformat(begin) for begin in begins for _ in range(3)
    ]
    assert table["calls"].to_pylist() == [24.0] * 3 + [48.0] * 3
    assert [d["window"] for d in json.loads(table.schema.metadata[b"headgate"])] == [
        document["window"] for document in documents
    ]


def test_several_windows_follow_each_other_on_paper_and_in_pictures(shop: Store) -> None:
    """One PDF in which each answer begins a page and heads its own; one picture with a chart below the other."""
    documents = [asked(shop), asked(shop, since="48h")]
    alone = [pypdf.PdfReader(io.BytesIO(render(document, "pdf"))) for document in documents]
    paper = pypdf.PdfReader(io.BytesIO(render(documents, "pdf")))
    assert len(paper.pages) == sum(len(each.pages) for each in alone)
    texts = ["".join(page.extract_text().split()) for page in paper.pages]
    for document, number in zip(documents, (0, len(alone[0].pages)), strict=True):
        since = datetime.fromisoformat(document["window"]["since"])
        assert f"{since:%Y-%m-%d%H:%M}to" in texts[number]
        assert f"{number + 1}of{len(paper.pages)}" in texts[number]
    pictures = [render(document, "svg").decode() for document in documents]
    both = render(documents, "svg").decode()
    heights = [int(re.findall(r'height="(\d+)"', picture)[0]) for picture in (*pictures, both)]
    assert heights[2] == heights[0] + heights[1]
    assert len(ET.fromstring(both).findall("{http://www.w3.org/2000/svg}svg")) == 2  # noqa: S314 - our own text
    ids = re.findall(r'\bid="([^"]+)"', both)
    assert len(ids) == len(set(ids))
    assert {*re.findall(r"url\(#([^)]+)\)", both)} <= {*ids}
    assert render(documents, "png").startswith(b"\x89PNG")


def test_characters_without_a_font_are_named(shop: Store, tmp_path: Path) -> None:
    """What paper and pictures cannot show is told by code and name with the remedy; what fonts have is not."""
    document = asked(shop)
    for row in document["rows"]:
        row["operation"] = 'кофе → \U0001e8c4\U0001e8c4 "\\ ж\u200d'
    for format_ in ("pdf", "png"):
        told = unshown([document, asked(shop)], format_)
        assert told.startswith("no font here has U+1E8C4 mende kikakui syllable m060 nyon: install")
        assert "--fonts" in told
        assert render(document, format_, fonts=tmp_path)  # made all the same
        assert unshown([asked(shop)], format_) == ""
    assert {
        unshown([document], format_) for format_ in FORMATS if format_ not in {"pdf", "png"}
    } == {""}
    document["rows"][0]["operation"] = "".join(chr(0x1E800 + n) for n in range(15))
    many = unshown([document], "pdf")
    assert many.count("U+") == 10
    assert " and more: install" in many


def test_a_report_does_not_fail_for_want_of_the_words_for_a_font(
    shop: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Typst refuses a character in words that we do not know, a sentence says so; nothing is raised."""
    document = asked(shop)
    document["rows"][0]["operation"] = "\U0001e8c4"
    monkeypatch.setattr("headgate.queries.render.fonts._REFUSED", re.compile("never said"))
    assert "cannot be told: " in unshown([document], "pdf")


def test_long_tables_say_how_many_more_there_are(shop: Store) -> None:
    """What people read holds so many rows and counts the rest; what programs read holds all."""
    document = asked(shop)
    for format_ in ("table", "md", "html"):
        text = render(document, format_, rows=1).decode()
        assert "and 2 more" in text.replace("\\", "")
        assert "and 2 more" not in render(document, format_).decode()
    paper = pypdf.PdfReader(io.BytesIO(render(document, "pdf", rows=1)))
    assert "and2more" in "".join("".join(page.extract_text().split()) for page in paper.pages)
    assert len(records(render(document, "csv", rows=1))) == 3


def test_names_cannot_turn_or_break_a_line(shop: Store) -> None:
    """What people read shows control characters as escapes, and says where a name is empty; CSV keeps both."""
    document = asked(shop)
    document["summary"]["notes"].append(f"first recorded: {TURNED}")
    for format_ in ("table", "md", "html", "svg"):
        text = render(
            document, format_, **({"width": 200} if format_ == "table" else {"chart": 2})
        ).decode()
        assert not {"\u202e", "\t"} & set(text.partition("<script>")[0])
        assert "(empty)" in text
        assert "u202egnp" in text
    assert {record["operation"] for record in records(render(document, "csv"))} == {
        "buy",
        TURNED,
        "",
    }


def test_an_ending_says_the_format_or_is_refused() -> None:
    """What is given counts first; an ending that no format has is no table by accident."""
    assert format_of("html", "", "table") == "html"
    assert format_of("txt", "csv", "table") == "csv"
    assert format_of("", "", "table") == "table"
    with pytest.raises(ReportError, match=r"ends in \.doc is not possible; choose one of: .*html"):
        format_of("doc", "", "table")
    with pytest.raises(ReportError, match="format 'pfd' is not possible; choose one of: pdf"):
        format_of("", "pfd", "table")
    assert set(FORMATS) >= {"pdf", "xlsx", "html", "csv"}
