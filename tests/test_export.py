"""Exports: every row once, the same values in every format, in constant memory, whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import openpyxl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.cli.export import _bar
from headgate.queries import ReportError
from headgate.queries.export import FORMATS, KINDS, Extract, Progress, extract, kept_since, write
from headgate.queries.export.line import csv_line, json_line, literal
from headgate.queries.tier import DIMENSION_TIERS, TIERS
from headgate.queries.window import Window, iso, window
from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.store import Store

WRITING = sys.modules["headgate.queries.export.writing"]
EXTRACT = sys.modules[Extract.__module__]  # the package has a function of the same name
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FIELDS = ("Timestamp", "Operation", "Duration", "Value", "Attributes", "Attributes.plan", "Weight")
WRONG = 77
NASTY = 'quote " comma, line\nbreak \\ ünïcode =1+1'


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store of 500 uses over five days, some without a value, with awkward text."""
    rows = [
        [
            NOW - timedelta(minutes=13 * i),
            f"s{i % 2}",
            NASTY if i % 3 else f"op{i}",
            i,
            None if i % 5 else i / 2,
            {"plan": f"p{i % 4}", "text": NASTY},
            1.0 + i % 2,
        ]
        for i in range(500)
    ]
    columns = ["Timestamp", "ServiceName", "Operation", "Duration", "Value", "Attributes", "Weight"]
    store.client().insert("events", rows, column_names=columns)
    return store


def export(store: Store, path: Path, format_: str, *, since: str = "30d", **more: Any) -> Progress:
    chosen = extract(
        "events", FIELDS, window(since, None, NOW), store.tables(), format_=format_, **more
    )
    return write(store, chosen, path, lambda _: None)


def truth(store: Store) -> list[tuple[Any, ...]]:
    result = store.client().query(
        "SELECT toString(Timestamp), Operation, Duration, Value, Attributes, Weight FROM events"
        " WHERE Timestamp < '2026-11-20 12:00:00' ORDER BY Timestamp"
    )
    return [tuple(row) for row in result.result_rows]


