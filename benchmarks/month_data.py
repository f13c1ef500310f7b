"""A month of a busy service, made inside the engine by arithmetic on the request's number, so that the truth is known.

What it models, and why that way: distinct users and sessions, and whatever follows somebody, cost what there is of
each, so a month of strangers who call once would be as misleading as a month of one robot.

- A **session** is a run of calls, a few seconds to a minute apart. Twenty lengths from 1 to 64 repeat (half of the
  sessions have 4 calls or fewer, a third of the calls come from the one in twenty that is longest): heavy-tailed, as
  visits are. A session comes back to one operation for a third of its calls and takes the others by popularity.
- A **user** is drawn for each session, user number USERS u³ for a uniform u: a hundredth of the users make a fifth of
  the sessions, and half of them come on two days of the month or fewer.
- One session in twenty is a single call of nobody (a probe, a webhook), three more are of
  visitors who have not signed in.
- **Time**: hours are shaped like a day, days like a week, and a session does not run on into the next day.
- A call carries ten attributes, as an HTTP server's span does; one in 49 fails, by eleven errors, a fifth
  of these time out.

`Truth` is computed apart from the engine, in NumPy, from the same definitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from rich.progress import track

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.store import Store

OPERATIONS, SERVICES, USERS = 40, 4, 100_000
LENGTHS = (1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 7, 9, 12, 16, 22, 35, 64)
"""Calls of twenty sessions that follow one another."""
CALLS = sum(LENGTHS)
NOBODY, VISITORS = 0, (4, 9, 13)
"""Which of the twenty name neither user nor session, and which no user."""
FAILS_EVERY = 49
# How much of a day's load falls into each hour (UTC), and of a week's, in hundredths, into each day, Monday first.
HOURS = (2, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 8, 8, 9, 9, 8, 7, 7, 6, 5, 5, 4, 3, 3)
WEEKDAYS = (108, 110, 110, 108, 104, 82, 78)

EVENTS = """
INSERT INTO events (Timestamp, Kind, ServiceName, Operation, Outcome, Duration, UserId, UserHash, SessionId, TraceId,
    SpanId, Fingerprint, ErrorType, ErrorMessage, Attributes)
WITH
    number + {first:UInt64} AS i,
    {places:Array(UInt8)}[i % {calls:UInt64} + 1] AS place,
    {starts:Array(UInt8)}[place + 1] AS started,
    i % {calls:UInt64} - started AS step,
    intDiv(i, {calls:UInt64}) * length({lengths:Array(UInt8)}) + place AS session,
    intHash64(session) AS s,
    intHash64(i + 0x5851F42D4C957F2D) AS h,
    3 + bitShiftRight(s, 5) % 40 AS gap,
    {hours:Array(UInt8)}[s % length({hours:Array(UInt8)}) + 1] * 3600 + bitShiftRight(s, 32) % 3600 AS wanted,
    least(wanted, 86400 - ({lengths:Array(UInt8)}[place + 1] + 1) * gap) AS start,
    bitShiftRight(h, 11) / 9007199254740992. AS u,
    toUInt8(if(h % 3 = 0, bitShiftRight(s, 20) % {operations:UInt64}, floor({operations:UInt64} * u * u))) AS op,
    i % {fails_every:UInt64} = 7 AS failed,
    intDiv(i, {fails_every:UInt64}) AS failure,
    bitShiftRight(s, 11) / 9007199254740992. AS v,
    floor({users:UInt64} * (v * v * v)) AS person,
    if(place = {nobody:UInt8} OR has({visitors:Array(UInt8)}, place), '', concat('user-', toString(person))) AS user
SELECT
    fromUnixTimestamp64Nano(
        toInt64({day:UInt64} + start + step * gap) * 1000000000 + h % (gap * 1000000000), 'UTC'),
    'span',
    concat('service-', toString(op % {services:UInt64})),
    concat('GET /resource/', toString(op)),
    multiIf(NOT failed, 'ok', failure % 5 = 2, 'timeout', 'error'),
    toUInt64(exp(1.2 * (bitShiftRight(h, 24) % 1000 / 1000. + bitShiftRight(h, 40) % 1000 / 1000.
        + bitShiftRight(h, 50) % 1000 / 1000. - 1.5)) * (op + 1) * 3000000),
    user,
    if(user = '', 0, xxHash64(user)),
    if(place = {nobody:UInt8}, '', lower(hex(s))),
    lower(hex(sipHash128(i))),
    lower(leftPad(hex(h), 16, '0')),
    if(failed, 1 + least(i % 11, failure % 11), 0),
    if(failed, concat('Error', toString(least(i % 11, failure % 11))), ''),
    if(failed, concat('it went wrong at ', toString(op)), ''),
    map('http.request.method', 'GET',
        'http.route', concat('/resource/', toString(op)),
        'url.path', concat('/resource/', toString(op), '/', toString(h % 100000)),
        'http.response.status_code', if(failed, '500', '200'),
        'server.address', concat('host-', toString(h % 4)),
        'user_agent.original', concat('Mozilla/5.0 (X11; Linux x86_64) Version/', toString(person % 30)),
        'network.protocol.version', '1.1',
        'plan', concat('plan-', toString(person % 3)),
        'region', concat('r', toString(s % 5)),
        'app.version', concat('1.', toString({day:UInt64} % 7)))
