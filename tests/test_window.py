"""Windows of time: what can be written, and what is widened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries.errors import ReportError
from headgate.queries.window import Window, iso, window

NOW = datetime(2026, 3, 29, 1, 30, 15, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        (" 7d ", NOW - timedelta(days=7)),
        (timedelta(days=7, microseconds=3), NOW - timedelta(days=7, microseconds=3)),
        ("hourly", NOW - timedelta(hours=1)),
        ("quarterly", NOW - timedelta(days=90)),
        ("yesterday", datetime(2026, 3, 28, tzinfo=UTC)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01 00:00:01.5", datetime(2026, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        ("2026-01-01T02:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),  # noqa: DTZ001 - naive is UTC
        (
            datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
    ],
)
def test_since_is_a_distance_or_a_time(
    text: str | datetime | timedelta, expected: datetime
) -> None:
    """Distances count back from now in real time (no daylight saving); times without an offset are UTC."""
    found = window(text, None, NOW)
    assert found == Window(expected, NOW)
    assert found.since.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        ("last week", None, "since 'last week' is not a time"),
        ("7", None, "since '7' is not a time"),
        (7, None, "since '7' is not a time: write a distance"),
        (None, None, "since 'None' is not a time"),
        ("24h", 1.5, "until '1.5' is not a time"),
        (timedelta(days=-1), None, "is not before until"),
        (timedelta.max, None, "is not a time"),
        ("", None, "since '' is not a time"),
        ("99999999999d", None, "is not a time"),
        ("30000d", None, "outside the years 1970 to 2099"),
        ("2200-01-01", None, "outside the years 1970 to 2099"),
        ("24h", "soon", "until 'soon' is not a time"),
        ("24h", "25h", "is not before until"),
        ("24h", "24h", "is not before until"),
        ("2027-01-01", None, "is not before until"),
    ],
)
def test_a_bad_window_is_refused_in_words(since: str, until: str | None, says: str) -> None:
    """What is no window is refused by a sentence that names the value."""
    with pytest.raises(ReportError, match=says):
        window(since, until, NOW)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(microseconds=1), timedelta(days=400)),
    st.sampled_from(
        [timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)]
    ),
)
def test_aligned_is_the_smallest_window_of_whole_steps(
    since: datetime, length: timedelta, step: timedelta
) -> None:
    """Alignment widens by less than a step a side, to whole steps, and once only."""
    asked = Window(since, since + length)
    found = asked.aligned(step)
    assert asked.since - step < found.since <= asked.since
    assert asked.until <= found.until < asked.until + step
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert (found.since - epoch) % step == (found.until - epoch) % step == timedelta(0)
    assert found.aligned(step) == found


def test_iso_is_short_and_says_utc() -> None:
    """Whole seconds have no fraction, and the offset is written Z."""
    assert iso(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"
    assert iso(NOW.astimezone(timezone(timedelta(hours=5)))) == "2026-03-29T01:30:15.250000Z"
