"""Where answers come from: which tables are chosen, and what raw rows are taken to mean."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headgate.queries import ReportError, UnknownReport, run
from headgate.queries.source import choose, sql
from headgate.queries.window import Window
from headgate.store import NoData, StoreError

if TYPE_CHECKING:
    from headgate.queries.source import Source
    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
ALL = {
    "usage_minute": {"Time"},
    "usage_quarter": {"Time"},
    "usage_day": {"Time"},
    "user_hour": {"Time"},
    "user_day": {"Time"},
    "events": {"Timestamp"},
    "otel_traces": {"Timestamp", "Weight"},
}
EVERY = ("usage", "users", "events")


def back(**distance: float) -> Window:
    return Window(NOW - timedelta(**distance), NOW)


def read(source: Source) -> list[str]:
    """Return the tables that the source's statements read."""
    used = set(source.relations.values())
    texts = "\n".join(source.definitions.values())
    return sorted(t for t in ALL if t in used or re.search(rf"FROM {t}\b", texts))


@pytest.mark.parametrize(
    ("relations", "window", "tables", "users_from"),
    [
        (("usage",), back(hours=1), ["usage_minute"], None),
        (("usage",), back(hours=71), ["usage_minute"], None),
        (("usage",), back(days=3), ["usage_quarter"], None),
        (("usage",), back(days=89), ["usage_quarter"], None),
        (("usage",), back(days=91), ["usage_day"], None),
        (
            ("usage", "users"),
            back(hours=1),
            ["usage_minute", "user_day", "user_hour"],
            "hours, from 2026-11-20 11:00 UTC on",
        ),
        (
            ("usage", "users"),
            back(days=34),
            ["usage_quarter", "user_day", "user_hour"],
            "hours, from 2026-10-17 12:00 UTC on",
        ),
        (
            ("usage", "users"),
            back(days=36),
            ["usage_quarter", "user_day", "user_hour"],
            "days, from 2026-10-15 00:00 UTC on",
        ),
        (("usage", "events"), back(hours=1), ["events", "usage_minute"], None),
    ],
)
def test_the_finest_table_that_holds_the_window_is_read(
    relations: tuple[str, ...], window: Window, tables: list[str], users_from: str | None
) -> None:
    """Minutes for 3 days, quarters of an hour for 90, hours of users for 35; who is counted longer is said."""
    source = choose(ALL, relations, window, NOW, by_attribute=False)
    assert read(source) == sorted(tables)
    assert source.window == window
    assert not source.raw
    said = () if users_from is None else (f"users are counted by whole {users_from}",)
    assert source.notes == said


def test_days_of_a_time_zone_need_finer_steps_than_days_of_utc() -> None:
    """Days of Berlin are made of quarters of an hour; where only days of UTC reach back, the answer says so."""
    berlin = {"resolution": timedelta(hours=1)}
    source = choose(ALL, ("usage",), back(days=89), NOW, by_attribute=False, **berlin)
    assert read(source) == ["usage_quarter"]
    source = choose(ALL, ("usage",), back(days=300), NOW, by_attribute=False, **berlin)
    assert read(source) == ["usage_day"]
    assert "whole days of UTC" in source.notes[0]


def test_what_is_older_than_every_table_is_said() -> None:
    """A window that reaches behind what is kept is answered with a note."""
    source = choose(ALL, EVERY, back(days=500), NOW, by_attribute=False)
    assert any("events keeps 90 days" in note for note in source.notes)
    assert any("user_day keeps 400 days" in note for note in source.notes)


@pytest.mark.parametrize(
    "missing", ["events", "user_hour user_day", "usage_minute usage_quarter usage_day"]
)
def test_raw_rows_answer_when_a_rollup_is_missing(missing: str) -> None:
    """Without a table for every relation everything is read from raw rows, for the very window."""
    tables = {name: columns for name, columns in ALL.items() if name not in missing.split()}
    source = choose(tables, EVERY, back(hours=1), NOW, by_attribute=False)
    assert source.name == "otel_traces"
    assert source.window == back(hours=1)


