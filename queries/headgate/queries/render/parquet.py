"""A table of an answer as Parquet: typed columns, for pandas, DuckDB, ClickHouse and the like."""

from __future__ import annotations

import io
import json
from dataclasses import is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headgate.queries.estimate import Estimate
from headgate.queries.render.tables import chosen

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

_PARTS = ("standard_error", "low", "high")


def as_parquet(*documents: Mapping[str, Any], table: str = "") -> bytes:
    """Return one table, as for `chosen`; numbers that may be estimated bring `_standard_error`, `_low` and `_high`.

    The rest of the answer (window, parameters, summary) is JSON in the file's metadata under `headgate`. Of several
    answers that is a list, and `window_since` and `window_until` say which of them a record is of.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, columns = [], []
    found_in = [(document, *chosen(document, table)) for document in documents]
    fields = found_in[0][1]
    records = [record for _, _, several in found_in for record in several]
    for end in ("since", "until") if len(documents) > 1 else ():
        names.append(pa.field(f"window_{end}", _type(pa, datetime)))
        of = [document["window"][end] for document, _, several in found_in for _ in several]
        columns.append(pa.array(_plain(datetime, of), _type(pa, datetime)))
    for name, (kind, meaning) in fields.items():
        values = [row[name] for row in records]
        names.append(pa.field(name, _type(pa, kind), metadata={"description": meaning}))
        columns.append(pa.array(_plain(kind, values), _type(pa, kind)))
        if _has(kind, Estimate):
            for part in _PARTS:
                names.append(pa.field(f"{name}_{part}", pa.float64()))
                found = [_part(row, name, part) for row in records]
                columns.append(pa.array(found, pa.float64()))
    rests = [{k: v for k, v in d.items() if v is not several} for d, _, several in found_in]
    rest = rests[0] if len(rests) == 1 else rests
    schema = pa.schema(names, metadata={"headgate": json.dumps(rest)})
    out = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), out, compression="zstd")
    return out.getvalue()


def _has(kind: Any, wanted: type) -> bool:
    return kind is wanted or wanted in getattr(kind, "__args__", ())


def _type(pa: Any, kind: Any) -> pa.DataType:
    if getattr(kind, "__origin__", None) is tuple:
        item = kind.__args__[0]
        return pa.list_(
            pa.string() if is_dataclass(item) and item is not Estimate else _type(pa, item)
        )
    if _has(kind, Estimate) or _has(kind, float):
        return pa.float64()
    if _has(kind, datetime):
        return pa.timestamp("us", tz="UTC")
    if kind is bool:
        return pa.bool_()
    if _has(kind, int):
        return pa.int64()
    return pa.string()


def _plain(kind: Any, values: list[Any]) -> list[Any]:
    if _has(kind, datetime):
        return [None if value is None else datetime.fromisoformat(value) for value in values]
    if getattr(kind, "__origin__", None) is tuple:  # of records: each one as JSON
        return [[json.dumps(v) if isinstance(v, dict) else v for v in value] for value in values]
    return values


def _part(row: Mapping[str, Any], name: str, part: str) -> float | None:
    if row[name] is None:
        return None
    exact = {"standard_error": 0.0, "low": row[name], "high": row[name]}
    found = row.get("uncertainty", {}).get(name, exact)[part]
    return None if found is None else float(found)
