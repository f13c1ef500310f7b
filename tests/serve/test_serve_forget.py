"""`headgate forget` and `headgate ledger`, with a server and without one."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MINUTE_NS = 60 * 10**9


def body(user: str, number: int, start_ns: int) -> bytes:
    """Return a request of one span."""
    message = ExportTraceServiceRequest()
    batch = message.resource_spans.add()
    batch.resource.attributes.add(key="service.name").value.string_value = "shop"
    span = batch.scope_spans.add().spans.add(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="GET /",
        kind=2,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + 1000,
    )
    span.attributes.add(key="user.id").value.string_value = user
    return message.SerializeToString()


def post(server, content: bytes) -> None:
    kind = {"content-type": "application/x-protobuf"}
    assert httpx.post(server.url("traces"), content=content, headers=kind).status_code == 200


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headgate.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )


@pytest.fixture(scope="module")
def told(start, read):
    """Return what the commands said with a server, what after it was killed with a request in its journal, and rows."""
    server = start()
    now_ns = time.time_ns()
    for number, user in enumerate(("ann", "bob", "ann"), 1):
        post(server, body(user, number, now_ns))
    post(server, body("bob", 2, now_ns))  # again
    post(server, body("bob", 4, 12345))  # of 1970
    data = ("--data", str(server.data))
    told = {
        "ledger": command("ledger", *data),
        "json": command("ledger", "--format", "json", *data),
    }
    told["forget"] = command("forget", "ann", "--yes", *data)
    told["again"] = command("forget", "ann", "--yes", "--format", "json", *data)
    told["unsure"] = command("forget", "bob", *data)
    post(server, body("ann", 5, now_ns))
    server.kill()
    told["killed"] = command("forget", "ann", "--yes", "--format", "json", *data)
    told["csv"] = command("ledger", "--since", "1h", "--format", "csv", *data)
    told["rows"] = read(
        server.data,
        users="SELECT UserId, count() AS n FROM events GROUP BY UserId",
        spans="SELECT SpanAttributes['user.id'] AS user, count() AS n FROM otel_traces GROUP BY user",
        counted="SELECT sum(Calls) AS n FROM usage_minute",
        audit="SELECT Action, Object, Rows, Detail FROM audit ORDER BY Time",
    )
    return told


def test_a_person_is_forgotten_through_the_server(told):
    """What was removed is said by table, a second time there is nothing, and without --yes nothing happens."""
    said = told["forget"]
    assert said.returncode == 0, said.stderr
    assert "2  otel_traces\n" in said.stdout
    assert "2  events\n" in said.stdout
    assert "1  user_seen\n" in said.stdout
    assert "Noted in the audit log as " in said.stdout
    assert json.loads(told["again"].stdout)["removed"] == {}
    assert told["unsure"].returncode == 1


def test_what_a_killed_server_left_is_forgotten_too(told):
    """A request in the journal is stored first, then removed; nobody else's rows and no count are touched."""
    assert told["killed"].returncode == 0, told["killed"].stderr
    assert json.loads(told["killed"].stdout)["removed"]["otel_traces"] == 1
    rows = told["rows"]
    assert rows["users"] == [{"UserId": "bob", "n": 2}]
    assert rows["spans"] == [{"user": "bob", "n": 2}]
    assert rows["counted"] == [{"n": 5}]
    assert len(rows["audit"]) == 3
    assert "ann" not in json.dumps(rows["audit"])


def test_the_ledger_is_told(told):
    """Every item is in it once with its fate: table, JSON and CSV; it closes, so the exit code is 0."""
    for name in ("ledger", "json", "csv"):
        assert told[name].returncode == 0, told[name].stderr
    assert "The ledger closes." in told["ledger"].stdout
    found = json.loads(told["json"].stdout)
    assert found["closes"]
    total = {
        n: sum(r[n] for r in found["rows"])
        for n in found["rows"][0]
        if n not in {"service", "signal"}
    }
    counts = ("received", "stored", "duplicate", "rejected", "sampled_out", "corrected", "other")
    assert [total[name] for name in counts] == [5, 4, 1, 0, 0, 1, 0]
    rows = list(csv.DictReader(io.StringIO(told["csv"].stdout)))
    assert sum(int(row["stored"]) for row in rows) == 5
