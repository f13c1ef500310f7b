"""One copy of the uses that a question is about, for all of its statements: the same answers, nothing left behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from test_report_agreement import AT_NS, NOW, attribute, insert, logs, near, spans, without_arrivals
from test_report_stored import elsewhere

from headgate.collector.process import Request
from headgate.collector.rules import Rules
from headgate.collector.signals import Signal
from headgate.queries import gathered, names, reading, run
from headgate.store import StoreError, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.store import Store

RED = {"where": {"tier": "red"}}
ASKED: dict[str, Any] = {"since": "2h", "now": NOW}


def tiers(*kept: str) -> list[Request]:
    """Return spans and named events, every other one of tier red, the rest blue; only those of these tiers."""
    traces = ExportTraceServiceRequest.FromString(spans())
    events = ExportLogsServiceRequest.FromString(logs())
    for made in (
        traces.resource_spans[0].scope_spans[0].spans,
        events.resource_logs[0].scope_logs[0].log_records,
    ):
        every = list(made)
        del made[:]
        for number, item in enumerate(every):
            tier = ("red", "blue")[number % 2]
            item.attributes.append(attribute("tier", tier))
            made.extend([item] if tier in kept else [])
    return [
        Request(Signal.TRACES, traces.SerializeToString(), 792, AT_NS),
        Request(Signal.LOGS, events.SerializeToString(), 54, AT_NS),
    ]


@pytest.fixture
def mixed(store: Store) -> Store:
    insert(store, tiers("red", "blue"), Rules())
    return store


@pytest.fixture
def only_red(store: Store) -> Iterator[Store]:
    other = store.sibling(f"{store.database}_red")
    other.create_database()
    migrate(other)
    other.client().command("SYSTEM STOP TTL MERGES")
    insert(other, tiers("red"), Rules())
    yield other
    store.client().command(f"DROP DATABASE `{other.database}`")


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of each question whether all of its uses were copied."""
    made = []
    copied = gathered._copied

    def noting(*given: Any) -> bool:
        made.append(copied(*given))
        return made[-1]

    monkeypatch.setattr(gathered, "_copied", noting)
    return made


def document(name: str, store: Store, **question: Any) -> dict[str, Any]:
    found = run(name, store, **ASKED, **question).to_dict()
    del found["summary"]["source"], found["summary"]["notes"], found["params"]
    return found


@pytest.mark.parametrize("raw", [False, True], ids=["stored uses", "raw spans"])
def test_filtered_is_as_if_there_were_nothing_else(
    mixed: Store, only_red: Store, copies: list[bool], *, raw: bool
) -> None:
    """Of every report: the red ones among all say the same as rollups of a store that only ever got red ones."""
    if raw:
        elsewhere(mixed, "tier")
    for name in names():
        filtered, alone = document(name, mixed, **RED), document(name, only_red)
        if name == "quality":
            without_arrivals(filtered)
            without_arrivals(alone)
        for found in (filtered, alone):
            found["summary"].pop("ledger", None)  # raw rows do not tell what else came in
        assert filtered["summary"].get("calls", 1) > 0
        assert near(filtered, alone), name
    assert len(copies) >= len(names()) - 1
    assert all(copies)


@pytest.mark.parametrize(
    ("question", "reports"),
    [
        (RED, names()),
        ({"by": "tier"}, ["errors", "usage", "workflows"]),
        (RED | {"by": "error.type"}, ["cost", "sampling"]),
    ],
    ids=str,
)
def test_copied_or_not(
    mixed: Store,
    copies: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    question: dict[str, Any],
    reports: list[str],
) -> None:
    """Every report says the same from a copy, and without one because there are too many rows."""
    from_copies = [document(name, mixed, **question) for name in reports]
    assert len(copies) >= len(reports) - 1
    assert all(copies)
    copies.clear()
    monkeypatch.setattr(gathered, "MOST_ROWS", -1)
    monkeypatch.setattr(gathered, "MOST_WIDE_ROWS", -1)
    for name, found in zip(reports, from_copies, strict=True):
        assert near(document(name, mixed, **question), found), name
    assert copies
    assert not any(copies)


def test_a_copy_that_got_lost(mixed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a statement does not find the copy, as on another server behind one address, the rows answer."""
    before = document("errors", mixed, **RED)
    reading = gathered._reading
    monkeypatch.setattr(gathered, "_reading", lambda source, name: reading(source, f"{name}_lost"))
    assert near(document("errors", mixed, **RED), before)


def test_no_more_than_two_copies(mixed: Store, copies: list[bool]) -> None:
    """While two others have a copy no third is made, and none stays in the store."""
    before = document("errors", mixed, **RED)
    assert copies.pop()
    held, done = threading.Barrier(3), threading.Event()

    def hold() -> None:
        with gathered._AT_ONCE:
            held.wait(10)
            done.wait(10)

    others = [threading.Thread(target=hold) for _ in range(2)]
    for other in others:
        other.start()
    held.wait(10)
    assert near(document("errors", mixed, **RED), before)
    assert not copies
    done.set()
    for other in others:
        other.join()
    assert near(document("errors", mixed, **RED), before)
    assert copies
    left = "SELECT count() FROM system.tables WHERE is_temporary"
    assert mixed.client().query(left).result_rows == [(0,)]


def test_a_question_that_fails_leaves_nothing(
    mixed: Store, copies: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong while there is a copy is raised as it is, and neither the copy nor its place stays taken."""

    def broken(_: object) -> None:
        raise StoreError("the answer cannot be read")

    monkeypatch.setattr(reading, "columns_of", broken)
    for _ in range(3):
        with pytest.raises(StoreError, match="cannot be read"):
            run("errors", mixed, **ASKED, **RED)
    assert copies == [True] * 3
    left = "SELECT count() FROM system.tables WHERE is_temporary"
    assert mixed.client().query(left).result_rows == [(0,)]
