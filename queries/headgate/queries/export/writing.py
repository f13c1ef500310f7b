"""Write an extract to a file, in constant memory: the engine makes the lines, block by block, slice by slice of time.

CSV (RFC 4180) and JSON lines are made inside the engine and copied as bytes; Parquet and Excel are written from Arrow.
Rows are counted as they pass. The file appears under its name when it is whole, and not at all otherwise.
"""

from __future__ import annotations

import csv
import io
import math
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.queries.errors import ReportError
from headgate.queries.export.line import cell, csv_line, json_line, typed
from headgate.queries.window import iso
from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from headgate.queries.export.extract import Extract
    from headgate.queries.window import Window
    from headgate.store import Store

_SETTINGS = {
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "output_format_json_quote_64bit_integers": 0,
    # Blocks from the engine are read one by one and forgotten: packing them costs more than it saves.
    "output_format_arrow_compression_method": "none",
    # What is sorted goes to files beyond this, and comes back in blocks of that size; by default only when half of the
    # machine's memory is taken as well.
    "max_bytes_before_external_sort": 40_000_000,
    "max_bytes_ratio_before_external_sort": 0,
    "prefer_external_sort_block_bytes": 2_000_000,
    # Lines are made before they are sorted: two columns are cheaper to put in order than all.
    "query_plan_execute_functions_after_sorting": 0,
    # A second one needs as much memory again, and processors that receiving has use for.
    "max_threads": 1,
    # Values keep the names of their columns, and others are made of the columns.
    "prefer_column_name_to_alias": 1,
    "date_time_output_format": "iso",
    "format_csv_null_representation": "",
    "output_format_json_escape_forward_slashes": 0,
}
# A row group of Parquet is a block, and small ones pack badly; lines stay in the processor's caches.
_BLOCK_ROWS = {"csv": 1_024, "jsonl": 1_024, "parquet": 16_384, "xlsx": 4_096}
SHEET_ROWS = 1_048_575
CELL_CHARACTERS = 32_767


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is: rows written of all, and bytes in the file."""

    rows: int
    rows_total: int
    bytes: int


class Sink(Protocol):
    """Takes Arrow batches; `close` finishes the file."""

    def write(self, batch: Any) -> None:
        """Write a batch."""

    def close(self) -> None:
        """Finish."""


def write(
    store: Store, extract: Extract, path: Path, report: Callable[[Progress], object]
) -> Progress:
    """Write the file; `report` is called after every block. Raises ReportError, StoreError.

    Rows that arrive meanwhile may or may not be in it; what is told at the end is what was written.
    """
    client = store.client()
    part = path.with_name(f"{path.name}.part")
    try:
        slices = [part for day in extract.days() for part in _slices(store, extract, day)]
        total = sum(count for _, count in slices)
        rows = 0
        with tempfile.TemporaryDirectory() as scratch, part.open("wb") as file:
            sink = _SINKS[extract.format](file, extract, scratch)
            statement = extract.rows(_expressions(extract))
            settings = {**_SETTINGS, "max_block_size": _BLOCK_ROWS[extract.format]}
            for window, counted in slices:
                before = rows
                with client.query_arrow_stream(
                    statement, parameters=extract.parameters(window), settings=settings
                ) as stream:
                    for batch in _batches(stream):
                        sink.write(batch)
                        rows += batch.num_rows
                        report(Progress(rows, max(rows, total), file.tell()))
                if rows - before < counted:
                    _check(store, extract, window, rows - before)
            sink.close()
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        part.replace(path)
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror or error}") from error
    except ClickHouseError as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise StoreError(f"the export broke off, nothing is left of it: {reason}") from error
    finally:
        part.unlink(missing_ok=True)
    return Progress(rows, rows, size)


def _batches(stream: Iterable[Any]) -> Iterator[Any]:
    """Yield what comes; raises StoreError where reading breaks off, as when a server's connection or query is cut."""
    import pyarrow as pa
    from urllib3.exceptions import HTTPError

    try:
        yield from stream
    except (OSError, HTTPError, pa.ArrowInvalid) as error:
        raise StoreError(
            f"the export broke off, nothing is left of it: the store stopped answering ({error}); see its log"
        ) from error


def _slices(store: Store, extract: Extract, day: Window) -> list[tuple[Window, int]]:
    result = store.client().query(extract.minutes(), parameters=extract.parameters(day))
    return extract.slices(day, result.result_rows)


