"""Usage: local dates and hours, the window before, contexts, sizes and names of users, against direct counting."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from report_rows import NOW, add_spans

from headgate.queries import run

if TYPE_CHECKING:
    from headgate.store import Store

BERLIN = ZoneInfo("Europe/Berlin")
AFTER_DST = datetime(2026, 10, 27, tzinfo=BERLIN)


@pytest.fixture
def drawn(store: Store) -> list[dict[str, Any]]:
    """Return 2000 uses over the days around the one of 25 hours, and as many before."""
    random = np.random.default_rng(3)
    found = []
    for number in range(2000):
        minutes = int(random.integers(0, 8 * 24 * 60))
        attributes = {"user.id": f"u{min(int(random.geometric(0.2)), 9)}"}
        if random.random() < 0.5:
            attributes["headgate.context.type"] = f"c{number % 6}"
        if random.random() < 0.3:
            attributes["headgate.array.size"] = str(int(random.integers(1, 5000)))
        found.append(
            {
                "Timestamp": AFTER_DST - timedelta(minutes=minutes, seconds=1),
                "SpanName": ("buy", "look")[number % 2],
                "SpanAttributes": attributes,
            }
        )
    add_spans(store, found)
    return found


def ask(store: Store, **question: Any) -> Any:
    window = {"since": AFTER_DST - timedelta(days=4), "until": AFTER_DST, "where": {"": ""}}
    return run("usage", store, now=NOW, timezone="Europe/Berlin", **window | question)


def test_dates_and_hours_are_local(store: Store, drawn: list[dict[str, Any]]) -> None:
    """The busiest date, hour and weekday are those of the time zone, over a day of 25 hours."""
    summary = ask(store).summary
    since = AFTER_DST - timedelta(days=4)
    local = [
        use["Timestamp"].astimezone(BERLIN)
        for use in drawn
        if use["Timestamp"].timestamp() >= since.timestamp()
    ]
    dates = Counter(at.date().isoformat() for at in local)
    assert summary.peak_daily_calls.value == max(dates.values())
    assert dates[summary.peak_date] == max(dates.values())
    assert {p.period: p.calls.value for p in summary.timeline} == dates
    hours = Counter(at.hour for at in local)
    assert hours[summary.busiest_hour] == max(hours.values())
    weekdays = Counter(f"{at:%A}".lower() for at in local)
    assert weekdays[summary.busiest_weekday] == max(weekdays.values())


def test_contexts_sizes_and_the_window_before(store: Store, drawn: list[dict[str, Any]]) -> None:
    """Each operation's contexts, mean array size and change equal direct counting."""
    since, before = (AFTER_DST.timestamp() - days * 86400 for days in (4, 8))
    for row in ask(store, since=AFTER_DST.astimezone(ZoneInfo("UTC")) - timedelta(days=4)).rows:
        mine = [use for use in drawn if use["SpanName"] == row.operation]
        inside = [use["SpanAttributes"] for use in mine if use["Timestamp"].timestamp() >= since]
        earlier = [use for use in mine if before <= use["Timestamp"].timestamp() < since]
        contexts = {a["headgate.context.type"] for a in inside if "headgate.context.type" in a}
        sizes = [int(a["headgate.array.size"]) for a in inside if "headgate.array.size" in a]
        assert row.unique_contexts.value == len(contexts)
        assert row.mean_array_size.value == round(np.mean(sizes), 2)
        assert row.calls_before.value == len(earlier)
        assert row.change_rate == round(len(inside) / len(earlier) - 1, 4)
        assert sum(row.calls_series) == len(inside)


def test_users_are_named_only_where_everything_is_wanted(
    store: Store, drawn: list[dict[str, Any]]
) -> None:
    """granularity=comprehensive names the users with the most calls; otherwise nobody is."""
    since = (AFTER_DST - timedelta(days=4)).timestamp()
    users = Counter(
        use["SpanAttributes"]["user.id"] for use in drawn if use["Timestamp"].timestamp() >= since
    )
    expected = sorted(users.items(), key=lambda user: (-user[1], user[0]))[:3]
    found = ask(store, granularity="comprehensive", top_users=3).summary.users
    assert [(user.user, user.calls.value) for user in found] == expected
    assert ask(store).summary.users == ()
