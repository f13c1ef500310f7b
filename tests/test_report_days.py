"""Usage by whole days of UTC and finer steps around them says what the finer steps alone say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from test_report_agreement import near

from headgate.queries import reading, run
from headgate.queries.days import by_days

if TYPE_CHECKING:
    from headgate.queries.source import Source
    from headgate.store import Store

NOW = datetime(2026, 11, 20, 9, 40, tzinfo=UTC)
FILL = """
INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted, DurationSum,
    DurationSumSquares, DurationMin, DurationMax, DurationBuckets)
WITH sipHash64(number) AS h, 1 + h % 1000000 AS duration
SELECT {now:DateTime('UTC')} - 60 * (h % 28800), 'shop', toString(h % 3), 'Server', true, if(h % 7 = 0, 'error', 'ok'),
    1, {weight:UInt8}, duration, pow(duration, 2), duration, duration,
    map(toInt16(ceil(log2(duration) * 32) - 1), toUInt64(1))
FROM numbers(5000)
"""


@pytest.mark.parametrize("name", ["compare", "performance", "trend"])
@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        (timedelta(days=9, minutes=77), timedelta(minutes=590), True),
        (timedelta(days=9, minutes=76), timedelta(minutes=590), True),  # weighted
        (timedelta(days=8), timedelta(0), True),
        (timedelta(hours=30), timedelta(hours=9), True),  # no whole day
        (timedelta(hours=30), timedelta(0), False),  # periods are hours
    ],
)
@pytest.mark.parametrize("timezone", ["UTC", "Asia/Kolkata"])
def test_days_say_what_quarters_say(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
    since: timedelta,
    until: timedelta,
    days: bool,
    timezone: str,
) -> None:
    """Reports that read usage by the day: the same document from quarters, for any bounds; days where they may."""
    weight = 2 if since == timedelta(days=9, minutes=76) else 1
    store.client().command(FILL, parameters={"now": NOW, "weight": weight})
    step = {} if name == "performance" else {"step": "day" if days else "hour"}
    asked: dict[str, Any] = {
        "now": NOW, "since": NOW - since, "until": NOW - until, "timezone": timezone, **step
    }  # fmt: skip
    daily = []

    def noting(source: Source) -> Source:
        daily.append("FROM usage_day" in by_days(source).statement("SELECT * FROM kept_usage"))
        return by_days(source)

    monkeypatch.setattr(reading, "by_days", noting)
    read = run(name, store, **asked).to_dict()
    assert read["data_points"] > 50
    if step:
        assert any(daily) == (days and timezone == "UTC" and weight == 1)
    monkeypatch.setattr(reading, "by_days", lambda source: source)
    assert near(run(name, store, **asked).to_dict(), read)