def _check(store: Store, extract: Extract, part: Window, rows: int) -> None:
    """Raise StoreError if there are more rows than came, as when a limit of the server's cuts answers off.

    Fewer than were counted may be there by now: rows expire, and people are forgotten.
    """
    there = sum(count for _, count in _slices(store, extract, part))
    if rows < there:
        raise StoreError(
            f"the export broke off, nothing is left of it: only {rows:,} of {there:,} rows came from"
            f" {iso(part.since)} to {iso(part.until)}; see whether the server limits results"
        )


def _expressions(extract: Extract) -> str:
    """Return what is selected: one line of text a row, or the columns themselves."""
    if extract.format == "csv":
        return f"{csv_line(extract.fields)} AS line"
    if extract.format == "jsonl":
        return f"{json_line(extract.fields)} AS line"
    made = cell if extract.format == "xlsx" else typed
    return ", ".join(f"{made(field)} AS `{field.name}`" for field in extract.fields)


class Lines:
    """Text that the engine has made, one line a row."""

    def __init__(self, file: BinaryIO, extract: Extract, _: str) -> None:
        self._file = file
        if extract.format == "csv":
            head = io.StringIO()
            csv.writer(head, lineterminator="\n").writerow([field.name for field in extract.fields])
            file.write(head.getvalue().encode())

    def write(self, batch: Any) -> None:
        """Copy the bytes of the lines, which lie one behind the other. Raises StoreError if a row has no line."""
        if batch.column(0).null_count:
            raise StoreError("the export broke off, nothing is left of it: a row has no text")
        for piece in _bytes_of(batch.column(0)):
            self._file.write(piece)

    def close(self) -> None:
        """Nothing is left to do."""


def _bytes_of(column: Any) -> Iterator[memoryview]:
    _, offsets, data = column.buffers()
    width = 8 if str(column.type).startswith("large_") else 4
    ends = memoryview(offsets).cast("q" if width == 8 else "i")
    first, last = ends[column.offset], ends[column.offset + len(column)]
    if last > first:
        yield memoryview(data)[first:last]


class Parquet:
    """Typed columns; maps stay maps."""

    def __init__(self, file: BinaryIO, _: Extract, __: str) -> None:
        self._file = file
        self._writer: Any = None

    def write(self, batch: Any) -> None:
        """Append a row group."""
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, batch.schema, compression="zstd")
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Write the footer; a file without rows has no columns either."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, pa.schema([]))
        self._writer.close()


class Workbook:
    """Rows of an Excel workbook, in as many sheets as they need."""

    def __init__(self, file: BinaryIO, extract: Extract, scratch: str) -> None:
        import xlsxwriter

        self._names = [field.name for field in extract.fields]
        self._book = xlsxwriter.Workbook(
            file, {"constant_memory": True, "tmpdir": scratch, "strings_to_formulas": False, "strings_to_urls": False,
                   "remove_timezone": True, "default_date_format": "yyyy-mm-dd hh:mm:ss.000"}
        )  # fmt: skip
        self._bold = self._book.add_format({"bold": True, "bg_color": "#eef1f5"})
        self._row = SHEET_ROWS + 1
        self._sheet: Any = None

    def write(self, batch: Any) -> None:
        """Append rows."""
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if self._row > SHEET_ROWS:
                self._begin()
            for place, value in enumerate(row):
                self._sheet.write(self._row, place, _cell(value))
            self._row += 1

    def close(self) -> None:
        """Write what is left."""
        from xlsxwriter.exceptions import FileCreateError

        if self._sheet is None:
            self._begin()
        try:
            self._book.close()
        except FileCreateError as error:
            raise OSError(str(error)) from error

    def _begin(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 0)
        for place, name in enumerate(self._names):
            self._sheet.write_string(0, place, name, self._bold)
        self._row = 1


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):  # Excel has no such numbers
        return str(value)
    if isinstance(value, str) and len(value) > CELL_CHARACTERS:
        mark = f" [cut: {len(value):,} characters]"
        return value[: CELL_CHARACTERS - len(mark)] + mark
    if isinstance(value, int) and abs(value) > 2**53:  # Excel has doubles only
        return str(value)
    return value


_SINKS: dict[str, Callable[[BinaryIO, Extract, str], Sink]] = {
    "csv": Lines,
    "jsonl": Lines,
    "parquet": Parquet,
    "xlsx": Workbook,
}