FROM numbers({count:UInt64})
"""
_OF_DAY = """FROM events WHERE Timestamp >= fromUnixTimestamp64Nano(toInt64({day:UInt64}) * 1000000000, 'UTC')
    AND Timestamp < fromUnixTimestamp64Nano(toInt64({day:UInt64} + 86400) * 1000000000, 'UTC')"""
_MEASURES = "Calls, CallsAdjusted, DurationSum, DurationSumSquares, DurationMin, DurationMax, DurationBuckets"
_MEASURED = """count(), count(), sum(toFloat64(Duration)), sum(toFloat64(Duration) * toFloat64(Duration)),
    min(Duration), max(Duration),
    sumMap(map(toInt16(ceil(log2(toFloat64(greatest(Duration, 1))) * 32) - 1), toUInt64(1)))"""
USAGE = f"""
INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, {_MEASURES})
SELECT toStartOfMinute(Timestamp), ServiceName, Operation, 'Server', true, Outcome, {_MEASURED}
{_OF_DAY}
GROUP BY 1, 2, 3, Outcome
"""
PEOPLE = f"""
INSERT INTO user_hour (Time, ServiceName, Operation, UserHash, Calls, Errors)
SELECT toStartOfHour(Timestamp), ServiceName, Operation, UserHash, count(), countIf(Outcome != 'ok')
{_OF_DAY} AND UserHash != 0
GROUP BY 1, 2, 3, 4
"""
SEEN = """
INSERT INTO user_seen (UserHash, FirstSeen, LastSeen)
SELECT UserHash, min(Timestamp), max(Timestamp) FROM events WHERE UserHash != 0 GROUP BY UserHash
"""
DIMENSIONS = f"""
INSERT INTO dimension_quarter (Time, Dimension, Value, ServiceName, Kind, Outcome, {_MEASURES})
SELECT toStartOfFifteenMinutes(Timestamp), 'endpoint', Attributes['http.route'], ServiceName, 'Server', Outcome,
    {_MEASURED}
{_OF_DAY}
GROUP BY 1, 3, 4, Outcome
"""
SPANS = f"""
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, ResourceAttributes,
    SpanAttributes, Duration, StatusCode, StatusMessage)
SELECT Timestamp, TraceId, SpanId, Operation, 'Server', ServiceName,
    map('service.name', ServiceName, 'deployment.environment.name', 'prod'),
    mapConcat(Attributes, map('user.id', UserId, 'session.id', SessionId, 'error.type', ErrorType)),
    Duration, if(Outcome = 'ok', 'Unset', 'Error'), ErrorMessage
{_OF_DAY}
"""


def day_sizes(end: datetime, days: int, per_day: int) -> list[int]:
    """Return how many requests each day before `end` has, in whole sets of sessions."""
    first = end - timedelta(days=days)
    weights = [WEEKDAYS[(first + timedelta(days=number)).weekday()] for number in range(days)]
    return [max(1, round(per_day * weight / 100 / CALLS)) * CALLS for weight in weights]


def fill(store: Store, end: datetime, sizes: list[int], raw_days: int) -> None:
    """Make the days that end at `end`, midnight of UTC; raw spans of the last `raw_days`."""
    client = store.client()
    first = 0
    for number in track(range(len(sizes)), "making days"):
        day = int((end - timedelta(days=len(sizes) - number)).timestamp())
        add_events(store, day, first, sizes[number])
        first += sizes[number]
        raw = [SPANS] if number >= len(sizes) - raw_days else []
        for statement in (USAGE, PEOPLE, DIMENSIONS, *raw):
            client.command(statement, parameters={"day": day})
    client.command(SEEN)


def add_events(store: Store, day: int, first: int, count: int) -> None:
    """Add the uses `first`, `first` + 1, ... on a day (seconds since 1970)."""
    made = {
        "day": day, "first": first, "count": count, "calls": CALLS, "operations": OPERATIONS, "services": SERVICES,
        "users": USERS, "nobody": NOBODY, "visitors": list(VISITORS), "fails_every": FAILS_EVERY,
        "lengths": list(LENGTHS),
        "places": [place for place, length in enumerate(LENGTHS) for _ in range(length)],
        "starts": np.r_[0, np.cumsum(LENGTHS)[:-1]].tolist(),
        "hours": [hour for hour, weight in enumerate(HOURS) for _ in range(weight)],
    }  # fmt: skip
    store.client().command(EVENTS, parameters=made)


@dataclass(frozen=True, slots=True)
class Truth:
    """What a report must find in a number of requests."""

    calls: int
    failures: int
    sessions: int
    users: int


def truth(calls: int) -> Truth:
    """Count what is in the first `calls` requests, a multiple of CALLS, apart from the engine."""
    sessions = np.arange(calls // CALLS * len(LENGTHS), dtype=np.uint64)
    place = sessions % len(LENGTHS)
    v = (_mixed(sessions) >> np.uint64(11)) / 2.0**53
    person = np.floor(USERS * (v * v * v)).astype(np.int64)
    return Truth(
        calls=calls,
        failures=(calls - 8) // FAILS_EVERY + 1,
        sessions=int(np.count_nonzero(place != NOBODY)),
        users=np.unique(person[~np.isin(place, (NOBODY, *VISITORS))]).size,
    )


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return what the engine's intHash64 does: MurmurHash3's finalizer, of the number and a constant."""
    x = numbers ^ np.uint64(0x4CF2D2BAAE6DA887)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = (x ^ (x >> np.uint64(33))) * np.uint64(factor)
    return x ^ (x >> np.uint64(33))


def midnight(now: datetime) -> datetime:
    """Return the beginning of the day of UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
