"""What is asked by dimension: from its own rollup where it is counted, by its attributes where it is not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from report_rows import NOW, add_spans

from headgate.queries import ReportError, run
from headgate.store.dimension import DIMENSIONS, read_dimensions, write_dimensions
from headgate.store.document import versions

if TYPE_CHECKING:
    from headgate.store import Store

DIMENSION = [
    "Time",
    "Dimension",
    "Value",
    "ServiceName",
    "Kind",
    "Outcome",
    "Calls",
    "CallsAdjusted",
    "DurationSum",
    "DurationSumSquares",
    "DurationMin",
    "DurationMax",
    "DurationBuckets",
]


def test_a_dimension_is_answered_from_its_own_rollup(store: Store) -> None:
    """`by` a counted dimension reads exact usage, by service too; with other filters raw rows answer."""
    at = NOW.replace(minute=0, second=0) - timedelta(hours=1)
    rows = [
        [at, "project", "blue", "shop", "Server", "ok", 5, 5.0, 5e6, 5e12, 10**6, 10**6, {640: 5}],
        [at, "project", "blue", "till", "Server", "ok", 2, 2.0, 2e6, 2e12, 10**6, 10**6, {640: 2}],
        [
            at,
            "project",
            "red",
            "till",
            "Server",
            "error",
            1,
            1.0,
            1e6,
            1e12,
            10**6,
            10**6,
            {640: 1},
        ],
        [at, "other", "red", "till", "Server", "ok", 9, 9.0, 9e6, 9e12, 10**6, 10**6, {640: 9}],
    ]
    store.client().insert("dimension_quarter", rows, column_names=DIMENSION)
    add_spans(store, [{"SpanAttributes": {"headgate.project": "blue", "user.id": "ann"}}])
    answer = run("performance", store, now=NOW, since="3h", by="project")
    assert answer.exact
    assert answer.source.name == "dimension_quarter"
    assert answer.source.notes[0] == "what has no value of the dimension is not counted"
    assert answer.source.notes[1] == "events by dimension are those of raw rows"
    found = {(row.service, row.operation): row.calls.value for row in answer.rows}
    assert found == {("shop", "blue"): 5, ("till", "blue"): 2, ("till", "red"): 1}
    till = run("performance", store, now=NOW, since="3h", by="project", service="till")
    assert till.summary.calls.value == 3
    filtered = run("performance", store, now=NOW, since="3h", by="project", operation="buy")
    assert (filtered.source.name, filtered.summary.calls.value) == ("otel_traces", 1)
    users = {
        row.operation: row.unique_users.value
        for row in run("usage", store, now=NOW, since="3h", by="project", service="shop").rows
    }
    assert users == {"blue": 1}


def test_sessions_and_sizes_by_dimension_are_of_its_calls(store: Store) -> None:
    """What calls without a value of the dimension had in sessions and sizes is not said of those with one."""
    at = NOW.replace(minute=0, second=0) - timedelta(hours=1)
    row = [at, "project", "blue", "shop", "Server", "ok", 1, 1.0, 1e6, 1e12, 10**6, 10**6, {640: 1}]
    store.client().insert("dimension_quarter", [row], column_names=DIMENSION)
    add_spans(store, [{"SpanAttributes": {"headgate.project": "blue", "session.id": "a"}}])
    for name in "bcd":
        add_spans(store, [{"SpanAttributes": {"session.id": name, "headgate.array.size": "500"}}])
    summary = run("usage", store, now=NOW, since="3h", by="project").summary
    assert (summary.calls.value, summary.sessions.value) == (1, 1)
    assert summary.mean_array_size is None


def test_what_is_counted_by_must_be_had(store: Store) -> None:
    """`by` what no use has is refused with what may have been meant; of a dimension nothing is counted, and told."""
    add_spans(store, [{"SpanAttributes": {"region": "eu"}, "ResourceAttributes": {"zone": "z"}}])
    for wrong, meant in (("regoin", "region"), ("zon", "zone"), ("projekt", "project")):
        with pytest.raises(ReportError, match=f"value of '{wrong}', did you mean '{meant}'"):
            run("usage", store, now=NOW, since="3h", by=wrong)
    answer = run("usage", store, now=NOW, since="3h", by="project")
    assert any("has a value of 'project'" in note for note in answer.source.notes)
    assert run("usage", store, now=NOW, since="3h", by="region").source.notes == ()
    assert run("usage", store, now=NOW, since="3h", until="2h", by="regoin").rows == ()


def test_people_by_dimension_are_found_by_its_attributes(store: Store) -> None:
    """Users beside a rollup are those of the attributes that define the dimension, in their order."""
    at = NOW.replace(minute=0, second=0) - timedelta(hours=1)
    counted = [("endpoint", "/pay"), ("http_status_class", "4xx"), ("plan", "gold")]
    rows = [
        [at, name, value, "shop", "Server", "ok", 3, 3.0, 3e6, 3e12, 10**6, 10**6, {640: 3}]
        for name, value in counted
    ]
    store.client().insert("dimension_quarter", rows, column_names=DIMENSION)
    write_dimensions(store, (*DIMENSIONS, ("plan", ("tier", "contract.plan"))), NOW)
    own = {"http.route": "/pay", "http.response.status_code": "404", "contract.plan": "gold"}
    for user, more in (("ann", {}), ("bob", {"tier": "", "url.template": "/other"}), ("cy", {})):
        add_spans(
            store, [{"SpanAttributes": {**own, **more, "user.id": user, "session.id": user * 2}}]
        )
    add_spans(
        store, [{"SpanAttributes": {"http.status_code": "none", "plan": "gold", "user.id": "dan"}}]
    )
    for name, value in counted:
        answer = run("usage", store, now=NOW, since="3h", by=name)
        found = {row.operation: row for row in answer.rows}
        assert found.keys() == {value}
        assert found[value].calls.value == 3
        assert found[value].unique_users.value == 3


def test_definitions_of_dimensions_are_kept_once(store: Store) -> None:
    """Defaults without any; what was written last is in force, and writing the same again makes no version."""
    assert read_dimensions(store, set()) == read_dimensions(store, store.tables()) == DIMENSIONS
    mine = (("plan", ("tier",)),)
    for _ in range(2):
        write_dimensions(store, mine, NOW)
    assert read_dimensions(store, store.tables()) == mine
    assert len(versions(store, "dimensions", "in force")) == 1


def test_a_dimensions_name_is_tried_as_an_attribute(store: Store) -> None:
    """Raw rows know no dimensions, but `context_type` is what `headgate.context.type` says."""
    for key in ("headgate.context.type", "context.type", "context_type"):
        add_spans(store, [{"SpanAttributes": {key: key}}])
    found = {row.operation for row in run("performance", store, now=NOW, by="context_type").rows}
    assert found == {"headgate.context.type", "context.type", "context_type"}
