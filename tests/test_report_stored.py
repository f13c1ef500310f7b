"""Questions about attributes: stored uses say the same as raw spans, and answer only where they say as much."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from test_report_agreement import AT_NS, NOW, insert, logs, near, spans

from headgate.collector.process import Request
from headgate.collector.rules import Rules
from headgate.collector.signals import Signal
from headgate.queries import names, run

if TYPE_CHECKING:
    from headgate.store import Store

EVERY: tuple[dict[str, Any], ...] = (
    {"where": {"error.type": "KeyError", "enduser.id": "bob"}},
    {"by": "error.type"},
)
MORE: tuple[dict[str, Any], ...] = (
    {"where": {"user.id": "ann"}},
    {"by": "http.response.status_code", "where": {"http.response.status_code": "504"}},
)
RAW_ONLY = {"sampling"}
"""Reports that ask what was kept as raw spans."""


@pytest.fixture
def used(store: Store) -> Store:
    requests = [
        Request(Signal.TRACES, spans(), 792, AT_NS),
        Request(Signal.LOGS, logs(), 54, AT_NS),
    ]
    insert(store, requests, Rules())
    return store


def elsewhere(store: Store, key: str) -> None:
    """Let a resource have an attribute, of a span that is no use."""
    row = [NOW - timedelta(days=3), "other", "Client", "parent", {key: "x"}]
    columns = ["Timestamp", "ServiceName", "SpanKind", "ParentSpanId", "ResourceAttributes"]
    store.client().insert("otel_traces", [row], column_names=columns)


def test_stored_uses_say_what_raw_spans_say(used: Store) -> None:
    """Every report, filtered and grouped by attributes: the same document from either, and it says which."""
    reports = sorted(set(names()) - RAW_ONLY)
    asked = {"since": "2h", "until": "now", "now": NOW}

    def answers() -> list[dict[str, Any]]:
        return [
            run(name, used, **asked, **question).to_dict()
            for name in reports
            for question in EVERY + (MORE if name in {"errors", "usage", "workflows"} else ())
        ]

    stored = answers()
    for key in ("user.id", "enduser.id", "error.type", "http.response.status_code"):
        elsewhere(used, key)
    raw = answers()
    assert {d["summary"].pop("source") for d in stored} == {"events"}
    assert {d["summary"].pop("source") for d in raw} == {"otel_traces"}
    for ours, theirs in zip(stored, raw, strict=True):
        theirs["summary"]["notes"] = ours["summary"]["notes"]  # raw spans are not kept for so long
        assert near(ours, theirs), (ours["report"], ours["params"])
    assert sum(document["summary"].get("calls", 0) > 0 for document in stored) > len(stored) / 2


def source(store: Store, **question: Any) -> str:
    return run("success", store, now=NOW, since="2h", **question).source.name


def test_raw_spans_answer_what_stored_uses_cannot(used: Store) -> None:
    """An attribute of a resource, one that nothing has, thinned people, a report on what was kept: raw spans answer."""
    assert source(used, where={"user.id": "ann"}) == "events"
    assert source(used, where={"account": "acme"}) == "otel_traces"  # the resource has it as well
    assert source(used, where={"user.id": "ann", "service.name": "shop"}) == "otel_traces"
    assert source(used, where={"nowhere": ""}) == "otel_traces"
    assert source(used, by="account") == "otel_traces"
    assert run("sampling", used, now=NOW, since="2h", where={"user.id": "ann"}).source.provisional
    columns = ["Time", "TimeEnd", "Signal", "EventsFrom", "EventsTo", "EventsThreshold"]
    at = NOW - timedelta(minutes=9)
    row = [at, at, "events", at, at + timedelta(minutes=1), 1 << 55]
    used.client().insert("sampling_history", [row], column_names=columns)
    assert source(used, where={"user.id": "ann"}) == "otel_traces"
