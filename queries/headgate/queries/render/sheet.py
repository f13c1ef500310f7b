"""Records as CSV (RFC 4180): every field of one table, then their uncertainty where there is any."""

from __future__ import annotations

import csv
import io
from typing import Any

from headgate.queries.estimate import Estimate
from headgate.queries.render.tables import chosen

_PARTS = ("standard_error", "low", "high", "reason")


def as_csv(*documents: dict[str, Any], table: str = "") -> str:
    """Return one table of each answer below one header line, which is there without any record too.

    `table` as for `chosen`. Lists are joined with "; "; answers that are not exact have `<number>_standard_error`,
    `_low`, `_high` and `_reason` too: empty where unknown (the reason says why) and equal to the number where it
    happens to be exact. Several answers say in two first columns which window a record is of.
    """
    found = [(document["window"], *chosen(document, table)) for document in documents]
    fields = found[0][1]
    uncertain = [name for name, (kind, _) in fields.items() if _is_estimate(kind)]
    if all(document["exact"] for document in documents):
        uncertain = []
    header = [*(("window_since", "window_until") if len(found) > 1 else ()), *fields]
    header += [f"{name}_{part}" for name in uncertain for part in _PARTS]
    text = io.StringIO()
    writer = csv.DictWriter(text, header)
    writer.writeheader()
    for window, _, records in found:
        of = {f"window_{end}": window[end] for end in ("since", "until") if len(found) > 1}
        for row in records:
            record = {name: _cell(row[name]) for name in fields}
            for name in uncertain:
                record |= _bounds(name, row)
            writer.writerow(of | record)
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
