"""Which tables an answer has: `rows`, each list of records in its summary, and `summary`, its single numbers."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, get_args

from headgate.queries.catalog import entry
from headgate.queries.declaration import described
from headgate.queries.errors import ReportError, choices

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWS, SUMMARY = "rows", "summary"
Fields = dict[str, tuple[Any, str]]


def tables_of(report: str) -> dict[str, Fields]:
    """Return the fields, with type and description, of each table of a report, by the table's name."""
    declared = entry(report).report
    summary = described(declared.summary)
    lists = {
        name: described(get_args(kind)[0])
        for name, (kind, _) in summary.items()
        if get_args(kind) and is_dataclass(get_args(kind)[0]) and _is_list(kind)
    }
    single = {name: field for name, field in summary.items() if not _is_list(field[0])}
    return {ROWS: described(declared.row), **lists, SUMMARY: single}


def chosen(document: Mapping[str, Any], table: str) -> tuple[Fields, list[dict[str, Any]]]:
    """Return the fields and the records of a table: the one named, else `rows`, or `summary` if that was all asked for.

    Raises ReportError for a table that there is not.
    """
    known = tables_of(document["report"])
    name = table or (SUMMARY if document["params"]["granularity"] == "summary" else ROWS)
    if name not in known:
        raise ReportError(
            f"table {name!r} is not possible; {document['report']} has: {choices(name, known)}"
        )
    if name == SUMMARY:
        return known[name], [document["summary"]]
    records = document["rows"] if name == ROWS else document["summary"][name]
    return known[name], records


def is_empty(document: Mapping[str, Any]) -> bool:
    """Return whether nothing was recorded: tables have no rows, and where none were wanted, no number is above zero."""
    summary = document["summary"]
    shown = entry(document["report"]).report.tables
    if any(document["rows"] if name == ROWS else summary[name] for name in shown):
        return False
    if document["params"]["granularity"] != "summary":
        return True
    return not any(isinstance(value, int | float) and value for value in summary.values())


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is tuple
