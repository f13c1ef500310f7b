"""What one question has read is not read again for another, and no number changes by that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from cost_rows import MODEL
from hypothesis import given, settings
from hypothesis import strategies as st
from report_rows import columns
from test_report_truth import near

from headgate.queries import asking, run
from headgate.queries.columns import Columns, stacked
from headgate.queries.declaration import Params
from headgate.queries.overlap import Answered, Overlap, overlap
from headgate.queries.periods import periods
from headgate.queries.source import Source
from headgate.queries.window import Window
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 37, 41, 123_456, tzinfo=UTC)
DAYS = 130
USES = 260
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia")
MANY = {"max_partitions_per_insert_block": 0}
FILTERS: tuple[dict[str, str], ...] = ({}, {"plan": "a"}, {"": ""})
"""Rollups, stored uses, and raw spans answer."""


def fill(store: Store, *, weighted: bool) -> None:
    """Add uses at random times, some of them with a size or tokens, seldom enough that there are days without any."""
    random = np.random.default_rng(5)
    client = store.client()
    uses, usage, spans = [], [], []
    for number in range(USES):
        at = NOW - timedelta(days=float(random.uniform(0, DAYS)))
        service, operation = ("shop", "till")[number % 2], ("pay", "look")[number // 2 % 2]
        outcome = ("ok", "ok", "error")[number % 3]
        weight = 4.0 if weighted and not number % 5 and NOW - at > timedelta(days=9) else 1.0
        attributes = {"plan": "ab"[number % 4 > 2]}
        if not number % 2:
            attributes["http.response.body.size"] = str(int(random.integers(1, 3 * 10**9)))
        if not number % 3:
            attributes |= {"gen_ai.request.model": "large-1", "gen_ai.usage.input_tokens": "700000"}
        uses.append([at, "span", service, operation, outcome, attributes, weight])
        minute = at.replace(second=0, microsecond=0)
        usage.append([minute, service, operation, "Server", True, outcome, 1, weight])
        status = "Error" if outcome == "error" else "Unset"
        spans.append([at, service, operation, "Server", "parent", status, attributes])
    names = "Timestamp Kind ServiceName Operation Outcome Attributes UpstreamWeight"
    client.insert("events", uses, column_names=names.split(), settings=MANY)
    names = "Time ServiceName Operation Kind Entry Outcome Calls CallsAdjusted"
    client.insert("usage_minute", usage, column_names=names.split(), settings=MANY)
    names = "Timestamp ServiceName SpanName SpanKind ParentSpanId StatusCode SpanAttributes"
    client.insert("otel_traces", spans, column_names=names.split(), settings=MANY)


@pytest.fixture(scope="module")
def stores(engine_path: Path) -> Iterator[dict[str, Store]]:
    """Yield a store where each use stands for itself, and one where earlier ones stand for others."""
    found = {}
    for kind in ("plain", "weighted"):
        store = embedded_store(engine_path, f"overlap_{kind}")
        store.create_database()
        migrate(store)
        store.client().command("SYSTEM STOP TTL MERGES")
        fill(store, weighted=kind == "weighted")
        found[kind] = store
    yield found
    for store in found.values():
        store.client().command(f"DROP DATABASE `{store.database}` SYNC")
        store.close()


def cost(store: Store, read: list[Overlap] | None, **question: Any) -> dict[str, Any]:
    """Return the report's document: with what was read noted, or, without a list for it, each window read whole."""

    def noting(source: Source, *given: Any) -> Overlap:
        if read is None:
            return Overlap(source.window, ())
        read.append(overlap(source, *given))
        return read[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "overlap", noting)
        return run("cost", store, now=NOW, model=MODEL, budget=500, **question).to_dict()


@given(
    kind=st.sampled_from(["plain", "weighted"]),
    where=st.sampled_from(FILTERS),
    length=st.sampled_from([0.2, 1, 6.5, 7, 13.9, 14, 17, 24, 27.99, 28, 28.3, 30, 41, 60])
    | st.floats(0.1, 60),
    ago=st.sampled_from([0, 0, 0, 0.3, 11.25, 40]),
    zone=st.sampled_from(ZONES),
    billing=st.sampled_from(["week", "month", "quarter", "year"]),
)
@settings(max_examples=15)
def test_numbers_are_those_of_windows_that_are_read_whole(
    stores: dict[str, Store],
    kind: str,
    where: dict[str, str],
    length: float,
    ago: float,
    zone: str,
    billing: str,
) -> None:
    """Whatever the window, time zone, billing period and source: the same document, notes and all."""
    until = NOW - timedelta(days=ago)
    question = {
        "since": until - timedelta(days=length),
        "until": until,
        "where": where,
        "timezone": zone,
        "billing_period": billing,
    }
    whole = cost(stores[kind], None, **question)
    assert near(cost(stores[kind], [], **question), whole)


