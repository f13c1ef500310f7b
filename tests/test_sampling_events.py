"""Thinning of `events` by person on the real path: what readers take from the store is an exact sample of people."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from native_rows import rows_of, store_blocks
from sampling_traffic import BUSY, NOW, SECOND, log_request, run, trace_request

from headgate.collector.process import process
from headgate.collector.sampler.people import MASK56

WHOLE = 1 << 56
LIMIT = replace(BUSY, event_rows=900)
# What readers do: the largest threshold of all accounts that meet the window, then people by it.
LARGEST = (
    "SELECT max(EventsThreshold) FROM sampling_history WHERE Signal = 'events'"
    " AND EventsFrom < fromUnixTimestamp64Nano({until:Int64}, 'UTC')"
    " AND EventsTo >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')"
)
WINDOW = (
    " Timestamp >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')"
    " AND Timestamp < fromUnixTimestamp64Nano({until:Int64}, 'UTC')"
)
SAMPLE = (
    f"SELECT Person, count() FROM events WHERE{WINDOW} AND bitAnd(Person, {WHOLE - 1}) >= {{t:UInt64}}"
    " GROUP BY Person"
)


def growing(rng, users=4000):
    """Return segments five seconds apart: calm, then busy, then calm; among the busy ones events of two minutes ago."""
    sizes = (60, 60, 400, 900, 900, 60)
    segments = [
        [
            trace_request(rng, size, start_ns=NOW + 5 * number * SECOND, users=users),
            log_request(rng, size // 4, start_ns=NOW + 5 * number * SECOND, named=0.5),
        ]
        for number, size in enumerate(sizes)
    ]
    late = trace_request(rng, 50, start_ns=NOW - 120 * SECOND, users=users)
    segments[4].append(replace(late, arrival_ns=NOW + 20 * SECOND))
    return segments


@pytest.fixture(scope="module")
def segments():
    return growing(np.random.default_rng(1))


@pytest.fixture(scope="module")
def found(segments):
    """Return what became of the segments."""
    return run(segments, LIMIT)


@pytest.fixture(scope="module")
def kept(found):
    """Return the event rows that are kept, segment by segment."""
    return [rows_of(b for b in made.blocks if b.table == "events")["events"] for made in found]


@pytest.fixture(scope="module")
def sent(segments):
    """Return all event rows."""
    blocks = [b for requests in segments for b in process(requests) if b.table == "events"]
    return rows_of(blocks)["events"]


WINDOWS = [(-125, -100), (-125, 5), (0, 5), (5, 10), (0, 10), (5, 15), (10, 20), (20, 30), (0, 30)]


def test_a_window_thinned_to_its_largest_threshold_is_an_exact_sample(store, found, sent):
    """Every row of everybody who passes is there, and nobody else: late rows that were thinned more included."""
    for number, made in enumerate(found):
        store_blocks(store, f"s{number}", made.blocks)

    def ask(sql, since_s, until_s, **more):
        parameters = {"since": NOW + since_s * SECOND, "until": NOW + until_s * SECOND, **more}
        return store.client().query(sql, parameters=parameters).result_rows

    thresholds = {}
    for since, until in WINDOWS:
        ((t,),) = ask(LARGEST, since, until)
        thresholds[since, until] = t
        people = dict(ask(SAMPLE, since, until, t=t))
        expected: dict[int, int] = {}
        anonymous = 0
        for row in sent:
            if NOW + since * SECOND <= row["Timestamp"] < NOW + until * SECOND:
                who = row["UserHash"]
                anonymous += not who
                if who and who & int(MASK56) >= t:
                    expected[who] = expected.get(who, 0) + 1
        assert {who: n for who, n in people.items() if who in expected} == expected
        rest = sum(n for who, n in people.items() if who not in expected)
        p = 1 - t / WHOLE
        assert abs(rest - anonymous * p) <= 4.5 * math.sqrt(2 * anonymous * p * (1 - p)) + 1e-9
    # What happened before it was busy, but arrived then, was thinned: its window knows, and no other does.
    assert thresholds[0, 10] == 0 < thresholds[-125, -100]
    assert thresholds[-125, 5] == thresholds[-125, -100]


def test_a_clock_that_is_weeks_off_does_not_reach_over_weeks():
    """A row of two months ago in a busy segment has an account of its own: the weeks between keep all their people."""
    rng = np.random.default_rng(2)
    busy = trace_request(rng, 1500)
    old = replace(trace_request(rng, 1, start_ns=NOW - 60 * 86_400 * SECOND), arrival_ns=NOW)
    (made,) = run([[busy, old]], LIMIT)
    accounts = rows_of([made.chosen.history])["sampling_history"]
    spans = sorted(
        (row["EventsFrom"], row["EventsTo"]) for row in accounts if row["Signal"] == b"events"
    )
    assert len(spans) == 2
    assert all(end - start < 60 * SECOND for start, end in spans)


def test_distinct_users_are_unbiased(found, kept, sent):
    """Over 300 draws of who the users are, the estimate has the true number as its mean, and theory's variance."""
    t = max(made.chosen.events for made in found)
    p = 1 - t / WHOLE
    assert 0.1 < p < 0.6
    users = {row["UserHash"] for row in sent if row["UserHash"]}
    rng = np.random.default_rng(3)
    draws = rng.integers(0, 2**56, (300, len(users)), np.uint64)  # fresh hashes of the same people
    estimates = (draws >= t).sum(axis=1) / p
    error = math.sqrt(len(users) * (1 - p) / p)
    assert abs(estimates.mean() - len(users)) <= 4.5 * error / math.sqrt(300)
    seen = {row["UserHash"] for rows in kept for row in rows if row["UserHash"]}
    passing = {user for user in seen if user & int(MASK56) >= t}
    assert abs(len(passing) / p - len(users)) <= 4.5 * error


def test_weighted_event_rows_estimate_all_uses(kept, sent):
    """The sum of weights over all rows is the number of uses, within 4.5 errors with people as units."""
    rows, truth = [row for each in kept for row in each], len(sent)
    assert len(rows) < truth / 1.5
    by_person: dict[bytes, list[float]] = {}
    for row in rows:
        key = row["UserHash"].to_bytes(8, "big") if row["UserHash"] else row["TraceId"] or repr(row)
        by_person.setdefault(key, []).append(row["Weight"])
    variance = sum(
        (min(a, b) - 1) * max(a, b)
        for weights in by_person.values()
        for a in weights
        for b in weights
    )
    assert abs(sum(row["Weight"] for row in rows) - truth) <= 4.5 * math.sqrt(variance)


def test_upstream_weights_are_apart():
    """An entry span that stands for four by its trace state weighs four times what thinning makes of it."""
    rng = np.random.default_rng(4)
    request = trace_request(rng, 4000, upstream="ot=th:c")
    (made,) = run([[request]], LIMIT)
    p = 1 - made.chosen.events / WHOLE
    assert p < 0.5
    for row in rows_of(made.blocks)["events"]:
        passes = int(row["TraceId"], 16) % WHOLE >= 0xC0000000000000
        assert row["UpstreamWeight"] == (4 if passes else 1)
        assert row["Weight"] == pytest.approx(row["UpstreamWeight"] / p, rel=1e-12)


def test_rows_of_a_person_stay_together(found, kept):
    """Of two rows of one user in one segment either both are kept or none."""
    for made, rows in zip(found, kept, strict=True):
        for row in rows:
            if row["UserHash"]:
                assert row["UserHash"] & int(MASK56) >= made.chosen.events
