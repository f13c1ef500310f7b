"""Workflows equal a slow twin that walks each session, and never depend on the order in which rows come."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import columns, reduced

from headgate.queries import ReportError, run
from headgate.queries.reports.workflows.clusters import clusters
from headgate.queries.reports.workflows.sequences import arrange, frequent, ordered
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.queries.columns import Columns
    from headgate.store import Store

NOW = datetime(2026, 11, 20, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=1), NOW)
MINUTE_NS = 60 * 10**9
GAP_NS = 30 * MINUTE_NS
STEPS = {101: "a", 7: "b", 55: "c"}

uses = st.lists(
    st.tuples(
        st.integers(0, 3),  # actor
        st.booleans(),  # has a session id
        st.integers(0, 12).map(lambda n: n * 10),  # minute: many ties, gaps of 30 and over
        st.sampled_from(list(STEPS)),
        st.booleans(),
        st.integers(0, 3),  # minutes it takes
    ),
    max_size=30,
)


def given_columns(drawn: list[Any], weight: float = 1.0, one_in: int = 1) -> dict[str, Columns]:
    rows = [
        {
            "session": actor,
            "named": int(named),
            "time_ns": minute * MINUTE_NS,
            "step": step,
            "well": int(well),
            "duration_ns": takes * MINUTE_NS,
            "weight": weight,
            "one_in": one_in,
        }
        for actor, named, minute, step, well, takes in drawn
    ]
    steps = [{"step": key, "service": "s", "operation": name} for key, name in STEPS.items()]
    return {"uses": columns(rows), "steps": columns(steps)}


def sessions_of(drawn: list[Any], *, merge: bool = False) -> list[list[list[Any]]]:
    """Walk every actor's uses: lists of [name, start, end, well] by session."""
    by_actor = defaultdict(list)
    for actor, named, minute, step, well, takes in drawn:
        use = (minute * MINUTE_NS, STEPS[step], well, takes * MINUTE_NS)
        by_actor[actor, named].append(use)
    found: list[list[list[Any]]] = []
    for key in sorted(by_actor):
        previous = None
        for start, name, well, takes in sorted(by_actor[key]):
            if previous is None or (not key[1] and start - previous > GAP_NS):
                found.append([])
            previous = start
            if merge and found[-1] and found[-1][-1][0] == name:
                last = found[-1][-1]
                last[2], last[3] = max(last[2], start + takes), last[3] and well
            else:
                found[-1].append([name, start, start + takes, well])
    return found


@pytest.mark.parametrize("merge", [False, True])
@given(drawn=uses)
def test_patterns_are_those_of_the_slow_twin(drawn: list[Any], *, merge: bool) -> None:
    """Frequency, sessions, success, time, first and last seen, and what follows: all as by walking each session."""
    answer = reduced(
        "workflows", given_columns(drawn), WINDOW, minimum=2, limit=1000, merge_repeats=merge
    )
    sessions = sessions_of(drawn, merge=merge)
    frequency: Counter[Any] = Counter()
    where, well, time, seen = (defaultdict(list) for _ in range(4))
    for number, session in enumerate(sessions):
        for length in range(1, 7):
            for i in range(len(session) - length + 1):
                part = session[i : i + length]
                path = tuple(use[0] for use in part)
                frequency[path] += 1
                where[path].append(number)
                well[path] += [use[3] for use in part]
                time[path].append((part[-1][2] - part[0][1]) / 1e6)
                seen[path].append(part[0][1])
    expected = {path for path, n in frequency.items() if n >= 2 and 2 <= len(path) <= 5}
    found = {tuple(row["path"].split(" > ")): row for row in answer["rows"]}
    assert found.keys() == expected
    assert answer["summary"]["patterns"] == len(expected)
    for path, row in found.items():
        assert row["frequency"] == frequency[path]
        assert row["sessions"] == len(set(where[path]))
        assert row["success_rate"] == pytest.approx(np.mean(well[path]), abs=1e-4)
        assert row["mean_ms"] == pytest.approx(np.mean(time[path]), abs=1e-3)
        assert datetime.fromisoformat(row["first_seen_at"]).timestamp() * 1e9 == min(seen[path])
        assert datetime.fromisoformat(row["last_seen_at"]).timestamp() * 1e9 == max(seen[path])
        next_steps = {p[-1]: n for p, n in frequency.items() if p[:-1] == path and n >= 2}
        if next_steps:
            most = max(next_steps.values())
            assert row["next_step"] == min(s for s, n in next_steps.items() if n == most)
            assert row["next_step_rate"] == pytest.approx(most / frequency[path], abs=1e-4)
        else:
            assert row["next_step"] is None