@pytest.mark.parametrize(
    ("length", "left", "parts"),
    [
        (7, (NOW - timedelta(days=28), NOW - timedelta(days=14)), 2),  # before both
        (14, (NOW, NOW), 2),  # nothing is left
        (28, (NOW, NOW), 1),
        # What is left of the day that the learnt time begins within, which is in the window, or in the one before.
        (30, (NOW - timedelta(days=28), datetime(2026, 10, 24, tzinfo=UTC)), 1),
        (20, (NOW - timedelta(days=28), datetime(2026, 10, 24, tzinfo=UTC)), 2),
    ],
)
def test_each_time_is_read_once(
    stores: dict[str, Store], length: float, left: tuple[datetime, datetime], parts: int
) -> None:
    """Of what the outlook learns from only the time is read that the other questions have not read."""
    read: list[Overlap] = []
    cost(stores["plain"], read, since=NOW - timedelta(days=length), where={"plan": "a"})
    last = read[-1]
    assert len(last.parts) == parts
    nothing = last.left.since >= last.left.until
    assert nothing if left[0] == left[1] else (last.left.since, last.left.until) == left


def answered(window: Window, rows: list[tuple[datetime, int]], **more: Any) -> Answered:
    grid = periods(window, "day", ZoneInfo("UTC"))
    listed = [{"period_s": int(at.timestamp()), "calls": calls} for at, calls in rows]
    source = replace(Source({"usage": "u"}, window, "u"), **more)
    return Answered(Params(), source, "whole", grid, {"q": columns(listed)})


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def asked(window: Window, *others: Answered, **more: Any) -> Overlap:
    one = answered(window, [], **more)
    return overlap(one.source, one.params, one.periods, ["q"], others)


def test_rows_before_the_window_do_not_count() -> None:
    """A day that the window begins within is left out of what was read, and its end is left to read; others count."""
    rows = [(at(1), 1), (at(2), 2), (at(3), 4)]
    earlier = answered(Window(at(1, 6), at(3, 12)), rows)
    later = answered(Window(at(3, 12), at(5)), [(at(3), 8), (at(4), 16)])
    found = asked(Window(at(2, 9), at(5)), earlier, later)
    assert found.left == Window(at(2, 9), at(3))
    joined = found.joined("q", columns([{"period_s": int(at(2).timestamp()), "calls": 32}]))
    assert sorted(joined["calls"].tolist()) == [4, 8, 16, 32]
    found = asked(Window(at(3, 9), at(5)), earlier, later)
    assert found.left == Window(at(3, 9), at(3, 12))
    assert sorted(found.joined("q", columns([]))["calls"].tolist()) == [8, 16]
    found = asked(Window(at(2), at(5)), earlier, later)
    assert found.left.since >= found.left.until
    assert sorted(found.joined("q", columns([]))["calls"].tolist()) == [2, 4, 8, 16]


def test_shorter_lists_end_in_zeros() -> None:
    """Rows of results whose lists are of different lengths, or empty, become rows of the longest."""
    several = [np.empty((1, 0)), np.array([[1.0, 2.0]]), np.empty((0, 0)), np.array([[3.0]])]
    found = stacked([Columns({"noise": noise}) for noise in several])
    assert found["noise"].tolist() == [[0, 0], [1, 2], [3, 0]]
    assert stacked([Columns({})]).rows == 0


@pytest.mark.parametrize(
    "more",
    [
        {"name": "coarser"},
        {"step": timedelta(days=1)},
        {"events_threshold": 5},
        {"definitions": {"uses": "SELECT 1"}},
    ],
)
def test_what_another_source_said_is_no_part(more: dict[str, Any]) -> None:
    """A coarser table, thinned people and uses with weights are read as they would be alone; notes may differ."""
    window = Window(at(1), at(5))
    part = Window(at(3), at(5))
    assert asked(window, answered(part, [], **more)) == Overlap(window, ())
    assert asked(window, answered(part, [], notes=("x",))).left == Window(at(1), at(3))
    assert asked(window, answered(Window(at(3), at(4)), [])) == Overlap(window, ())  # a gap behind
