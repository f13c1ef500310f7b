"""Users of a trend: their weeks, who is new, days and hours, and many operations, all by brute force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import NOW, add_spans

from headgate.queries import run

if TYPE_CHECKING:
    from headgate.store import Store


def test_weeks_over_the_turn_of_the_year(store: Store) -> None:
    """Retention counts calendar weeks that follow one another, also from December to January; adoption is per week."""
    now = datetime(2027, 1, 18, tzinfo=UTC)
    days = {
        "stays": [datetime(2026, 12, 30, tzinfo=UTC), datetime(2027, 1, 4, tzinfo=UTC)],
        "same week": [datetime(2026, 12, 29, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)],
        "later": [datetime(2026, 12, 30, tzinfo=UTC), datetime(2027, 1, 11, tzinfo=UTC)],
        "once": [datetime(2027, 1, 12, tzinfo=UTC)],
    }
    add_spans(
        store,
        (
            {"Timestamp": day, "SpanAttributes": {"user.id": user}}
            for user, used in days.items()
            for day in used
        ),
    )
    window = {"since": datetime(2026, 12, 21, tzinfo=UTC), "now": now, "where": {"": ""}}
    summary = run("trend", store, **window).summary
    assert summary.unique_users.value == 4
    assert summary.retention_rate == 0.25
    assert summary.churn_rate == 0.75
    assert summary.new_users_per_week.value == 1
    # With weeks from Sunday on, 2 January and 30 December still are of one week, 4 and 11 January are not.
    sundays = run("trend", store, week_start="sunday", **window).summary
    assert sundays.retention_rate == 0.25


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 34)), min_size=1, max_size=60),
    st.sampled_from(["monday", "wednesday", "sunday"]),
)
def test_retention_by_brute_force(store_of_users: Any, drawn: Any, week_start: str) -> None:
    """Against a loop over users and their weeks, for any first day of the week."""
    found = store_of_users(drawn, week_start)
    first_day = ["monday", "wednesday", "sunday"].index(week_start)
    shift = (0, 2, 6)[first_day]
    start = (NOW - timedelta(days=35)).date()
    weeks: dict[int, set[int]] = {}
    for user, day in drawn:
        date = start + timedelta(days=day)
        weeks.setdefault(user, set()).add((date.toordinal() - 1 - shift) // 7)
    retained = sum(any(week + 1 in mine for week in mine) for mine in weeks.values())
    assert found.unique_users.value == len(weeks)
    assert found.retention_rate == round(retained / len(weeks), 4)


@pytest.fixture(scope="module")
def store_of_users(engine_path: Any) -> Any:
    """Return a function that fills user_hour and user_day and asks for the trend."""
    from headgate.store import embedded_store, migrate

    store = embedded_store(engine_path, "test_users_of_weeks")
    migrate(store)
    store.client().command("SYSTEM STOP TTL MERGES")

    def ask(drawn: Any, week_start: str) -> Any:
        for table in ("user_hour", "user_day", "usage_minute"):
            store.client().command(f"TRUNCATE TABLE {table}")
        rows = [
            [NOW - timedelta(days=35 - day), "shop", "buy", user + 1, 1, 0] for user, day in drawn
        ]
        names = ["Time", "ServiceName", "Operation", "UserHash", "Calls", "Errors"]
        store.client().insert("user_day", rows, column_names=names)
        answer = run("trend", store, now=NOW, since=NOW - timedelta(days=35), week_start=week_start)
        return answer.summary

    yield ask
    store.client().command("DROP DATABASE test_users_of_weeks SYNC")
    store.close()


def test_new_users_are_new_to_what_is_remembered(store: Store) -> None:
    """A user whom user_day knows from before the window is not new, one first seen in it is; by operation too."""
    names = ["Time", "ServiceName", "Operation", "UserHash", "Calls", "Errors"]
    old, new = NOW - timedelta(days=60), NOW - timedelta(days=3)
    rows = [
        [old, "shop", "buy", 1, 1, 0],
        [new, "shop", "buy", 1, 1, 0],
        [new, "shop", "look", 1, 1, 0],
        [new, "shop", "buy", 2, 1, 0],
    ]
    store.client().insert("user_day", rows, column_names=names)
    store.client().insert("user_hour", rows[1:], column_names=names)
    usage = [
        [new, "shop", name, "Server", True, "ok", n, n] for name, n in (("buy", 2), ("look", 1))
    ]
    columns_ = ["Time", "ServiceName", "Operation", "Kind", "Entry", "Outcome", "Calls"]
    store.client().insert("usage_quarter", usage, column_names=[*columns_, "CallsAdjusted"])
    answer = run("trend", store, now=NOW, since="7d")
    assert answer.summary.new_users_per_week.value == 1
    assert answer.summary.retention_rate is None
    assert {row.operation: row.new_users_per_week.value for row in answer.rows} == {
        "buy": 1,
        "look": 1,
    }


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Kolkata"])
def test_users_by_whole_days_are_those_of_their_hours(store: Store, timezone: str) -> None:
    """Days of UTC within the window and the hours around them give what the hours alone give, in any time zone."""
    store.client().command(
        "INSERT INTO user_hour (Time, ServiceName, Operation, UserHash, Calls, Errors)"
        " SELECT {now:DateTime('UTC')} - 3600 * (number % 700 + 1), 'shop', toString(number % 3),"
        " sipHash64(intDiv(number, 7)) % 400 + 1, 1, 0 FROM numbers(3000)",
        parameters={"now": NOW.replace(minute=0, second=0)},
    )
    store.client().command(
        "INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted)"
        " SELECT Time, ServiceName, Operation, 'Server', true, 'ok', sum(Calls), sum(Calls) FROM user_hour GROUP BY ALL"
    )
    since, until = NOW - timedelta(days=20, minutes=320), NOW - timedelta(days=1, minutes=430)
    asked = {"now": NOW, "since": since, "until": until, "timezone": timezone}
    trend, usage = run("trend", store, **asked), run("usage", store, **asked)
    bounds = {
        "since": since.replace(minute=0, second=0, microsecond=0),
        "until": until.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1),
    }
    text = (
        "SELECT uniqExact(UserHash) FROM user_hour WHERE Time >= {since:DateTime('UTC')}"
        " AND Time < {until:DateTime('UTC')}"
    )
    whole = store.client().query(text, parameters=bounds).result_rows[0][0]
    assert trend.summary.unique_users.value == usage.summary.unique_users.value == whole > 100
    by = dict(
        store.client()
        .query(
            text.replace("SELECT", "SELECT Operation,") + " GROUP BY Operation", parameters=bounds
        )
        .result_rows
    )
    assert {row.operation: row.unique_users.value for row in trend.rows} == by
    assert {row.operation: row.unique_users.value for row in usage.rows} == by


def bought(store: Store, minute: datetime, users: int) -> None:
    """Count a call of each of some users, all in one minute."""
    names = ["Time", "ServiceName", "Operation", "UserHash", "Calls", "Errors"]
    rows = [[minute.replace(minute=0), "shop", "buy", user + 1, 1, 0] for user in range(users)]
    store.client().insert("user_hour", rows, column_names=names)
    names = ["Time", "ServiceName", "Operation", "Kind", "Entry", "Outcome", "Calls"]
    row = [minute, "shop", "buy", "Server", True, "ok", users, users]
    store.client().insert("usage_minute", [row], column_names=[*names, "CallsAdjusted"])


@pytest.mark.parametrize(("since", "ago"), [(30, 2), (3, 2), (60, 40)])
def test_users_of_the_day_that_records_begin_on_are_counted(
    store: Store, since: int, ago: int
) -> None:
    """Where records begin within a day or an hour, who came in it counts, whether users are read by days or hours."""
    first = (NOW - timedelta(days=ago, hours=2)).replace(minute=45, second=0, microsecond=0)
    bought(store, first, 3)
    for name in ("usage", "trend"):
        answer = run(name, store, now=NOW, since=timedelta(days=since))
        assert answer.window.since == first
        assert answer.summary.unique_users.value == 3
        assert [row.unique_users.value for row in answer.rows] == [3]


def test_users_of_the_running_second_are_counted(store: Store) -> None:
    """An hour that began within this second has its users, as it has its calls."""
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    bought(store, hour, 1)
    for name in ("usage", "trend"):
        summary = run(name, store, now=hour + timedelta(seconds=0.4), since="1h").summary
        assert (summary.calls.value, summary.unique_users.value) == (1, 1)


def test_users_of_windows_longer_than_there_is_room_for_weeks(store: Store) -> None:
    """Two years, of which users are kept for the last 20 weeks: the same users as in `usage`, and who came back."""
    client, midnight = store.client(), NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    names = ["Time", "ServiceName", "Operation", "UserHash", "Calls", "Errors"]
    users = [
        [midnight - timedelta(days=day + 1), "shop", f"op{number}", user, 1, 0]
        for day in (*range(140), 670)
        for number in range(2)
        for user in range(1, 11)
        if day < 670 or (number, user) == (0, 1)
    ]
    client.insert("user_day", users, column_names=names)
    usage = [
        [midnight - timedelta(days=day + 1), "shop", f"op{number}", "Server", True, "ok", 10, 10]
        for day in range(700)
        for number in range(130)
        if number < 2 or day == 3
    ]
    names = ["Time", "ServiceName", "Operation", "Kind", "Entry", "Outcome", "Calls"]
    client.insert("usage_day", usage, column_names=[*names, "CallsAdjusted"])
    for since in ("60w", "96w", "all"):
        trend, counted = (run(name, store, now=NOW, since=since) for name in ("trend", "usage"))
        rows = {row.operation: row for row in trend.rows}
        assert {operation: row.unique_users.value for operation, row in rows.items()} == {
            row.operation: row.unique_users.value for row in counted.rows
        }, since
        assert rows["op1"].unique_users.value == trend.summary.unique_users.value == 10
        assert rows["op1"].retention_rate == 1
        assert rows["op7"].unique_users.value == 0


def test_many_operations_over_many_weeks(store: Store) -> None:
    """More operations than a word has bits and more weeks than a block has: a loop over everybody's days agrees."""
    rng = np.random.default_rng(6)
    drawn = np.unique(rng.integers((0, 0, 0), (30, 150, 280), (20_000, 3)), axis=0).tolist()
    hashes = rng.integers(1, 1 << 63, 30, dtype=np.uint64).tolist()
    begin, since = NOW - timedelta(days=280), NOW - timedelta(days=250)
    rows = [
        [begin + timedelta(days=day), "shop", f"operation {operation}", hashes[user], 1, 0]
        for user, operation, day in drawn
    ]
    names = ["Time", "ServiceName", "Operation", "UserHash", "Calls", "Errors"]
    store.client().insert("user_day", rows, column_names=names)
    usage = [
        [since, "shop", f"operation {number}", "Server", True, "ok", 1, 1] for number in range(150)
    ]
    names = ["Time", "ServiceName", "Operation", "Kind", "Entry", "Outcome", "Calls"]
    store.client().insert("usage_day", usage, column_names=[*names, "CallsAdjusted"])
    asked = {"now": NOW, "since": since}
    trend, counted = run("trend", store, **asked), run("usage", store, **asked)

    def expected(operation: int | None) -> tuple[int, float, float]:
        days: dict[int, set[int]] = {}
        for user, of, day in drawn:
            if operation is None or of == operation:
                days.setdefault(user, set()).add((begin + timedelta(days=day)).toordinal())
        first = since.toordinal()
        inside = {u: {day for day in found if day >= first} for u, found in days.items()}
        inside = {user: found for user, found in inside.items() if found}
        weeks = [{(day - 1) // 7 for day in found} for found in inside.values()]
        retained = sum(any(week + 1 in mine for week in mine) for mine in weeks)
        new = sum(min(days[user]) >= first for user in inside)
        return len(inside), round(retained / len(inside), 4), round(new / (250 / 7), 2)

    rows_by_name = {row.operation: row for row in trend.rows}
    assert len(rows_by_name) == 150
    for operation in (None, *range(150)):
        found = trend.summary if operation is None else rows_by_name[f"operation {operation}"]
        users = found.unique_users.value
        assert (users, found.retention_rate, found.new_users_per_week.value) == expected(operation)
    assert counted.summary.unique_users.value == trend.summary.unique_users.value
    assert {row.operation: row.unique_users.value for row in counted.rows} == {
        name: row.unique_users.value for name, row in rows_by_name.items()
    }
