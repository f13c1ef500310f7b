"""Questions by the names that other systems' programs ask them by (REQ-API-11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.queries.errors import ReportError, choices
from headgate.queries.origin import run
from headgate.queries.window import iso

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from headgate.queries.answer import Answer

    Bounds = tuple[str | datetime, str | datetime]


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


def compare_periods(
    period: Bounds, against: Bounds, dimensions: Sequence[str] = (), **question: Any
) -> dict[str | None, Answer]:
    """Return report `compare` of two periods, each (since, until), by each dimension; by operation (None) without any.

    `question` is what `run` takes: `service`, `where`, `store`, `data`, ... Distances such as 7d count back from now
    in `period`, and from its end in `against`.
    """
    since, until = ((end if isinstance(end, str) else iso(end)) for end in against)
    question |= {"since": period[0], "until": period[1]}
    question |= {"against_since": since, "against_until": until}
    return {by: run("compare", by=by, **question) for by in dimensions or (None,)}