def test_attributes_are_only_in_raw_rows() -> None:
    """Filtering by attribute reads raw rows though there are rollups, and says when they may not reach back."""
    assert choose(ALL, EVERY, back(hours=1), NOW, by_attribute=True).name == "otel_traces"
    source = choose(ALL, EVERY, back(days=8), NOW, by_attribute=True)
    assert source.notes == ("raw spans are kept for 7 days: older ones are missing",)


def test_a_database_without_tables_is_said(empty_store: Store) -> None:
    """Neither rollups nor raw spans: one sentence with the remedy."""
    with pytest.raises(NoData, match="headgate serve"):
        choose({"otel_logs": {"Body"}}, EVERY, back(hours=1), NOW, by_attribute=False)
    with pytest.raises(NoData, match="no data in the database"):
        run("usage", empty_store, now=NOW)


def test_a_statement_with_a_with_of_its_own_is_joined(store: Store) -> None:
    """A report's statement may begin with WITH, after comments, also over raw rows."""
    source = choose(store.tables(), EVERY, back(hours=1), NOW, by_attribute=True)
    text = source.statement("-- why\nWITH 1 AS one\nSELECT one + count() FROM uses")
    parameters = {"since": "2026-01-01", "until": "2026-01-02", "service": "", "only_operation": ""}
    result = store.client().query(
        text,
        parameters=parameters
        | {"where_keys": [], "where_values": []}
        | {"user_attributes": ["user.id"], "session_attributes": [], "nobody": []},
    )
    assert result.result_rows == [(1,)]


def span(store: Store, **given: Any) -> None:
    """Insert one raw span: a successful entry span unless told otherwise."""
    row = {
        "Timestamp": NOW - timedelta(minutes=5),
        "ServiceName": "shop",
        "SpanName": "buy",
        "SpanKind": "Server",
        "ParentSpanId": "p",
        "StatusCode": "Unset",
        "Duration": 1_000_000,
        "Events.Timestamp": [NOW] * len(given.get("Events.Name", [])),
        **given,
    }
    store.client().insert("otel_traces", [list(row.values())], column_names=list(row))


def raw(store: Store, report: str = "usage", **question: Any) -> Any:
    return run(report, store, now=NOW, where={"none": ""}, **question)


def test_which_spans_are_uses(store: Store) -> None:
    """Server, consumer and root spans and tracked calls are uses; other spans are not."""
    table = [
        ({"SpanKind": "Server"}, True),
        ({"SpanKind": "Consumer"}, True),
        ({"SpanKind": "SPAN_KIND_SERVER"}, True),
        ({"SpanKind": "SPAN_KIND_CONSUMER"}, True),
        ({"SpanKind": "Client"}, False),
        ({"SpanKind": "Internal"}, False),
        ({"SpanKind": "Producer"}, False),
        ({"SpanKind": "Internal", "ParentSpanId": ""}, True),
        ({"SpanKind": "Internal", "SpanAttributes": {"headgate.track": "true"}}, True),
        ({"SpanKind": "Internal", "SpanAttributes": {"headgate.track": "false"}}, False),
    ]
    for number, (given, _) in enumerate(table):
        span(store, SpanName=str(number), **given)
    found = {row.operation for row in raw(store).rows}
    assert found == {str(number) for number, (_, use) in enumerate(table) if use}


def exception(kind: str) -> dict[str, Any]:
    return {"Events.Name": ["exception"], "Events.Attributes": [{"exception.type": kind}]}