@given(drawn=uses)
def test_sessions_and_transitions_are_those_of_the_slow_twin(drawn: list[Any]) -> None:
    """Sessions, their uses, lengths and success, and every cell of the transition matrix; a source's shares are 1."""
    summary = reduced("workflows", given_columns(drawn), WINDOW)["summary"]
    sessions = sessions_of(drawn)
    assert summary["sessions"] == len(sessions)
    cells: Counter[Any] = Counter()
    for session in sessions:
        names = ["(start)", *(use[0] for use in session), "(end)"]
        cells.update(itertools.pairwise(names))
    found = {(cell["source"], cell["target"]): cell for cell in summary["transitions"]}
    assert {pair: cell["count"] for pair, cell in found.items()} == cells
    for source in {pair[0] for pair in found}:
        shares = [cell["share"] for pair, cell in found.items() if pair[0] == source]
        assert sum(shares) == pytest.approx(1, abs=1e-3)
    if sessions:
        ms = [(max(u[2] for u in session) - session[0][1]) / 1e6 for session in sessions]
        assert summary["p95_duration_ms"] == pytest.approx(np.percentile(ms, 95), abs=1e-3)
        assert summary["mean_uses"] == pytest.approx(np.mean([len(s) for s in sessions]), abs=1e-2)
        whole = [all(use[3] for use in session) for session in sessions]
        assert summary["success_rate"] == pytest.approx(np.mean(whole), abs=1e-4)


@given(drawn=uses, random=st.randoms())
def test_the_order_of_rows_is_irrelevant(drawn: list[Any], random: Any) -> None:
    """Rows in any order, or of two halves one after the other, are the same uses."""
    shuffled = drawn.copy()
    random.shuffle(shuffled)
    whole = reduced("workflows", given_columns(drawn), WINDOW)
    assert reduced("workflows", given_columns(shuffled), WINDOW) == whole
    assert reduced("workflows", given_columns(drawn[::2] + drawn[1::2]), WINDOW) == whole


