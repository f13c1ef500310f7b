"""Questions by the names that other systems' programs ask them by (REQ-API-11)."""

from __future__ import annotations

from typing import Any

from headgate.queries.errors import ReportError, choices
from headgate.queries.origin import run


def get_source_performance(
    source_id: str, time_range: str = "7d", *, by: str | None = None, **question: Any
) -> Any:
    """Return the row of report `sources` for one source.

    A source is an operation, or, with `by`, a value of that dimension or attribute; `question` is what `run` takes
    (`service`, `store`, `data`, `until`, ...). ReportError where it was not used, nor in the days before (the report's
    `lookback_days`), or where several services have it and `service` does not say which.
    """
    narrowed = question if by is not None else question | {"operation": source_id}
    rows = run("sources", since=time_range, by=by, **narrowed).rows
    found = [row for row in rows if row.operation == source_id]
    if not found:
        raise ReportError(
            f"no source {source_id!r} was used in {time_range}; there are:"
            f" {choices(source_id, {row.operation for row in rows}) or 'none'}"
        )
    if len(found) > 1:
        raise ReportError(
            f"several services have the source {source_id!r}; give service= one of:"
            f" {choices('', {row.service for row in found})}"
        )
    return found[0]