def test_how_raw_spans_ended(store: Store) -> None:
    """An error status is a failure; one named timeout or deadline, or with such a status code, a timeout too."""
    table: list[tuple[dict[str, Any], int, int]] = [
        ({}, 0, 0),
        ({"StatusCode": "Ok"}, 0, 0),
        ({"StatusCode": "Error"}, 1, 0),
        ({"StatusCode": "STATUS_CODE_ERROR"}, 1, 0),
        ({"StatusCode": "Unset", **exception("TimeoutError")}, 0, 0),
        ({"StatusCode": "Error", **exception("KeyError")}, 1, 0),
        ({"StatusCode": "Error", **exception("requests.ReadTimeout")}, 1, 1),
        ({"StatusCode": "Error", **exception("DEADLINE_EXCEEDED")}, 1, 1),
        ({"StatusCode": "Error", "SpanAttributes": {"error.type": "timeout"}}, 1, 1),
        ({"StatusCode": "Error", "SpanAttributes": {"http.response.status_code": "504"}}, 1, 1),
        ({"StatusCode": "Error", "SpanAttributes": {"http.status_code": "408"}}, 1, 1),
        ({"StatusCode": "Error", "SpanAttributes": {"http.response.status_code": "500"}}, 1, 0),
        ({"StatusCode": "Error", "SpanAttributes": {"rpc.grpc.status_code": "4"}}, 1, 1),
        ({"StatusCode": "Error", "SpanAttributes": {"rpc.grpc.status_code": "14"}}, 1, 0),
    ]
    for number, (given, _, _) in enumerate(table):
        span(store, SpanName=str(number), **given)
    found = {part.operation: part for part in raw(store, "errors").summary.reliability}
    for number, (given, failures, timeouts) in enumerate(table):
        part = found[str(number)]
        assert (part.failure_count.value, part.timeout_count.value) == (failures, timeouts), given


def test_named_log_records_are_uses_without_duration(store: Store) -> None:
    """Named events count in usage and errors, with their users, and have no part in performance."""
    columns = ["Timestamp", "ServiceName", "EventName", "SeverityNumber", "LogAttributes"]
    at = NOW - timedelta(minutes=5)
    rows = [
        [at, "shop", "checkout", 9, {"user.id": "ann"}],
        [at, "shop", "checkout", 17, {"enduser.id": "bob", "exception.type": "Broken"}],
        [at, "shop", "", 9, {"event.name": "opened"}],
        [at, "shop", "", 17, {}],
    ]
    store.client().insert("otel_logs", rows, column_names=columns)
    span(store)
    usage = raw(store)
    assert {row.operation: row.calls.value for row in usage.rows} == {
        "checkout": 2,
        "opened": 1,
        "buy": 1,
    }
    assert usage.summary.unique_users.value == 2
    assert [row.error_type for row in raw(store, "errors").rows] == ["Broken"]
    performance = raw(store, "performance")
    assert [row.operation for row in performance.rows] == ["buy"]
    assert performance.summary.calls.value == 1


def test_named_events_in_rollups_have_no_duration(store: Store) -> None:
    """Rows of kind Event count as uses and are left out of durations."""
    columns = [
        "Time",
        "ServiceName",
        "Operation",
        "Kind",
        "Entry",
        "Outcome",
        "Calls",
        "CallsAdjusted",
    ]
    at = NOW.replace(second=0) - timedelta(minutes=5)
    rows = [[at, "shop", "checkout", "Event", True, "ok", 3, 3.0]]
    store.client().insert("usage_minute", rows, column_names=columns)
    assert run("usage", store, now=NOW).summary.calls.value == 3
    assert run("performance", store, now=NOW).rows == ()


def test_upstream_sampling_makes_rollups_estimates(store: Store) -> None:
    """Where an upstream sampler kept one call in four, a rollup of 25 arrivals stands for 100 and says how surely."""
    columns = [
        "Time",
        "ServiceName",
        "Operation",
        "Kind",
        "Entry",
        "Outcome",
        "Calls",
        "CallsAdjusted",
    ]
    at = NOW.replace(second=0) - timedelta(minutes=5)
    rows = [[at, "shop", "buy", "Server", True, "ok", 25, 100.0]]
    store.client().insert("usage_minute", rows, column_names=columns)
    answer = run("usage", store, now=NOW)
    assert not answer.exact
    assert answer.summary.calls.value == 100
    assert answer.summary.calls.standard_error == pytest.approx(math.sqrt(25 * 4 * 3))