@given(
    drawn=st.lists(
        st.tuples(
            st.integers(0, 3).map(
                lambda n: n << 62 | n % 2
            ),  # two of them differ in the last bit only
            st.booleans(),
            st.integers(0, 3).map(lambda n: (n % 2) << 62 | n),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_rows_are_ordered_by_every_bit_of_their_keys(drawn: list[Any]) -> None:
    """Rows come as Python sorts them, also where the leading bits of actors and times are equal."""
    keys = [
        np.array(values, kind)
        for values, kind in zip(zip(*drawn, strict=True), ("u8", "?", "i8", "i8"), strict=True)
    ]
    found = list(zip(*(key.tolist() for key in ordered(*keys)), strict=True))
    assert found == sorted(drawn)


@given(keys=st.lists(st.integers(0, 5), max_size=30), minimum=st.integers(1, 3))
def test_keys_too_many_for_a_table_are_counted_alike(keys: list[int], minimum: int) -> None:
    """Keys far apart are counted by sorting: the same keys, counts and numbers as of keys close together."""
    close, far = np.array(keys, np.int64), np.array(keys, np.int64) << 40
    names, counts, numbers = frequent(far, 5 << 40, minimum)
    expected, expected_counts, expected_numbers = frequent(close, 5, minimum)
    assert (names >> 40).tolist() == expected.tolist()
    assert counts.tolist() == expected_counts.tolist()
    assert numbers().tolist() == expected_numbers().tolist()


def test_uses_whose_step_has_no_name_yet_are_left_out() -> None:
    """Uses that came in after the names of steps were read change nothing, and are not taken for another step."""
    drawn = [(actor, True, minute, 101, True, 0) for actor in (1, 2) for minute in (0, 10)]
    given = given_columns(drawn)
    late = given_columns([*drawn, (1, True, 5, 8, True, 0), (3, True, 0, 200, False, 0)])
    whole = reduced("workflows", given, WINDOW)
    assert whole["rows"]
    assert reduced("workflows", {**given, "uses": late["uses"]}, WINDOW) == whole
    assert (
        reduced("workflows", {**given, "steps": given["steps"].chosen(slice(0))}, WINDOW)["rows"]
        == []
    )


def test_order_matters_to_a_pattern() -> None:
    """The path a, b is not b, a, however often both are used (PIT-R2-01)."""
    drawn = [(i, False, 0, 101, True, 0) for i in range(3)]
    drawn += [(i, False, 10, 7, True, 0) for i in range(3)]
    rows = reduced("workflows", given_columns(drawn), WINDOW)["rows"]
    assert [(row["path"], row["frequency"]) for row in rows] == [("a > b", 3)]


def test_sampled_uses_give_lower_bounds() -> None:
    """Where single uses are missing, counts of patterns are bounds, and the answer is not exact."""
    drawn = [(1, True, m, 7, True, 0) for m in (0, 10, 20)]
    answer = reduced("workflows", given_columns(drawn, weight=4.0), WINDOW)
    bounds = answer["rows"][0]["uncertainty"]["frequency"]
    assert (bounds["standard_error"], bounds["low"], bounds["high"]) == (None, 2, None)
    assert not answer["exact"]


def test_sampled_sessions_are_scaled_with_an_interval_that_holds() -> None:
    """Of every fifth session the true frequency lies within the 95 % interval in 88 % of draws or more."""
    random = np.random.default_rng(4)
    drawn = [
        (actor, True, 10 * i, 7, True, 0)
        for actor in range(800)
        for i in range(int(random.integers(1, 12)))
    ]
    true = sum(max(n - 1, 0) for n in Counter(use[0] for use in drawn).values())
    held = 0
    for _ in range(50):
        kept = set(np.flatnonzero(random.random(800) < 0.2).tolist())
        part = [use for use in drawn if use[0] in kept]
        row = reduced("workflows", given_columns(part, one_in=5), WINDOW)["rows"][0]
        bounds = row["uncertainty"]["frequency"]
        held += bounds["low"] <= true <= bounds["high"]
    assert held >= 44


def test_clusters_find_what_people_do_and_not_only_how_often() -> None:
    """Two groups with equally many and long sessions, one browsing and one failing at buying, are told apart."""
    random = np.random.default_rng(9)
    drawn: list[Any] = []
    for actor in range(120):
        buys = actor % 2
        drawn += [
            (
                actor,
                True,
                5 * i,
                7 if buys else 101,
                not buys or (i > 0 and random.random() < 0.4),
                1,
            )
            for i in range(4)
        ]
    given = given_columns(drawn)
    found = arrange(given["uses"], given["steps"], GAP_NS, merge_repeats=False)
    made, quality = clusters(found)
    assert sum(cluster.sessions for cluster in made if cluster.success_rate == 1) == 60
    assert sum(cluster.sessions for cluster in made) == 120
    assert quality is not None
    assert quality > 0.4
    assert any(
        "more b" in cluster.marked_by or "more failures" in cluster.marked_by for cluster in made
    )
    assert clusters(
        arrange(given_columns(drawn[:90])["uses"], given["steps"], GAP_NS, merge_repeats=False)
    ) == ((), None)


def test_sessions_end_after_half_an_hour_and_services_name_equal_steps(store: Store) -> None:
    """From a store: a user's gap of 31 minutes ends a session, a session id's does not; nobody's uses are counted."""
    names = ["Timestamp", "ServiceName", "SpanName", "SpanKind", "SpanAttributes"]
    rows = [
        [NOW - timedelta(minutes=m), service, "get", "Server", attributes]
        for attributes in ({"user.id": "ann"}, {"session.id": "s"}, {})
        for m, service in ((100, "shop"), (90, "till"), (59, "shop"), (49, "till"))
    ]
    store.client().insert("otel_traces", rows, column_names=names)
    answer = run("workflows", store, now=NOW, where={"": ""})
    assert answer.summary.sessions.value == 3
    assert answer.summary.anonymous_share == pytest.approx(4 / 12, abs=1e-4)
    found = {row.path: (row.frequency.value, row.sessions.value) for row in answer.rows}
    assert found == {"shop get > till get": (4, 3)}
    with pytest.raises(ReportError, match="longest 2 is not possible"):
        run("workflows", store, now=NOW, where={"": ""}, shortest=3, longest=2)
