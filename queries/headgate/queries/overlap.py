"""Windows that overlap: what one question of a report has read is not read again for another.

Where rows are sums of a period each (`period_s`), those of a window are those of its parts together. The parts are what
the same source has answered, from the window's end back without a gap, and what is left before them. A source that
differs in anything but its window, as a coarser table or uses with weights do, counts in another way at the seam: what
it answered is no part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headgate.queries.columns import Columns, stacked
from headgate.queries.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from headgate.queries.declaration import Params
    from headgate.queries.periods import Periods
    from headgate.queries.recorded import Known
    from headgate.queries.source import Source


@dataclass(frozen=True, slots=True)
class Answered:
    """A question's answer: the source, how much of its window there can be records of, and each query's columns."""

    params: Params
    source: Source
    known: Known
    periods: Periods
    columns: Mapping[str, Columns]


@dataclass(frozen=True, slots=True)
class Overlap:
    """What is left to read of a window, and the columns of the rest by query, the latest part first."""

    left: Window
    parts: tuple[Mapping[str, Columns], ...]

    def joined(self, query: str, left: Columns) -> Columns:
        """Return the rows of the whole window, given those of what was left."""
        return stacked([left, *(part[query] for part in self.parts)])


def overlap(
    source: Source,
    params: Params,
    periods: Periods,
    queries: Collection[str],
    answered: Iterable[Answered],
) -> Overlap:
    """Return what of the source's window has been read for other questions by the same statements."""
    since, end = source.window.since, source.window.until
    parts: list[Mapping[str, Columns]] = []
    for other in sorted(answered, key=lambda o: o.source.window.until, reverse=True):
        read = other.source.window
        if not since < end == read.until or not set(queries) <= other.columns.keys():
            continue
        if (params, periods.step) != (other.params, other.periods.step):
            continue
        if not _alike(source, other.source):
            continue
        if since <= read.since:
            parts.append(other.columns)
            end = read.since
            continue
        # Of the period that the window begins within, its rows count what was before, too.
        whole = min(edge for edge in periods.edges if edge >= since)
        parts.append(_from(other.columns, queries, int(whole.timestamp())))
        return Overlap(Window(since, min(whole, end)), tuple(parts))
    return Overlap(Window(since, end), tuple(parts))


def _alike(source: Source, other: Source) -> bool:
    """Return whether sources differ in nothing but their windows, and what there is to tell of those."""
    there = {name: getattr(source, name) for name in ("window", "users", "days", "notes")}
    return replace(other, **there) == source


def _from(
    columns: Mapping[str, Columns], queries: Collection[str], start_s: int
) -> dict[str, Columns]:
    """Return the rows of the periods that begin then or later."""
    return {q: columns[q].chosen(columns[q]["period_s"] >= start_s) for q in queries}
