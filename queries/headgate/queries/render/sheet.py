"""Rows as CSV (RFC 4180): every field of the report's rows, then their uncertainty where there is any."""

from __future__ import annotations

import csv
import io
from typing import Any

from headgate.queries.catalog import entry
from headgate.queries.declaration import described
from headgate.queries.estimate import Estimate

_PARTS = ("standard_error", "low", "high", "reason")


def as_csv(document: dict[str, Any]) -> str:
    """Return the rows; without any there still is the header line.

    Lists are joined with "; "; an answer that is not exact has `<number>_standard_error`, `_low`, `_high` and `_reason`
    too: empty where unknown (the reason says why) and equal to the number where it happens to be exact.
    """
    fields = described(entry(document["report"]).report.row)
    uncertain = [name for name, (kind, _) in fields.items() if _is_estimate(kind)]
    header = list(fields)
    if not document["exact"]:
        header += [f"{name}_{part}" for name in uncertain for part in _PARTS]
    text = io.StringIO()
    writer = csv.DictWriter(text, header)
    writer.writeheader()
    for row in document["rows"]:
        record = {name: _cell(row[name]) for name in fields}
        if not document["exact"]:
            for name in uncertain:
                record |= _bounds(name, row)
        writer.writerow(record)
    return text.getvalue()


def _is_estimate(kind: Any) -> bool:
    return kind is Estimate or Estimate in getattr(kind, "__args__", ())


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "; ".join("" if item is None else str(item) for item in value)
    return value


def _bounds(name: str, row: dict[str, Any]) -> dict[str, Any]:
    exact = {"standard_error": 0, "low": row[name], "high": row[name], "reason": None}
    found = row.get("uncertainty", {}).get(name, exact)
    return {f"{name}_{part}": found[part] for part in _PARTS}
