"""Thinning of events by person: nested, within the budget, an exact Bernoulli sample of people."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.collector.sampler import Window, person, thin_events
from headgate.collector.sampler.people import events_threshold, persons_kept
from headgate.collector.sampler.thresholds import probability_of

START_NS = 1_790_000_000 * 10**9


def probability(threshold: int) -> float:
    """Return the probability of one threshold."""
    return float(probability_of(np.array([threshold]))[0])


@settings(deadline=None)
@given(st.floats(1, 1e9), st.floats(1, 1e9), st.floats(1, 1e9))
def test_threshold_holds_the_budget_and_is_monotone(rows, more, budget):
    """Below the budget all rows stay; above it between 91 % and 100 % of the budget; never looser for more rows."""
    threshold = events_threshold(rows, budget)
    if rows <= budget:
        assert threshold == 0
    elif budget / rows > 1e-4:
        assert 0.91 * budget <= probability(threshold) * rows <= budget * (1 + 2e-4)
    assert events_threshold(max(rows, more), budget) >= threshold


def test_thinned_windows_are_nested_samples_of_people():
    """Whoever is kept at the largest threshold has every row of the window; the number of people is unbiased."""
    rng = np.random.default_rng(1)
    people = rng.integers(1, 2**64, 4000, np.uint64)
    window, kept, thresholds, everyone = Window.empty(), [], [], []
    for second in range(90):
        count = 200 if second < 30 else 1000
        who = people[rng.integers(0, people.size, count)]
        at = START_NS + second * 10**9 + np.sort(rng.integers(0, 10**9, count))
        thinned = thin_events(who, at, 15_000, window)
        window = thinned.window
        kept.append(who[thinned.kept])
        everyone.append(who)
        thresholds.append(thinned.threshold)
    assert thresholds[0] == 0
    assert probability(max(thresholds)) == pytest.approx(15_000 / 60_000, rel=0.1)
    rows, all_rows = np.concatenate(kept), np.concatenate(everyone)
    sample = rows[persons_kept(rows, max(thresholds))]
    assert np.array_equal(sample, all_rows[persons_kept(all_rows, max(thresholds))])
    p = probability(max(thresholds))
    seen, truth = np.unique(sample).size, np.unique(all_rows).size
    assert abs(seen / p - truth) <= 4.5 * math.sqrt(truth * (1 - p) / p)


def test_a_person_is_the_same_in_the_collector_and_in_the_store(store):
    """The user, else the session, else the trace, else the time: `events.Person` is whom the collector keeps."""
    rng = np.random.default_rng(2)
    rows = [
        {
            "Timestamp": f"2026-09-23 10:00:00.{number:09d}",
            "UserHash": 7 + number if number % 5 == 0 else 0,
            "SessionId": f"session {number}" if number % 3 == 0 else "",
            "TraceId": rng.bytes(16).hex() if number % 2 == 0 else "",
        }
        for number in range(60)
    ]
    text = "\n".join(map(json.dumps, rows))
    store.client().raw_insert("events", None, text, fmt="JSONEachRow")
    found = store.client().query("SELECT Person FROM events ORDER BY Timestamp").result_rows
    sessions = [row["SessionId"].encode() for row in rows]
    traces = [row["TraceId"] for row in rows]
    expected = person(
        np.array([row["UserHash"] for row in rows], np.uint64),
        np.array([xxhash.xxh64_intdigest(s) if s else 0 for s in sessions], np.uint64),
        np.array([trace != "" for trace in traces]),
        np.array([int(trace[16:] or "0", 16) for trace in traces], np.uint64),
        np.datetime64("2026-09-23T10:00:00", "ns").astype(np.int64) + np.arange(60),
    )
    assert [who for (who,) in found] == expected.tolist()
    assert len(set(expected.tolist())) == 60


def test_a_budget_of_nothing_is_refused():
    """A budget must be above zero: leaving a table empty is another setting."""
    with pytest.raises(ValueError, match="above 0"):
        events_threshold(5, 0)
