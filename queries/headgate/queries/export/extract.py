"""What is to be exported: a table, some of its fields, a window; checked against the schema, and turned into SQL.

Fields are columns (`Timestamp`), nested columns (`Events.Name`) or one key of a map (`SpanAttributes.http.route`).
Rows that were sampled keep their `Weight`, so that sums stay right: it is exported unless fields are named.

`usage` is the finest of its tables that still has the whole window. What a table no longer has is said in `notes`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from headgate.queries.errors import ReportError, choices, guess
from headgate.queries.export.line import literal
from headgate.queries.tier import TIERS
from headgate.queries.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

FORMATS = ("csv", "jsonl", "parquet", "xlsx")
SLICE_ROWS = 250_000
_STORED = re.compile(r"SimpleAggregateFunction\(\w+, (.+)\)")
_KEYED = re.compile(r"Map\(.+?, (.+)\)")
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of data: its table, the column of its time, and the type of that column's bounds."""

    table: str
    time: str
    bound: str = "DateTime64(9, 'UTC')"


KINDS: Mapping[str, Kind] = {
    "events": Kind("events", "Timestamp"),
    "traces": Kind("otel_traces", "Timestamp"),
    "logs": Kind("otel_logs", "Timestamp"),
    "gauges": Kind("otel_metrics_gauge", "TimeUnix"),
    "sums": Kind("otel_metrics_sum", "TimeUnix"),
    "histograms": Kind("otel_metrics_histogram", "TimeUnix"),
    "exponential-histograms": Kind("otel_metrics_exponential_histogram", "TimeUnix"),
    "summaries": Kind("otel_metrics_summary", "TimeUnix"),
    "usage": Kind("usage_minute", "Time", "DateTime('UTC')"),
    "usage-minute": Kind("usage_minute", "Time", "DateTime('UTC')"),
    "usage-quarter": Kind("usage_quarter", "Time", "DateTime('UTC')"),
    "usage-day": Kind("usage_day", "Time", "DateTime('UTC')"),
    "users": Kind("user_hour", "Time", "DateTime('UTC')"),
    "ledger": Kind("ledger", "Time", "DateTime('UTC')"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the file: its name, its SQL expression, and the engine's type of its values."""

    name: str
    sql: str
    type: str

    @property
    def composite(self) -> bool:
        """Whether its values are maps or arrays."""
        return self.type.startswith(("Map(", "Array("))


@dataclass(frozen=True, slots=True)
class Extract:
    """A checked request; `fields` are in the order of the file."""

    kind: str
    fields: tuple[Field, ...]
    window: Window
    service: str
    format: str
    notes: tuple[str, ...] = ()

    def parameters(self, part: Window) -> dict[str, str]:
        """Return the parameters for a part of the window."""
        whole = KINDS[self.kind].bound.startswith("DateTime(")
        text = "%Y-%m-%d %H:%M:%S" if whole else "%Y-%m-%d %H:%M:%S.%f"
        return {
            "since": part.since.strftime(text),
            "until": part.until.strftime(text),
            "service": self.service,
        }

    @property
    def table(self) -> str:
        """The table that is read."""
        return KINDS[self.kind].table

    def days(self) -> Iterator[Window]:
        """Return the window cut at the days of UTC, by which tables are partitioned, in order."""
        start = self.window.since
        while start < self.window.until:
            end = min(start - (start - _EPOCH) % _DAY + _DAY, self.window.until)
            yield Window(start, end)
            start = end

    @staticmethod
    def slices(day: Window, minutes: Iterable[Sequence[int]]) -> list[tuple[Window, int]]:
        """Return a day cut before minutes, so that no slice has more than SLICE_ROWS, with the rows of each.

        What is sorted at once lies in memory and, beyond that, in temporary files. A minute of more rows is a slice of
        its own; without rows there is no slice.
        """
        found: list[tuple[Window, int]] = []
        since, rows = day.since, 0
        for second, count in minutes:
            if rows and rows + count > SLICE_ROWS:
                start = datetime.fromtimestamp(second, UTC)
                found.append((Window(since, start), rows))
                since, rows = start, 0
            rows += count
        return [*found, (Window(since, day.until), rows)] if rows else found

    def where(self) -> str:
        """Return the condition; parameters are `since`, `until`, `service`."""
        kind = KINDS[self.kind]
        return (
            f"{kind.time} >= {{since:{kind.bound}}} AND {kind.time} < {{until:{kind.bound}}}"
            " AND ({service:String} = '' OR ServiceName = {service:String})"
        )

    def minutes(self) -> str:
        """Return the statement that counts the rows of each minute of a window: seconds since 1970, rows."""
        minute = f"toUnixTimestamp(toStartOfMinute({KINDS[self.kind].time}))"
        counted = f"SELECT {minute} AS minute, count() FROM {self.table} WHERE {self.where()}"
        return f"{counted} GROUP BY minute ORDER BY minute"

    def rows(self, expression: str) -> str:
        """Return the statement that reads a window's rows, earliest first."""
        return f"SELECT {expression} FROM {self.table} WHERE {self.where()} ORDER BY {KINDS[self.kind].time}"


def extract(
    kind: str,
    fields: Collection[str],
    window: Window,
    schema: Mapping[str, Mapping[str, str]],
    *,
    service: str = "",
    format_: str = "csv",
    kept_since: Mapping[str, datetime] = MappingProxyType({}),
) -> Extract:
    """Check a request; `schema` has the type of each column of each table, `kept_since` what they still have.

    Raises ReportError.
    """
    if kind not in KINDS:
        raise ReportError(f"there is nothing to export called {kind!r}{guess(kind, KINDS)}")
    if format_ not in FORMATS:
        raise ReportError(
            f"format {format_!r} is not possible; choose one of: {choices(format_, FORMATS)}"
        )
    notes: list[str] = []
    if kind == "usage":
        kind, window = _finest(window, schema, kept_since, notes)
    table = KINDS[kind].table
    columns = schema.get(table)
    if not columns:
        raise ReportError(f"this store has no {kind}: the table {table} does not exist")
    chosen = tuple(_field(name, kind, columns) for name in (fields or columns))
    if window.since < (kept := kept_since.get(table, window.since)):
        notes.append(f"{table} keeps rows since {_minute(kept)}: older ones have expired")
    return Extract(kind, chosen, window, service, format_, tuple(notes))


def _finest(
    window: Window,
    schema: Mapping[str, Mapping[str, str]],
    kept_since: Mapping[str, datetime],
    notes: list[str],
) -> tuple[str, Window]:
    """Return the kind of the finest table of usage that has the whole window, and that in the table's steps."""
    there = [tier for tier in TIERS["usage"] if tier.table in schema] or [TIERS["usage"][0]]
    whole = [tier for tier in there if kept_since.get(tier.table, window.since) <= window.since]
    tier = (whole or there[-1:])[0]
    kind = next(n for n, kind in KINDS.items() if kind.table == tier.table and n != "usage")
    finer = there[: there.index(tier)]
    if not finer:
        return kind, window
    notes.append(
        f"{finer[-1].table} keeps rows since {_minute(kept_since[finer[-1].table])}: this is {tier.table},"
        f" in steps of {tier.step}"
    )
    return kind, window.aligned(tier.step)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _field(name: str, kind: str, columns: Mapping[str, str]) -> Field:
    if name in columns:
        stored = _STORED.fullmatch(columns[name])
        return Field(name, f"`{name}`", stored[1] if stored else columns[name])
    head, _, key = name.partition(".")
    if key and (map_ := _KEYED.fullmatch(columns.get(head, ""))):
        return Field(name, f"`{head}`[{literal(key)}]", map_[1])
    raise ReportError(f"{kind} have no field {name!r}{guess(name, columns)}")
