"""A forgotten person is nowhere in the store, the journal or the quarantine; nobody else's rows have changed."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime

import httpx
import pytest
import xxhash
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_examples import pairs
from spans import pipeline

from headgate.collector.check import check
from headgate.collector.mentions import mentioning
from headgate.collector.process import Request, process
from headgate.collector.record import TRACES, Record, frame, pack
from headgate.collector.rules import Identity, Rules
from headgate.collector.signals import Signal
from headgate.queries import ReportError
from headgate.store import StoreError
from headgate.web import create_app
from headgate.web.forget import forget_user

ANN = "ann@example.com"
NOW = time.time_ns() - 3_600_000_000_000  # rows that have expired would vanish by themselves
AT = datetime.fromtimestamp(NOW / 1e9, UTC)
MIGHT_HAVE = {"user.id": ANN, "enduser.id": ANN, "feature_flag.context.id": ANN}


def traces() -> bytes:
    """Return spans: a trace of Ann alone with an inner span, one she shares with Bob, one of Bob, one of nobody."""
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add(resource={"attributes": pairs({"service.name": "shop"})})
    spans = scope.scope_spans.add().spans
    who = (
        *((1, {"user.id": ANN}), (1, {}), (1, {"user.id": "anonymous"})),
        *((2, {"user.id": ANN}), (2, {"user.id": "bob"}), (2, {})),
        *((3, {"user.id": "bob"}), (3, {}), (4, {}), (4, {"user.id": "guest"})),
    )
    for number, (trace, attributes) in enumerate(who):
        spans.add(
            trace_id=trace.to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            name=f"span {number}",
            kind=2 if number % 2 == 0 else 1,
            start_time_unix_nano=NOW + number,
            end_time_unix_nano=NOW + number + 5,
            attributes=pairs(attributes),
        )
    spans[6].events.add(name="told", time_unix_nano=NOW).attributes.extend(())
    for number, key in enumerate(MIGHT_HAVE):
        span = spans.add(
            trace_id=bytes([number + 9]) * 16,
            span_id=b"e" * 8,
            name=f"event {key}",
            parent_span_id=b"p" * 8,
        )
        span.start_time_unix_nano = span.end_time_unix_nano = NOW
        span.events.add(name="told", attributes=pairs({key: ANN}))
    own = message.resource_spans.add(
        resource={"attributes": pairs({"service.name": "desk", "user.id": ANN})}
    )
    own.scope_spans.add().spans.add(
        trace_id=b"r" * 16, span_id=b"r" * 8, name="hers", start_time_unix_nano=NOW
    )
    return message.SerializeToString()


def logs() -> bytes:
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add(resource={"attributes": pairs({"service.name": "shop"})})
    records = scope.scope_logs.add().log_records
    for number, (trace, attributes) in enumerate(
        ((1, {}), (2, {}), (2, {"enduser.id": ANN}), (3, {}), (0, {"user.id": "bob"}), (0, {}))
    ):
        records.add(
            trace_id=trace.to_bytes(16, "big") if trace else b"",
            event_name=f"event {number}" if number % 2 else "",
            time_unix_nano=NOW + number,
            attributes=pairs(attributes),
        )
    return message.SerializeToString()


def metrics() -> bytes:
    message = ExportMetricsServiceRequest()
    scope = message.resource_metrics.add().scope_metrics.add()
    for name, attributes in (("hers", {"user.id": ANN}), ("bobs", {"user.id": "bob"}), ("all", {})):
        point = scope.metrics.add(name=name).sum.data_points.add(
            as_int=1, time_unix_nano=NOW, attributes=pairs(attributes)
        )
        for user in (ANN, "bob"):
            point.exemplars.add(
                as_int=7,
                trace_id=user.encode().ljust(16, b"-")[:16],
                span_id=b"spanspan",
                filtered_attributes=pairs({"user.id": user, "more": "x"}),
            )
    return message.SerializeToString()


def requests() -> list[Request]:
    bodies = {Signal.TRACES: traces(), Signal.LOGS: logs(), Signal.METRICS: metrics()}
    return [Request(signal, body, check(signal, body), NOW) for signal, body in bodies.items()]


def contents(store) -> dict[str, list[str]]:
    """Return every row of every table but the audit log, as text."""
    found = {}
    for table in sorted(store.tables()):
        kind = store.client().command(
            "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = {t:String}",
            parameters={"t": table},
        )
        if "MergeTree" in str(kind) and table not in {"audit", "schema_migration"}:
            rows = store.client().raw_query(f"SELECT * FROM {table} FORMAT JSONEachRow")
            found[table] = sorted(rows.decode().splitlines())
    return found


def store_all(store, rules: Rules) -> None:
    for block in process(requests(), rules=rules):
        store.client().raw_insert(block.table, insert_block=block.data, fmt="Native")


@pytest.mark.parametrize("key", [b"", b"0123456789abcdef"], ids=["plain", "hashed"])
def test_nothing_remains_and_nobody_else_is_touched(store, key):
    """Neither id, nor keyed hash, nor UserHash is in any column of any table; all other rows are as they were."""
    identity = Identity(key=key)
    store_all(store, Rules(identity=identity))
    ids = {ANN, identity.stored(ANN.encode()).decode()}
    secrets = {*ids, *(str(xxhash.xxh64_intdigest(each.encode())) for each in ids)}
    before = contents(store)
    assert sum(any(s in row for s in secrets) for rows in before.values() for row in rows) > 15
    done = forget_user(store, identity, ANN, by="test", now=AT)
    after = contents(store)
    assert not [row for rows in after.values() for row in rows if any(s in row for s in secrets)]
    (audit,) = store.client().query("SELECT * FROM audit").result_rows
    assert not any(s in str(audit) for s in secrets)
    assert json.loads(audit[-1])["removed"] == done["removed"]
    assert (audit[1], audit[2], audit[3]) == ("test", "user.forget", done["receipt"])
    gone = {table: len(before[table]) - len(after[table]) for table in before}
    assert {t: n for t, n in done["removed"].items() if "exemplars" not in t} == {
        t: n for t, n in gone.items() if n
    }
    # Ann's trace with its inner spans and her resource's span; of the shared trace hers alone; three span events.
    names = {json.loads(row)["SpanName"] for row in after["otel_traces"]}
    assert names == {f"span {n}" for n in (4, 5, 6, 7, 8, 9)}
    assert gone["otel_logs"] == 2
    for table, rows in after.items():
        if not table.startswith("otel_metrics_sum"):
            assert set(rows) <= set(before[table]), table
    kept = {json.loads(row)["MetricName"]: json.loads(row) for row in after["otel_metrics_sum"]}
    assert set(kept) == {"bobs", "all"}
    for row in kept.values():
        assert [len(a) for a in row["Exemplars.FilteredAttributes"]] == [0, 2]
        assert [bool(i) for i in row["Exemplars.TraceId"]] == [False, True]
        assert [float(v) for v in row["Exemplars.Value"]] == [7.0, 7.0]
    for table in ("usage_minute", "usage_day", "dimension_day", "ledger"):
        assert after[table] == before[table]
    assert forget_user(store, identity, ANN, by="test", now=AT)["removed"] == {}
    assert contents(store) == after


def test_what_waits_in_the_journal_is_forgotten_too(store, tmp_path):
    """Requests that are acknowledged and not stored yet go the same way; no file beside the store names the person."""
    pipe = pipeline(store, tmp_path, clock_ns=time.time_ns)
    pipe.accept(Signal.TRACES, traces()).result(10)
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir(exist_ok=True)
    (quarantine / "a.traces.otlp").write_bytes(traces())
    (quarantine / "b.native").write_bytes(b"\x05other")
    done = forget_user(
        store, Identity(), ANN, by="test", now=AT, flush=lambda: pipe.flush(30), journal=tmp_path
    )
    assert done["removed"]["otel_traces"] == 8
    assert done["files"] == ["a.traces.otlp"]
    assert pipe.close(30)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or ANN.encode() not in path.read_bytes(), path
    assert (quarantine / "b.native").exists()


def test_a_segment_in_quarantine_is_read(tmp_path):
    """A compressed segment that names the person is found, another is left, a damaged stretch is not trusted."""
    for name, body in (("1-" + "ab" * 16, traces()), ("2-" + "cd" * 16, logs())):
        key = bytes.fromhex(name.rpartition("-")[2])
        payload = pack(Record(TRACES, NOW, 1, b"", body))
        (tmp_path / f"{name}.journal").write_bytes(frame(key, payload) + payload)
    (tmp_path / "3.damaged").write_bytes(b"?")
    found = [path.name for path in mentioning(tmp_path, [b"bob"])]
    assert found == [f"1-{'ab' * 16}.journal", f"2-{'cd' * 16}.journal", "3.damaged"]
    assert [path.name for path in mentioning(tmp_path, [b"eve"])] == ["3.damaged"]


def test_what_is_refused(store):
    """Nobody cannot be forgotten, nor anybody while the store is behind; nothing is noted then."""
    with pytest.raises(ReportError, match="'guest' names nobody"):
        forget_user(store, Identity(), "guest", by="test", now=AT)
    with pytest.raises(StoreError, match="the store is behind"):
        forget_user(store, Identity(), ANN, by="test", now=AT, flush=lambda: False)
    assert store.client().query("SELECT count() FROM audit").result_rows == [(0,)]


def test_over_http(store):
    """The API takes JSON alone, so that no web page elsewhere can send it, and answers with what was removed."""
    store_all(store, Rules())

    def forgetting(user, by):
        return forget_user(store, Identity(), user, by=by, now=AT)

    async def ask(**sent) -> httpx.Response:
        app = create_app(store, flush=lambda: None, clock=lambda: AT, forgetting=forgetting)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/api/forget", **sent)

    for refused in ({"json": {"user": ""}}, {"data": {"user": ANN}}, {"json": {"who": ANN}}):
        assert asyncio.run(ask(**refused)).status_code == 400
    answer = asyncio.run(ask(json={"user": ANN}))
    assert answer.status_code == 200
    assert answer.json()["removed"]["otel_traces"] == 8
