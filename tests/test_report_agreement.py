"""The collector and the raw-row statements hold the same definitions: what is a use, how it ended, whose it was."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from native_rows import store_blocks
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from test_report_sampled import numbers
from test_sampling_path import NOW as BUSY_NS
from test_sampling_path import busy
from test_sampling_path import run as through_collector

from headgate.collector.process import Request, process
from headgate.collector.rules import Identity, Rules
from headgate.collector.signals import Signal
from headgate.queries import names, run
from headgate.store.identity import write_identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AT_NS = int(NOW.timestamp() - 600) * 10**9


def attribute(key: str, value: Any) -> KeyValue:
    kind = {bool: "bool_value", int: "int_value", str: "string_value"}[type(value)]
    return KeyValue(key=key, value=AnyValue(**{kind: value}))


def attributes(given: dict[str, Any]) -> list[KeyValue]:
    return [attribute(key, value) for key, value in given.items()]


SAID: tuple[dict[str, Any], ...] = (
    {},
    {"user.id": "ann", "session.id": "s1"},
    {"enduser.id": "bob", "error.type": "KeyError"},
    {"user.id": "", "enduser.id": "eve"},
    {"user.id": "anonymous", "session.id": "null", "account": "acme"},
    {"http.response.status_code": 504},
    {"http.status_code": 408},
    {"http.response.status_code": 500, "http.status_code": 504},
    {"rpc.grpc.status_code": 4, "user.id": "ann"},
    {"error.type": "ReadTimeout", "headgate.track": True},
    {"headgate.track": False},
)
RAISED: tuple[tuple[dict[str, Any], ...], ...] = (
    (),
    ({"exception.type": "ValueError", "exception.message": "order 17 is bad"},),
    (
        {"exception.type": "DeadlineExceeded", "exception.message": "first"},
        {
            "exception.type": "Broken",
            "exception.stacktrace": 'Traceback:\n  File "/a/b.py", line 7, in f\nBroken: 7',
        },
    ),
)


def spans() -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(attribute("service.name", "shop"))
    resource.resource.attributes.append(attribute("account", "shared"))
    scope = resource.scope_spans.add()
    cases = itertools.product(SAID, RAISED, (0, 1, 2), (1, 2, 3, 5), (b"", b"parentid"))
    for number, (said, raised, status, kind, parent) in enumerate(cases):
        span = scope.spans.add(
            trace_id=(number + 1).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            parent_span_id=parent,
            name=f"operation {number % 7}",
            kind=kind,
            start_time_unix_nano=AT_NS + number,
            end_time_unix_nano=AT_NS + number + number % 11 * 1_000_003,
            attributes=attributes(said),
        )
        span.status.code = status
        span.status.message = f"failed for item {number}" if number % 2 else ""
        for told in raised:
            span.events.add(name="exception", time_unix_nano=AT_NS, attributes=attributes(told))
    return request.SerializeToString()


def logs() -> bytes:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.append(attribute("service.name", "till"))
    scope = resource.scope_logs.add()
    told = ({}, *SAID[1:4], *(raised[0] for raised in RAISED[1:]))
    named = ({"event_name": "paid"}, {"event_name": ""}, {"event.name": "refunded"})
    for number, (said, name, severity) in enumerate(itertools.product(told, named, (9, 17, 21))):
        extra = {"event.name": name["event.name"]} if "event.name" in name else {}
        scope.log_records.add(
            time_unix_nano=AT_NS + number,
            severity_number=severity,
            event_name=name.get("event_name", ""),
            attributes=attributes({**said, **extra}),
        )
    return request.SerializeToString()


def insert(store: Store, requests: Iterable[Request], rules: Rules) -> None:
    for block in process(list(requests), rules=rules):
        store.client().raw_insert(block.table, insert_block=block.data, fmt="Native")


OTHER_RULES = Rules(
    identity=Identity(user=("account",), session=("user.id",), nobody=("bob",), key=b"k" * 16)
)


@pytest.mark.parametrize("rules", [Rules(), OTHER_RULES], ids=["default", "others"])
@pytest.mark.parametrize("name", names())
def test_what_the_collector_counted_is_what_raw_rows_say(
    store: Store, name: str, rules: Rules
) -> None:
    """Over every combination of kind, status, attributes and exceptions, both answers are the same document."""
    insert(
        store,
        [
            Request(Signal.TRACES, spans(), 792, AT_NS),
            Request(Signal.LOGS, logs(), 54, AT_NS),
        ],
        rules,
    )
    write_identity(store, rules.identity.public, NOW)
    window = {"since": "2h", "until": "now", "now": NOW}
    counted = run(name, store, **window).to_dict()
    derived = run(name, store, where={"nowhere": ""}, **window).to_dict()
    assert counted["summary"]["source"] == "usage_minute"
    assert derived["summary"]["source"] == "otel_traces"
    assert counted["summary"]["calls"] > 400
    for document in (counted, derived):
        assert document["exact"]
        del document["summary"]["source"], document["summary"]["notes"], document["params"]
        if name == "quality":
            without_arrivals(document)
        # Raw rows do not tell what else came in.
        document["summary"].pop("ledger", None)
    assert near(derived, counted)


def without_arrivals(document: dict[str, Any]) -> None:
    """Leave out what only the collector can know: how and when rows arrived."""
    arrivals = {"rejected", "sent twice", "late data"}
    document["rows"] = [row for row in document["rows"] if row["check"] not in arrivals]
    for state in ("good", "unknown", "attention", "problems"):
        del document["summary"][state]


def near(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(near(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(near, a, b))
    numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
    return a == pytest.approx(b, rel=1e-9) if numbers else a == b


def test_sampled_rows_agree_with_what_was_counted(store: Store) -> None:
    """Traffic that the collector sampled: each report's rollup numbers lie where its weighted rows say they do."""
    for number, made in enumerate(through_collector(busy(np.random.default_rng(23), segments=6))):
        store_blocks(store, f"s{number}", made.blocks)
    asked = datetime.fromtimestamp(BUSY_NS / 1e9, UTC) + timedelta(minutes=10)
    held = []
    for name in ("usage", "performance", "errors", "success"):
        counted = numbers(run(name, store, since="2h", now=asked))
        derived = numbers(run(name, store, since="2h", now=asked, where={"nowhere": ""}))
        for label, found in derived.items():
            if label not in counted or not counted[label].exact:
                continue
            truth = counted[label].value
            if found.exact:
                assert truth == pytest.approx(found.value, rel=1e-9), label
            elif None not in (found.low, found.high):
                down, up = found.value - found.low, found.high - found.value
                assert -3 * down - 0.01 <= truth - found.value <= 3 * up + 0.01, label
                held.append(found.low * (1 - 0.011) <= truth <= found.high * (1 + 0.011))
    assert len(held) > 200
    assert np.mean(held) >= 0.88
