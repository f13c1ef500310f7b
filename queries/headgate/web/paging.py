"""Pages of a report's rows (REQ-EXP-05): `page_rows` at most, from the one numbered `offset` on.

The document then says which page it is, `"page": {"offset", "rows", "total"}`; the header X-Total-Count has the total,
and Link the next and the previous page (RFC 8288).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headgate.queries import ReportError

if TYPE_CHECKING:
    from starlette.datastructures import URL

MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of how many."""

    offset: int
    rows: int
    total: int

    def headers(self, url: URL) -> dict[str, str]:
        """Return the headers of a response that is this page of what has this address."""
        beside = {"prev": max(self.offset - self.rows, 0), "next": self.offset + self.rows}
        there = {"prev": self.offset > 0, "next": beside["next"] < self.total}
        links = [
            f'<{url.include_query_params(offset=beside[name], page_rows=self.rows)}>; rel="{name}"'
            for name in beside
            if there[name]
        ]
        return {"X-Total-Count": str(self.total), **({"Link": ", ".join(links)} if links else {})}


def asked(question: dict[str, Any]) -> tuple[int, int] | None:
    """Take offset and page_rows out of a question; None where neither is asked for. Raises ReportError."""
    if not {"offset", "page_rows"} & question.keys():
        return None
    offset = question.pop("offset", "0")
    rows = question.pop("page_rows", str(MOST_ROWS))
    if not offset.isdecimal() or len(offset) > 15:
        raise ReportError(f"offset {offset!r} is not possible: write a number from 0 on")
    if not rows.isdecimal() or not 1 <= int(rows[:9]) <= MOST_ROWS or len(rows) > 6:
        raise ReportError(
            f"page_rows {rows!r} is not possible: write how many rows a page has, 1 to {MOST_ROWS}"
        )
    return int(offset), int(rows)


def paged(document: dict[str, Any], wanted: tuple[int, int] | None) -> Page | None:
    """Leave only the wanted rows in a document, and say so there."""
    if wanted is None:
        return None
    offset, rows = wanted
    page = Page(offset, rows, len(document["rows"]))
    document["rows"] = document["rows"][offset : offset + rows]
    document["page"] = {"offset": offset, "rows": len(document["rows"]), "total": page.total}
    return page
