"""Who used what in a window, from rollups: which of the branches of `sources/people.sql` have rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.queries.source import sql

if TYPE_CHECKING:
    from headgate.queries.source import Source


def with_people(source: Source) -> Source:
    """Return the source without branches of `people` that have no rows: each takes as long to plan as a small answer.

    Branches are those of whole days, of hours around them, and both once more for the step that holds the window's
    begin. Ask when the window is final: a later begin needs more of them.
    """
    window, wide, days = source.window, source.users, source.days
    if wide is None or days is None:
        return source
    hours = wide != days
    by_days, by_hours, first_day, first_hour = sql("people").split("UNION ALL\n")
    chosen = {
        by_days: days.since < days.until or not hours,
        by_hours: hours,
        first_day: days.since < min(days.until, window.since),
        first_hour: hours and wide.since < window.since,
    }
    text = "UNION ALL\n".join(branch for branch, has_rows in chosen.items() if has_rows)
    return source.defining(people=text)
