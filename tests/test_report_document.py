"""What an answer looks like as a document, a table and CSV, and that declarations and documentation agree."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headgate.queries
from headgate.queries import ReportError, entry, names, run
from headgate.queries.declaration import described
from headgate.queries.reference import reference
from headgate.queries.render import render
from headgate.queries.source import BESIDE, TIERS
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
REPORTS = pytest.mark.parametrize("name", names())
LONG = "GET /api/v2/customers/{customer}/orders/{order}/items"


@pytest.fixture(scope="module")
def used(engine_path: Path) -> Iterator[Store]:
    store = embedded_store(engine_path, "test_document")
    migrate(store)
    store.client().command("SYSTEM STOP TTL MERGES")
    columns = ["Timestamp", "TraceState", "ServiceName", "SpanName", "SpanKind", "StatusCode"]
    columns += [
        "Duration",
        "SpanAttributes",
        "Events.Timestamp",
        "Events.Name",
        "Events.Attributes",
    ]
    rows = []
    for index in range(60):
        failed = index % 3 == 0
        at = NOW - timedelta(minutes=index)
        error = {"exception.type": "OutOfStock", "exception.message": f"none of {index} left"}
        rows.append(
            [
                at,
                "" if index % 2 else "ot=th:c",
                "a-service-with-a-long-name",
                LONG if index % 4 else "pay",
                "Server",
                "Error" if failed else "Unset",
                (index + 1) * 3_000_000,
                {"user.id": f"u{index % 7}", "kind": "odd" if index % 2 else "even"},
                [at] if failed else [],
                ["exception"] if failed else [],
                [error] if failed else [],
            ]
        )
    store.client().insert("otel_traces", rows, column_names=columns)
    yield store
    store.client().command("DROP DATABASE test_document SYNC")
    store.close()


def document(store: Store, name: str, kind: str) -> dict[str, Any]:
    return run(name, store, now=NOW, where={"kind": kind}).to_dict()


@REPORTS
def test_the_document_has_its_documented_shape(used: Store, name: str) -> None:
    """The keys, their order and the fields of every record are those of the declaration; all of it is JSON."""
    found = json.loads(render(document(used, name, "even"), "json"))
    keys = ["report", "params", "window", "exact", "generated_at", "computation_time_ms"]
    keys += ["data_points", "summary", "rows"]
    assert list(found) == keys
    assert found["report"] == name
    assert list(found["params"]) == list(described(entry(name).report.params))
    assert found["params"]["where"] == {"kind": "even"}
    assert found["window"] == {"since": "2026-11-19T12:00:30Z", "until": "2026-11-20T12:00:30Z"}
    assert found["generated_at"] == "2026-11-20T12:00:30Z"
    assert found["exact"] is False
    expected = [*described(entry(name).report.summary), "uncertainty"]
    assert list(found["summary"]) == ["source", "notes", *expected]
    assert found["rows"]
    for row in found["rows"]:
        assert list(row) == [*described(entry(name).report.row), "uncertainty"]
        for bounds in row["uncertainty"].values():
            assert list(bounds) == ["standard_error", "low", "high", "reason"]
    assert document(used, name, "odd")["exact"] is True


@REPORTS
@pytest.mark.parametrize("kind", ["even", "odd", "none of them"])
def test_a_table_is_readable_at_80_columns(used: Store, name: str, kind: str) -> None:
    """Nothing is wider than the terminal, no word of a title is broken, and nothing recorded is said in words."""
    found = document(used, name, kind)
    text = render(found, "table", width=80).decode()
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith(f"{name}: ")
    assert ("Nothing was recorded in this window" in text) == (kind == "none of them")
    if found["rows"]:
        assert "GET" in text or "operation" not in described(entry(name).report.row)
        for column in entry(name).report.tables["rows"][:4]:
            for word in re.sub(r"_(ms|at|series)$", "", column).split("_"):
                assert word in text
        assert ("±" in text) == (kind == "even")
    assert "\x1b" not in text
    assert "\x1b[" in render(found, "table", color=True).decode()


@REPORTS
def test_csv_has_every_field_of_every_row(used: Store, name: str) -> None:
    """CSV is the rows with the document's names and values; bounds only where something was estimated."""
    fields = list(described(entry(name).report.row))
    for kind in ("even", "odd", "none of them"):
        found = document(used, name, kind)
        rows = list(csv.DictReader(io.StringIO(render(found, "csv").decode())))
        assert len(rows) == len(found["rows"])
        header = render(found, "csv").decode().splitlines()[0].split(",")
        assert header[: len(fields)] == fields
        assert (len(header) > len(fields)) == (not found["exact"])
        for text, row in zip(rows, found["rows"], strict=True):
            for field in fields:
                value = row[field]
                shown = value
                if isinstance(value, list):
                    shown = "; ".join("" if item is None else str(item) for item in value)
                assert text[field] == ("" if shown is None else str(shown))
            for field, bounds in row["uncertainty"].items():
                assert text[f"{field}_low"] == ("" if bounds["low"] is None else str(bounds["low"]))


def test_an_unknown_format_is_refused(used: Store) -> None:
    """A format that does not exist is answered with those that do."""
    with pytest.raises(ReportError, match="choose one of: csv, html, json, md, parquet, pdf"):
        render(document(used, "usage", "odd"), "xml")


def test_the_reference_is_current() -> None:
    """docs/reference/reports.md is what the declarations say; `python -m headgate.queries.reference` writes it."""
    page = Path(__file__).parent.parent / "docs" / "reference" / "reports.md"
    assert page.read_text(encoding="utf-8") == reference()


@REPORTS
def test_statements_count_by_weight_and_say_utc(name: str) -> None:
    """Reports' SQL is one statement, names its zone, has server-side parameters only, never counts rows as uses."""
    report = entry(name)
    assert report.queries
    assert report.relations <= TIERS.keys() | BESIDE.keys()
    for text in report.queries.values():
        code = re.sub(r"--[^\n]*", "", text)
        assert ";" not in code
        assert "count()" not in code.replace("count() AS arrivals", "")
        assert not re.search(r"DateTime64\(9\)|toStartOf\w+\(\w+\)", code)
        assert not re.search(r"%\(|\{\w+\}", code)
    assert set(report.report.tables) <= {"rows", *described(report.report.summary)}
    assert set(report.report.tables["rows"]) <= described(report.report.row).keys()


def test_public_names_are_those_of_all() -> None:
    """What `headgate.queries` exports is what it says it exports."""
    assert all(hasattr(headgate.queries, name) for name in headgate.queries.__all__)
