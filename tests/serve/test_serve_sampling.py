"""Sampling in the running server: settings, budgets set from outside, a reload, a restart; and the books it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HEADGATE = str(Path(sys.executable).with_name("headgate"))
ENVIRON = {key: value for key, value in os.environ.items() if not key.startswith("HEADGATE_")}
CONFIG = {"sampling": {"traces": {"low": 100, "high": 1000}, "events": {"rows": 200}}}
TRACES = 1500
BOOKS = "SELECT sum(Received) AS r, sum(Stored) AS s, sum(SampledOut) AS o FROM ledger"


def send(server, seed: int) -> None:
    """Send a request of traces of one entry span and one within it, of users that come again."""
    rng = np.random.default_rng(seed)
    message = ExportTraceServiceRequest()
    batch = message.resource_spans.add()
    batch.resource.attributes.add(key="service.name").value.string_value = "shop"
    spans = batch.scope_spans.add().spans
    now = time.time_ns()
    for number in range(TRACES):
        trace_id, parent = rng.bytes(16), rng.bytes(8)
        entry = spans.add(
            trace_id=trace_id, span_id=parent, name=f"GET /{number % 5}", kind=2,
            start_time_unix_nano=now, end_time_unix_nano=now + 1000,
        )  # fmt: skip
        entry.attributes.add(key="user.id").value.string_value = f"user {number % 300}"
        spans.add(
            trace_id=trace_id, span_id=rng.bytes(8), parent_span_id=parent, name="call", kind=3,
            start_time_unix_nano=now, end_time_unix_nano=now + 500,
        )  # fmt: skip
    answer = httpx.post(
        server.url("traces"),
        content=message.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


def settled(server) -> dict[str, int]:
    """Return what became of the spans, once all are accounted for."""
    deadline = time.monotonic() + 60
    while True:
        status = server.status()
        found = {name: status[name]["traces"] for name in ("received", "stored", "sampled_out")}
        if found["received"] == found["stored"] + found["sampled_out"]:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def sampling(data: Path, *arguments: str, code: int = 0) -> str:
    """Run `headgate sampling ... --data DATA`; return what it said."""
    done = subprocess.run(
        [HEADGATE, "sampling", *arguments, "--data", str(data)],
        check=False, env=ENVIRON, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def shown(data: Path, *arguments: str) -> dict:
    return json.loads(sampling(data, *arguments, "--format", "json"))


def reload_settings(server) -> None:
    """Change the file, let it be read again, and see what is taken over; then break it, and see that nothing is."""
    config = server.data.parent / "headgate.yaml"
    config.write_text("sampling: {traces: {low: 150, high: 1000}}\nmemory_bytes: 1000000\n")
    os.kill(server.process.pid, signal.SIGHUP)
    deadline = time.monotonic() + 20
    while "settings read again" not in server.errors():
        assert time.monotonic() < deadline, server.errors()
        time.sleep(0.05)
    (line,) = [line for line in server.errors().splitlines() if "settings read again" in line]
    assert "sampling.traces.low 100 -> 150" in line
    assert "sampling.events.rows 200 -> 60000" in line
    assert "budgets set by `headgate sampling set` stay in their place" in line
    assert "with the next start: memory_bytes" in line
    assert shown(server.data, "show")["settings"]["traces"]["low"] == 150

    config.write_text("sampling: {traces: {lo: 1}}\n")
    os.kill(server.process.pid, signal.SIGHUP)
    while "did you mean low?" not in server.errors():
        assert time.monotonic() < deadline + 20, server.errors()
        time.sleep(0.05)
    assert shown(server.data, "show")["settings"]["traces"]["low"] == 150


def check_books(read, data: Path) -> None:
    """See that three requests of TRACES are counted, that the ledger closes, and that every change is on record."""
    rows = read(
        data,
        books=BOOKS,
        raw="SELECT count() AS n FROM otel_traces",
        history="SELECT Signal, sum(Rows) AS rows, sum(KeptRows) AS kept FROM sampling_history"
        " GROUP BY Signal ORDER BY Signal",
        events="SELECT count() AS n, sum(Weight) AS w FROM events",
        calls="SELECT sum(Calls) AS n FROM usage_minute",
        audit="SELECT Actor, Action, Detail FROM audit ORDER BY Time",
        versions="SELECT Version, Deleted FROM document ORDER BY Version",
    )
    (books,) = rows["books"]
    assert books["r"] == 6 * TRACES == books["s"] + books["o"]
    assert rows["raw"] == [{"n": books["s"]}]
    assert rows["calls"] == [{"n": 6 * TRACES}]
    events, traces = rows["history"]
    assert (traces["rows"], traces["kept"]) == (6 * TRACES, books["s"])
    assert (events["rows"], events["kept"]) == (3 * TRACES, rows["events"][0]["n"])
    assert [line["Action"] for line in rows["audit"]] == ["sampling.set"] * 2
    assert json.loads(rows["audit"][0]["Detail"]) == {"traces": {"low": 1e6, "high": 1e6}}
    assert rows["audit"][0]["Actor"] == "api from 127.0.0.1"
    assert rows["audit"][1]["Actor"].startswith("cli by ")
    assert [line["Deleted"] for line in rows["versions"]] == [False, True]


@pytest.mark.slow
def test_budgets_from_settings_from_outside_and_read_again(start, read):
    """Each place takes effect without a restart, the next start remembers, and the ledger closes."""
    server = start(config=CONFIG)
    send(server, 1)
    busy = settled(server)
    assert busy["received"] == 2 * TRACES
    assert 0 < busy["stored"] < TRACES

    found = shown(server.data, "show")
    assert found["budgets"]["traces"] == {"low": 100, "high": 1000, "rate": 0.1, "rows": 2e6}
    assert found["collectors"] == 1
    last = {account["signal"]: account for account in found["last"]}
    assert last["traces"]["requests_a_minute"] == TRACES
    assert last["traces"]["probability"] == pytest.approx(0.1)
    assert last["events"]["probability"] == pytest.approx(200 / TRACES, rel=0.1)

    found = shown(server.data, "set", "--low", "1000000", "--high", "1000000")
    assert found["budgets"]["traces"]["low"] == 1e6
    assert found["set"] == {"traces": {"low": 1e6, "high": 1e6}}
    send(server, 2)
    assert settled(server)["sampled_out"] == busy["sampled_out"], "all is kept from now on"

    refused = "traces.high must be at least low (1000000.0), not 5.0"
    assert refused in sampling(server.data, "set", "--high", "5", code=2)
    assert "nothing to set" in sampling(server.data, "set", code=2)
    api = f"http://{server.api}/api/sampling"
    answer = httpx.post(api, content='{"reset": true}', headers={"content-type": "text/plain"})
    assert answer.status_code == 400, "a web page elsewhere can send text, and must not reach it"
    assert "application/json" in answer.json()["error"]

    reload_settings(server)
    assert server.stop() == 0

    table = sampling(server.data, "show")
    assert "1,000,000" in table
    assert "set: high, low" in table
    again = start(data=server.data, config=CONFIG)
    send(again, 3)
    assert settled(again)["sampled_out"] == 0, "what was set outlives the server"
    assert again.stop() == 0
    assert shown(server.data, "set", "--reset")["set"] == {}

    check_books(read, server.data)