def test_the_stock_table_has_the_same_weights(store: Store) -> None:
    """What a trace state makes a row stand for is the same with our column and without it."""
    weights = {
        "": 1,
        "ot=th:0": 1,
        "ot=th:8": 2,
        "ot=th:c": 4,
        "congo=t61,ot=rv:0123456789abcd;th:e": 8,
        "ot=rv:0123456789abcd": 1,
        "other=th:c": 1,
        "ot=th:zz": 1,
    }
    for state in weights:
        span(store, TraceState=state)
    client = store.client()
    client.command("CREATE TABLE stock ENGINE = Memory AS SELECT * EXCEPT Weight FROM otel_traces")
    derived = sql("spans_stock").replace("otel_traces", "stock")
    for table in ("otel_traces", f"({derived})"):
        result = client.query(f"SELECT TraceState, Weight FROM {table}")
        assert dict(result.result_rows) == weights


def test_distinct_users_of_sampled_rows_are_a_lower_bound(store: Store) -> None:
    """Row weights cannot correct distinct counts, so these say only that there were at least as many."""
    for user in ("ann", "bob"):
        span(store, TraceState="ot=th:c", SpanAttributes={"user.id": user})
    found = raw(store).to_dict()["summary"]
    assert found["calls"] == 8
    assert found["unique_users"] == 2
    assert found["uncertainty"]["unique_users"] == {
        "standard_error": None,
        "low": 2,
        "high": None,
        "reason": None,
    }


def test_names_that_were_not_used_are_refused_with_those_that_were(store: Store) -> None:
    """A misspelt service or operation is answered with what there is; in an empty window it is just empty."""
    assert run("usage", store, now=NOW, service="shop").rows == ()
    span(store)
    with pytest.raises(
        ReportError, match=r"no service 'shp' .* did you mean 'shop'\? there are: shop"
    ):
        raw(store, service="shp")
    with pytest.raises(ReportError, match=r"no operation 'by' of shop .* there are: buy"):
        raw(store, service="shop", operation="by")
    with pytest.raises(ReportError, match=r"no operation 'by' was used .* there are: buy"):
        raw(store, operation="by")


@pytest.mark.parametrize(
    ("report", "question", "says"),
    [
        ("usag", {}, r"no report 'usag', did you mean 'usage'\? there are: usage, "),
        ("usage", {"limit": "5"}, "no parameter 'limit'; it has: by, granularity, include_"),
        ("errors", {"limit": "many"}, "limit 'many' is not possible"),
        ("errors", {"limit": 0}, "limit 0 is not possible"),
    ],
)
def test_questions_that_cannot_be_asked(
    store: Store, report: str, question: dict[str, Any], says: str
) -> None:
    """Unknown reports and parameters, and values that are none, are refused in words."""
    with pytest.raises(ReportError, match=says) as raised:
        run(report, store, now=NOW, **question)
    assert isinstance(raised.value, UnknownReport) == (report == "usag")


def test_a_reports_own_parameter_may_be_text(store: Store) -> None:
    """Parameters come as text from the command line and HTTP; the answer states their values."""
    assert run("errors", store, now=NOW, limit="5").to_dict()["params"]["limit"] == 5


def test_a_database_that_fails_is_one_sentence(store: Store) -> None:
    """A database's long message becomes one sentence, and the handle answers the next question."""
    store.client().command("ALTER TABLE events RENAME COLUMN SessionId TO Gone")
    with pytest.raises(StoreError, match="the store could not answer: ") as raised:
        run("usage", store, now=NOW)
    assert "\n" not in str(raised.value)
    assert run("context", store, now=NOW).rows == ()


def test_the_relations_beside_need_no_choice(store: Store) -> None:
    """What else came in and who was there before do not widen the window; raw rows have both."""
    tables = ALL | {"ledger": {"Time"}}
    relations = ("usage", "ledger", "spans")
    source = choose(tables, relations, back(hours=1), NOW, by_attribute=False)
    assert source.window == back(hours=1)
    assert source.step == timedelta(minutes=1)
    people = choose(tables, ("usage", "history"), back(hours=1), NOW, by_attribute=False)
    assert people.window == back(hours=1)
    assert people.relations["users"] == "people"
    assert people.relations["history"] == "history"
    raw_source = choose(store.tables(), relations, back(hours=1), NOW, by_attribute=True)
    assert raw_source.relations["ledger"] == "raw_ledger"
    assert choose(ALL, relations, back(hours=1), NOW, by_attribute=False).name == "otel_traces"
