"""What every report can be asked: time zones, counting by an attribute, several windows, from Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headgate.queries import ReportError, names, run, run_each
from headgate.queries.revive import from_document

if TYPE_CHECKING:
    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def used(store: Store) -> Store:
    """Return a store of raw entry spans: one every hour for three days, of three tenants and four users."""
    rows = [
        [
            NOW - timedelta(hours=hours, minutes=5),
            "shop",
            ("buy", "look")[hours % 2],
            "Server",
            "Error" if hours % 10 == 0 else "Unset",
            (hours + 1) * 1_000_000,
            {"tenant": f"t{hours % 3}", "user.id": f"u{hours % 4}"},
            {"deployment.environment.name": "prod" if hours < 30 else "test"},
        ]
        for hours in range(72)
    ]
    columns = "Timestamp ServiceName SpanName SpanKind StatusCode Duration SpanAttributes ResourceAttributes"
    store.client().insert("otel_traces", rows, column_names=columns.split())
    return store


def counted(answer: Any) -> dict[str, float]:
    return {row.operation: row.calls.value for row in answer.rows}


def test_counting_by_an_attribute(used: Store) -> None:
    """The attribute takes the operation's place, the use's own before its resource's; filters still hold."""
    assert counted(run("usage", used, now=NOW, since="3d", by="tenant")) == {
        "t0": 24,
        "t1": 24,
        "t2": 24,
    }
    by = {"by": "deployment.environment.name", "since": "3d", "now": NOW}
    assert counted(run("usage", used, **by)) == {"prod": 30, "test": 42}
    assert counted(run("usage", used, operation="buy", **by)) == {"prod": 15, "test": 21}
    failed = run("errors", used, where={"tenant": "t0"}, **by)
    assert failed.summary.failure_count.value == 3


def test_a_summary_has_no_lists(used: Store) -> None:
    """granularity=summary keeps the numbers and leaves rows and lists out."""
    whole = run("errors", used, now=NOW, since="3d", where={"": ""})
    brief = run("errors", used, now=NOW, since="3d", where={"": ""}, granularity="summary")
    assert whole.summary.days
    assert not brief.rows
    assert not brief.summary.days
    assert brief.summary.calls == whole.summary.calls


def test_all_time_begins_with_the_first_use(used: Store) -> None:
    """`all` is since the first day that was counted, else the first span, so that rates have a true denominator."""
    used.client().command("DROP TABLE usage_day_mv")
    used.client().command("DROP TABLE usage_day")
    answer = run("usage", used, now=NOW, since="all", where={"": ""})
    oldest = NOW - timedelta(hours=71, minutes=5)
    assert answer.window.since == oldest.replace(microsecond=0)
    assert answer.summary.calls.value == 72


def test_several_windows_in_one_call(used: Store) -> None:
    """One answer for each, in order (REQ-USE-10)."""
    answers = run_each("usage", ["hourly", "daily"], store=used, now=NOW, where={"": ""})
    assert [answer.summary.calls.value for answer in answers] == [1, 24]


def test_bounds_without_an_offset_are_local(used: Store) -> None:
    """2026-11-20 in Tokyo begins at 15:00 UTC of the day before."""
    answer = run("usage", used, now=NOW, since="2026-11-20", timezone="Asia/Tokyo", where={"": ""})
    assert answer.window.since == datetime(2026, 11, 19, 15, tzinfo=UTC)


def test_an_unknown_time_zone_is_refused(used: Store) -> None:
    """The message names the value and shows how zones are written."""
    with pytest.raises(ReportError, match="'Mars/Base' is no time zone; write an IANA name"):
        run("usage", used, timezone="Mars/Base")


@pytest.mark.parametrize("name", names())
def test_an_answer_survives_its_document(used: Store, name: str) -> None:
    """from_document gives the same answer in the same types: what came over HTTP is what was computed there."""
    used.client().command(
        "ALTER TABLE otel_traces UPDATE TraceState = 'ot=th:8' WHERE 1 SETTINGS mutations_sync = 1"
    )
    answer = run(name, used, now=NOW, since="3d", where={"": ""})
    again = from_document(answer.to_dict())
    assert again.summary == answer.summary
    assert again.rows == answer.rows
    assert again.to_dict() == answer.to_dict()


def test_an_answer_says_how_much_it_counted_and_how_long_that_took(used: Store) -> None:
    """Data points are the uses of the window, the time is that of the timer, null where none is given (TRD-12)."""
    ticks = iter([5.0, 5.0125])
    raw = {"now": NOW, "since": "3d", "where": {"": ""}}
    timed = run("usage", used, **raw, timer=lambda: next(ticks)).to_dict()
    assert (timed["data_points"], timed["computation_time_ms"]) == (72, 12.5)
    for name in ("success", "errors", "context", "summary", "trend", "performance"):
        plain = run(name, used, now=NOW, since="3d", where={"tenant": "t0"})
        assert (plain.data_points, plain.computation_time_ms) == (24, None)
        assert from_document(plain.to_dict()).data_points == 24
    assert run("usage", used, since=timedelta(days=3)).computation_time_ms > 0


def test_usage_includes_what_is_asked_for(used: Store) -> None:
    """Each flag fills its list with what that report says, comprehensive all, nothing without (USE-08, USE-09)."""
    asked = {"now": NOW, "since": "3d", "until": "1h", "where": {"": ""}, "step": "day"}
    lists = ("trends", "performance", "distribution", "predictions")

    def filled(**more: Any) -> set[str]:
        summary = run("usage", used, **asked, **more).summary
        return {name for name in lists if getattr(summary, name)}

    assert filled() == set()
    for name in lists:
        assert filled(**{f"include_{name}": "true"}) == {name}
    assert filled(granularity="comprehensive") == set(lists)
    summary = run("usage", used, **asked, granularity="comprehensive").summary
    for label in (("shop", "buy"), ("shop", "look")):
        timed, trend, predicted = (
            next(row for row in rows if (row.service, row.operation) == label)
            for rows in (summary.performance, summary.trends, summary.predictions)
        )
        theirs = {
            name: next(
                r for r in run(name, used, **asked).rows if (r.service, r.operation) == label
            )
            for name in ("performance", "trend")
        }
        assert timed.p95_ms == theirs["performance"].p95_ms
        assert (trend.trend, trend.velocity) == (theirs["trend"].trend, theirs["trend"].velocity)
        assert predicted.verdict == "too little data"
    hours = [part.calls for part in summary.distribution if part.of == "hour"]
    context = run("context", used, **{k: v for k, v in asked.items() if k != "step"}).summary
    assert hours == [hour.calls.value for hour in context.hours]


def test_bounds_are_objects_of_python_too(used: Store) -> None:
    """A timedelta counts back from now, a datetime is a time; what is neither is refused with what it may be."""
    words = run("usage", used, now=NOW, since="3d", until="1d")
    length = {"since": timedelta(days=3), "until": NOW - timedelta(days=1)}
    assert run("usage", used, now=NOW, **length).to_dict() == words.to_dict()
    for since in (7, None):
        with pytest.raises(ReportError, match=r"since .*write a distance back from now"):
            run("usage", used, now=NOW, since=since)
