"""Usage by whole days of UTC, and by finer steps around them: a month has thirty steps instead of three thousand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from headgate.queries.source import sql

if TYPE_CHECKING:
    from headgate.queries.source import Source

DAY = timedelta(days=1)
_RELATION = "kept_usage"


def by_days(source: Source) -> Source:
    """Return the same source with usage read by the day where it is a rollup of finer steps.

    For statements that ask nothing of times within a day; they take the parameters `whole_since` and `whole_until`.
    """
    if source.relations.get("usage") != _RELATION or source.step >= DAY:
        return source
    made = sql("usage_by_days").replace("{usage_table:Identifier}", source.name)
    return source.defining(**{_RELATION: made})