def test_csv_is_read_back_as_it_was(filled: Store, tmp_path: Path) -> None:
    """By Python's own reader: quotes, commas and line breaks survive, maps are JSON, NULL is empty."""
    done = export(filled, tmp_path / "a.csv", "csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == FIELDS
    expected = truth(filled)
    assert done.rows == len(rows) == len(expected) == 499
    for found, (_, operation, duration, value, attributes, weight) in zip(
        rows, expected, strict=True
    ):
        assert found[1] == operation
        assert int(found[2]) == duration
        assert found[3] == ("" if value is None else f"{value:g}")
        assert json.loads(found[4]) == attributes
        assert found[5] == attributes["plan"]
        assert float(found[6]) == weight


@given(
    counts=st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 60)), unique_by=lambda m: m[0])
)
def test_slices_hold_each_row_once_and_no_more_than_fit(counts: list[tuple[int, int]]) -> None:
    """Slices follow each other from the first row to the last and have at most SLICE_ROWS, but for a fuller minute."""
    day = Window(NOW.replace(hour=0), NOW.replace(hour=0) + timedelta(days=1))
    start = int(day.since.timestamp())
    minutes = [(start + 60 * minute, count) for minute, count in sorted(counts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EXTRACT, "SLICE_ROWS", 50)
        found = Extract.slices(day, minutes)
    if not minutes:
        assert found == []
        return
    edges = [part.since for part, _ in found] + [found[-1][0].until]
    assert [(part.since, part.until) for part, _ in found] == list(itertools.pairwise(edges))
    assert (edges[0], edges[-1]) == (day.since, day.until)
    for part, rows in found:
        inside = [n for s, n in minutes if part.since.timestamp() <= s < part.until.timestamp()]
        assert sum(inside) == rows
        assert rows <= 50 or len(inside) == 1


def test_many_slices_are_one_file(filled: Store, tmp_path: Path, monkeypatch: Any) -> None:
    """A file of slices of seven rows at most is that of one slice a day, byte for byte, rows in order of time."""
    export(filled, tmp_path / "whole.csv", "csv")
    monkeypatch.setattr(EXTRACT, "SLICE_ROWS", 7)
    export(filled, tmp_path / "sliced.csv", "csv")
    assert (tmp_path / "sliced.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_json_lines_and_parquet_have_the_same_rows(filled: Store, tmp_path: Path) -> None:
    """Typed in both, earliest first."""
    export(filled, tmp_path / "a.jsonl", "jsonl")
    export(filled, tmp_path / "a.parquet", "parquet")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    for line, row, (_, operation, duration, value, attributes, weight) in zip(
        lines, table, truth(filled), strict=True
    ):
        assert line["Operation"] == row["Operation"] == operation
        assert line["Duration"] == row["Duration"] == duration
        assert line["Value"] == row["Value"] == value
        assert line["Attributes"] == dict(row["Attributes"]) == attributes
        assert line["Weight"] == row["Weight"] == weight
    assert lines == sorted(lines, key=lambda line: line["Timestamp"])


def test_a_workbook_goes_on_in_further_sheets(filled: Store, tmp_path: Path, monkeypatch) -> None:
    """No row is cut off at Excel's limit, and text that looks like a formula is text."""
    monkeypatch.setattr(WRITING, "SHEET_ROWS", 200)
    export(filled, tmp_path / "a.xlsx", "xlsx")
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert [sheet.max_row for sheet in book] == [201, 201, 100]
    rows = [row for sheet in book for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert [row[2] for row in rows] == [duration for _, _, duration, *_ in truth(filled)]
    assert book.worksheets[0]["A2"].is_date


def test_what_files_cannot_hold_is_replaced_and_loses_no_row(store: Store, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, columns that an operator added and that may be NULL: each format has every row."""
    client = store.client()
    client.command("ALTER TABLE events ADD COLUMN Plan LowCardinality(Nullable(String))")
    client.command(
        "INSERT INTO events (Timestamp, Operation, Attributes, Plan)"
        " SELECT {now:DateTime64(9, 'UTC')} - INTERVAL number + 1 MINUTE, 'caf' || unhex('E9'),"
        " map('text', unhex('FF') || 'x'), if(number < 2, 'gold', NULL) FROM numbers(5)",
        parameters={"now": NOW},
    )
    names = ("Operation", "Attributes", "Plan")
    files = {}
    for format_ in FORMATS:
        path = files[format_] = tmp_path / f"a.{format_}"
        chosen = extract("events", names, window("1d", None, NOW), store.tables(), format_=format_)
        assert write(store, chosen, path, lambda _: None).rows == 5
    with files["csv"].open(encoding="utf-8", newline="") as file:
        assert [row[0] for row in csv.reader(file)][1:] == ["caf\ufffd"] * 5
    lines = [json.loads(line) for line in files["jsonl"].read_text("utf-8").splitlines()]
    assert [line["Plan"] for line in lines] == [None, None, None, "gold", "gold"]
    assert lines[0]["Attributes"] == {"text": "\ufffdx"}
    table = pq.read_table(files["parquet"]).to_pylist()
    assert [(row["Operation"], row["Attributes"]) for row in table] == [
        ("caf\ufffd", [("text", "\ufffdx")])
    ] * 5
    sheet = openpyxl.load_workbook(files["xlsx"]).active
    assert [row[0] for row in sheet.iter_rows(min_row=2, values_only=True)] == ["caf\ufffd"] * 5


def test_a_workbook_has_composite_values_as_csv_has_them(store: Store, tmp_path: Path) -> None:
    """Attributes, lists and maps in lists are the same JSON; what is longer than a cell may be says how long it was."""
    columns = ["Timestamp", "SpanName", "SpanAttributes", "Events.Timestamp", "Events.Name"]
    at = NOW - timedelta(minutes=1)
    long = {"text": "\u00fc" * 40_000}
    rows = [
        [at, "short", {"plan": 'a "b"'}, [at, at], ["began", "ended"], [{"n": "1"}, {}]],
        [at, "tall", long, [], [], []],
    ]
    columns.append("Events.Attributes")
    store.client().insert("otel_traces", rows, column_names=columns)
    found = {}
    for format_ in ("csv", "xlsx"):
        path = tmp_path / f"a.{format_}"
        chosen = extract(
            "traces", columns, window("1d", None, NOW), store.tables(), format_=format_
        )
        assert write(store, chosen, path, lambda _: None).rows == 2
        if format_ == "csv":
            with path.open(encoding="utf-8", newline="") as file:
                found[format_] = {row[1]: row[2:] for row in csv.reader(file)}
        else:
            sheet = openpyxl.load_workbook(path).active
            found[format_] = {row[1]: list(row[2:]) for row in sheet.iter_rows(values_only=True)}
    assert found["xlsx"]["short"] == found["csv"]["short"]
    assert json.loads(found["xlsx"]["short"][3]) == [{"n": "1"}, {}]
    whole, cut = found["csv"]["tall"][0], found["xlsx"]["tall"][0]
    mark = " [cut: 40,011 characters]"
    assert len(whole) == 40_011
    assert cut == whole[: 32_767 - len(mark)] + mark


def test_a_workbook_has_numbers_that_excel_has_not_as_text(store: Store, tmp_path: Path) -> None:
    """NaN and infinity do not fail a workbook, and a column of few values has a line for each in CSV."""
    store.client().command(
        "INSERT INTO events (Timestamp, Value) SELECT {now:DateTime64(9, 'UTC')} - INTERVAL number + 1 MINUTE,"
        " [nan, inf, 1.5, NULL][number + 1] FROM numbers(4)",
        parameters={"now": NOW},
    )
    for format_ in ("xlsx", "csv"):
        chosen = extract(
            "events", ("Value",), window("1d", None, NOW), store.tables(), format_=format_
        )
        assert write(store, chosen, tmp_path / f"a.{format_}", lambda _: None).rows == 4
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    assert [row[0] for row in sheet.iter_rows(min_row=2, values_only=True)] == [
        *(None, 1.5, "inf", "nan")
    ]
    assert (tmp_path / "a.csv").read_text().splitlines() == ["Value", '""', "1.5", "inf", "nan"]


def test_filters_and_progress(filled: Store, tmp_path: Path) -> None:
    """Only the service asked for; progress ends at what was written."""
    seen: list[Progress] = []
    chosen = extract("events", FIELDS, window("2d", None, NOW), filled.tables(), service="s1")
    done = write(filled, chosen, tmp_path / "a.csv", seen.append)
    expected = filled.client().query(
        "SELECT count() FROM events WHERE ServiceName = 's1' AND Timestamp >= '2026-11-18 12:00:00'"
        " AND Timestamp < '2026-11-20 12:00:00'"
    )
    assert done.rows == expected.result_rows[0][0] > 50
    assert seen[-1].rows == seen[-1].rows_total == done.rows
    assert done.bytes == (tmp_path / "a.csv").stat().st_size


def test_an_answer_cut_off_is_an_error(filled: Store, tmp_path: Path, monkeypatch) -> None:
    """A limit that the engine follows silently, as a server's profile may have, makes no file that seems whole."""
    monkeypatch.setitem(WRITING._SETTINGS, "limit", 10)
    with pytest.raises(StoreError, match=r"only 10 of \d+ rows came from 20.*Z to 20"):
        export(filled, tmp_path / "a.csv", "csv")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_in_the_middle_leaves_nothing(
    filled: Store, tmp_path: Path, monkeypatch
) -> None:
    """When blocks have been written already; the next export on the same handle has its own rows only."""
    monkeypatch.setattr(WRITING, "_BLOCK_ROWS", dict.fromkeys(FORMATS, 10))
    monkeypatch.setitem(WRITING._SETTINGS, "max_threads", 1)
    seen: list[Progress] = []
    chosen = extract("events", FIELDS, window("30d", None, NOW), filled.tables())
    fails = EXTRACT.Field("fails", f"throwIf(Duration = {WRONG}, 'it is wrong')", "UInt8")
    wrong = dataclasses.replace(chosen, fields=(*chosen.fields, fails))
    # Lines are made after sorting, so that those before the wrong one have come.
    monkeypatch.setitem(WRITING._SETTINGS, "query_plan_execute_functions_after_sorting", 1)
    with pytest.raises(StoreError, match=r"nothing is left of it.*it is wrong"):
        write(filled, wrong, tmp_path / "a.csv", seen.append)
    assert seen
    assert list(tmp_path.iterdir()) == []
    assert export(filled, tmp_path / "a.csv", "csv").rows == 499


def test_who_stops_it_leaves_nothing(filled: Store, tmp_path: Path, monkeypatch) -> None:
    """An exception of the caller's ends the statement; the handle can be used at once."""
    monkeypatch.setattr(WRITING, "_BLOCK_ROWS", dict.fromkeys(FORMATS, 10))

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    chosen = extract("events", FIELDS, window("30d", None, NOW), filled.tables())
    with pytest.raises(KeyboardInterrupt):
        write(filled, chosen, tmp_path / "a.csv", stop)
    assert list(tmp_path.iterdir()) == []
    assert export(filled, tmp_path / "a.csv", "csv").rows == 499


@pytest.mark.parametrize("line", ["csv", "jsonl"])
def test_lines_are_those_of_the_engine(filled: Store, line: str) -> None:
    """Byte for byte what its own writers make of the columns of every table: of random values, and of every byte."""
    tables = filled.tables()
    for kind in KINDS:
        fields = extract(kind, (), window("1d", None, NOW), tables).fields
        columns = ", ".join(f"{field.sql} {field.type}" for field in fields)
        source = (
            f"generateRandom('{columns.replace(chr(39), chr(92) + chr(39))}', 7, 9, 3) LIMIT 500"
        )
        assert differences(filled, line, fields, source) == (500, 0)
    mapped = "Map(LowCardinality(String), String)"
    fields = [
        EXTRACT.Field("s", "`s`", "String"),
        EXTRACT.Field('odd "name"/\\', "`c`", "LowCardinality(String)"),
        EXTRACT.Field("m", "`m`", mapped),
        EXTRACT.Field("n", "`n`", "Nullable(Float64)"),
        EXTRACT.Field("f", "`f`", "Float64"),
    ]
    source = (
        f"(SELECT char(number) AS s, toLowCardinality(s) AS c, CAST(map(s, s, 'k', s || s), '{mapped}') AS m,"
        " [nan, inf, -inf, -0., 1e21, 0.1, NULL][number % 7 + 1] AS n, ifNull(n, 1e-7) AS f FROM numbers(256))"
    )
    assert differences(filled, line, fields, source) == (256, 0)


def differences(store: Store, line: str, fields: Sequence[Any], source: str) -> tuple[int, ...]:
    """Return how many rows there are, and how many of which our line is not that of the engine."""
    if line == "csv":
        ours = csv_line(fields)
        values = (f"toJSONString({f.sql})" if f.composite else f.sql for f in fields)
        engine = f"toValidUTF8(formatRow('CSV', {', '.join(values)}))"
    else:
        ours = json_line(fields)
        named = ", ".join(f"{f.sql} AS {literal(f.name).replace(chr(39), '`')}" for f in fields)
        engine = f"toValidUTF8(formatRow('JSONEachRow', {named}))"
    # A name that hides its column would be found in our line too: each in a statement of its own.
    settings = {k: v for k, v in WRITING._SETTINGS.items() if not k.startswith("max_")}
    store.client().command("DROP TABLE IF EXISTS rows_to_compare")
    store.client().command(
        f"CREATE TABLE rows_to_compare ENGINE = Memory AS SELECT * FROM {source}"
    )
    digests = [
        store.client()
        .query(
            f"SELECT hex(sipHash128({expression})) FROM rows_to_compare",
            settings=settings,
        )
        .result_columns[0]
        for expression in (ours, engine)
    ]
    return len(digests[0]), sum(a != b for a, b in zip(*digests, strict=True))


def test_the_bar_tells_rows_bytes_and_time_left(monkeypatch) -> None:
    """On a terminal: bytes are those of the file, not the rows again."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with _bar() as follow:
        follow(Progress(2_400_000, 10_000_000, 1_350_000_000))
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]  # it is ours
    assert re.search(r"2400000/10000000\S* rows 1\.4 GB \S*[-\d]+:[-\d:]+", shown)


def test_what_breaks_off_leaves_nothing(filled: Store, tmp_path: Path, monkeypatch) -> None:
    """A failure in the middle is an error, and there is no file that could be taken for a whole one."""
    monkeypatch.setitem(WRITING._SETTINGS, "max_rows_to_read", 10)
    with pytest.raises(StoreError, match="broke off, nothing is left of it"):
        export(filled, tmp_path / "a.csv", "csv")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_told(filled: Store, tmp_path: Path) -> None:
    """One sentence with the path."""
    with pytest.raises(ReportError, match=r"cannot write .*nowhere/a\.csv: No such file"):
        export(filled, tmp_path / "nowhere" / "a.csv", "csv")


def test_every_kind_in_every_format(filled: Store, tmp_path: Path) -> None:
    """All columns of all tables can be written, also when there is no row."""
    tables = filled.tables()
    for kind in KINDS:
        for format_ in FORMATS:
            chosen = extract(kind, (), window("2d", None, NOW), tables, format_=format_)
            done = write(filled, chosen, tmp_path / "all", lambda _: None)
            assert (tmp_path / "all").stat().st_size == done.bytes
            assert (done.rows > 0) == (kind == "events")
            assert done.bytes > 0 or format_ == "jsonl"


def test_what_cannot_be_exported_is_told(filled: Store) -> None:
    """Unknown kinds, fields and formats, with what there is; no SQL gets in by a key."""
    for kind, fields, format_, says in (
        ("evnts", (), "csv", "nothing to export called 'evnts', did you mean 'events'"),
        ("events", ("Tmestamp",), "csv", "no field 'Tmestamp', did you mean 'Timestamp'"),
        ("events", (), "xls", "format 'xls' is not possible"),
    ):
        with pytest.raises(ReportError, match=says):
            extract(kind, fields, window("1d", None, NOW), filled.tables(), format_=format_)
    odd = extract("events", ("Attributes.a'] OR 1 --\\",), window("1d", None, NOW), filled.tables())
    assert odd.fields[0].sql == "`Attributes`['a\\'] OR 1 --\\\\']"


def test_what_tables_keep_is_read_from_the_tables(store: Store) -> None:
    """The terms are those of the tables themselves, which reports count on too; a changed one is seen."""
    found = kept_since(store, NOW)
    for tier in (*(tier for tiers in TIERS.values() for tier in tiers), *DIMENSION_TIERS):
        assert NOW - found[tier.table] == tier.keep
    assert found["otel_traces"] == NOW - timedelta(days=7)
    assert "document" not in found
    store.client().command(
        "ALTER TABLE otel_logs MODIFY TTL toDateTime(Timestamp, 'UTC') + INTERVAL 2 WEEK"
    )
    assert kept_since(store, NOW)["otel_logs"] == NOW - timedelta(days=14)


@pytest.mark.parametrize(
    ("since", "kind", "begins", "says"),
    [
        ("2d", "usage-minute", "2026-11-18T12:00:30Z", ""),
        (
            "30d",
            "usage-quarter",
            "2026-10-21T12:00:00Z",
            "usage_minute keeps rows since 2026-11-17 12:00 UTC",
        ),
        (
            "400d",
            "usage-day",
            "2025-10-16T00:00:00Z",
            "usage_quarter keeps rows since 2026-08-22 12:00 UTC",
        ),
    ],
)
def test_usage_comes_from_the_finest_table_that_has_it_all(
    store: Store, since: str, kind: str, begins: str, says: str
) -> None:
    """Beyond what minutes are kept for it is quarters, then days, in whole steps, and a note says so."""
    now = NOW + timedelta(seconds=30)
    asked = window(since, None, now)
    found = extract("usage", (), asked, store.tables(), kept_since=kept_since(store, now))
    assert (found.kind, iso(found.window.since)) == (kind, begins)
    assert " ".join(found.notes).startswith(says)
    assert bool(found.notes) == bool(says)


def test_what_has_expired_is_told(store: Store) -> None:
    """A window that reaches before what its table keeps has a note with the time; one that does not has none."""
    kept = kept_since(store, NOW)
    for since, expired in (("7d", False), ("8d", True)):
        for kind in ("traces", "logs", "sums"):
            found = extract(kind, (), window(since, None, NOW), store.tables(), kept_since=kept)
            assert [note.split(" keeps rows since ")[1] for note in found.notes] == (
                ["2026-11-13 12:00 UTC: older ones have expired"] if expired else []
            )
