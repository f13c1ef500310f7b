"""Acknowledged means stored, once: through kill -9, through SIGTERM under load, and over many starts."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROTOBUF = {"content-type": "application/x-protobuf"}
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
START_NS = 4102444800 * 10**9  # in 2100, so that nothing expires meanwhile
SPANS = 5
COUNT = "SELECT SpanName AS name, count() AS n FROM otel_traces GROUP BY name"
TOTALS = """
SELECT
    (SELECT sum(Calls) FROM usage_minute) AS minutes,
    (SELECT sum(Calls) FROM usage_day) AS days,
    (SELECT count() FROM events) AS uses,
    (SELECT sum(Stored) FROM ledger) AS stored,
    (SELECT sum(Received) FROM ledger) AS received,
    (SELECT sum(Duplicate) FROM ledger) AS duplicate
"""


def body(name: str, start_ns: int = START_NS) -> bytes:
    """Return a request of SPANS spans that share the name; no two requests of a test are alike."""
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans
    for number in range(SPANS):
        made.add(
            trace_id=os.urandom(16),
            span_id=(number + 1).to_bytes(8),
            name=name,
            kind=2,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + 1000,
        )
    return request.SerializeToString()


class Load:
    """Clients that send one request after the other until they are refused, and remember which were acknowledged."""

    def __init__(self, server, workers: int, label: str) -> None:
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self._server = server
        self._label = label
        self._threads = [
            threading.Thread(target=self._over_http if n % 2 else self._over_grpc, args=(n,))
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, requests: int) -> None:
        """Return when so many have been acknowledged."""
        deadline = time.monotonic() + 30
        while len(self.acknowledged) < requests:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _names(self, worker: int):
        for number in itertools.count():
            name = f"{self._label}/{worker}/{number}"
            self.sent.add(name)
            yield name

    def _over_grpc(self, worker: int) -> None:
        with grpc.insecure_channel(self._server.grpc) as channel:
            call = channel.unary_unary(TRACES)
            for name in self._names(worker):
                try:
                    call(body(name), timeout=15)
                except grpc.RpcError as error:
                    assert error.code() in {  # noqa: PT017
                        grpc.StatusCode.UNAVAILABLE,
                        grpc.StatusCode.CANCELLED,
                    }
                    return
                self.acknowledged.add(name)

    def _over_http(self, worker: int) -> None:
        with httpx.Client(headers=PROTOBUF, timeout=15) as client:
            for name in self._names(worker):
                try:
                    answer = client.post(self._server.url("traces"), content=body(name))
                except httpx.TransportError:
                    return
                if answer.status_code != 200:
                    assert answer.status_code == 503
                    return
                self.acknowledged.add(name)


def check_exactly_once(rows: list[dict], loads: list[Load]) -> int:
    """Check that what was acknowledged is stored in full and once, and nothing was stored twice; return the rows."""
    stored = {row["name"]: row["n"] for row in rows}
    acknowledged = set().union(*(load.acknowledged for load in loads))
    sent = set().union(*(load.sent for load in loads))
    assert acknowledged <= set(stored) <= sent
    assert set(stored.values()) == {SPANS}
    return sum(stored.values())


def post(server, content: bytes) -> None:
    answer = httpx.post(server.url("traces"), headers=PROTOBUF, content=content)
    assert answer.status_code == 200


@pytest.fixture(scope="module")
def crashed(start, read):
    """Kill a server twice right after an acknowledgement, under load, then start and stop it; return loads and rows.

    A request of its own is sent twice in each of the two lives.
    """
    loads = []
    again = body("again")
    data = None
    for life in range(2):
        server = start(data=data)
        data = server.data
        load = Load(server, 4, f"life {life}")
        post(server, again)
        post(server, again)
        load.wait_for(40)
        server.kill()
        load.end()
        loads.append(load)
    assert start(data=data).stop() == 0
    return loads, read(data, names=COUNT, totals=TOTALS)


def test_what_was_acknowledged_survives_kill_9(crashed):
    """Every acknowledged row of both lives is stored exactly once, and every count agrees with the rows."""
    loads, found = crashed
    rows = check_exactly_once([row for row in found["names"] if row["name"] != "again"], loads)
    stored = rows + SPANS
    (totals,) = found["totals"]
    assert totals["minutes"] == totals["days"] == totals["uses"] == totals["stored"] == stored
    assert totals["received"] == stored + totals["duplicate"]


def test_a_request_that_is_sent_again_counts_once(crashed):
    """A client that missed its answer repeats the same bytes, even after a crash, and they are stored once."""
    _, found = crashed
    assert [row["n"] for row in found["names"] if row["name"] == "again"] == [SPANS]


def test_sigterm_under_load_stores_what_was_acknowledged(start, read):
    """Eight clients in full swing: exit code 0 within ten seconds, every acknowledged row stored exactly once.

    Nobody is cut off either: what was taken is answered, so that nothing is stored that its sender would repeat.
    """
    server = start()
    load = Load(server, 8, "load")
    load.wait_for(100)
    assert server.stop() == 0
    load.end()
    assert server.errors() == ""
    found = read(server.data, names=COUNT, totals=TOTALS)
    rows = check_exactly_once(found["names"], [load])
    assert rows == len(load.acknowledged) * SPANS >= 100 * SPANS
    totals = {"minutes": rows, "days": rows, "uses": rows, "stored": rows, "received": rows}
    assert found["totals"] == [{**totals, "duplicate": 0}]


def test_ctrl_c_is_held_up_by_no_connection(start):
    """Idle connections are closed at once, a half-sent request is told to come again; SIGINT is as good as SIGTERM."""
    server = start()
    host, _, port = server.http.rpartition(":")
    with (
        httpx.Client(headers=PROTOBUF) as client,
        grpc.insecure_channel(server.grpc) as channel,
        socket.create_connection((host, int(port)), timeout=10) as half,
    ):
        assert client.post(server.url("traces")).status_code == 200
        assert client.get(f"http://{server.api}/healthz").status_code == 200
        channel.unary_unary(TRACES)(b"")
        head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        half.sendall(f"{head}Content-Length: 100\r\n\r\nhalf".encode())
        client.post(server.url("traces"))  # so that the half has arrived, too
        began = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 8
        answer = half.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    assert "Traceback" not in server.errors()


@dataclass(frozen=True)
class Life:
    """What one start and stop of a server looked like from outside."""

    server: Any
    lock: dict[str, Any]
    lock_after: str
    said_later: str


@pytest.fixture(scope="module")
def lives(start, read):
    """Start a server twice on the same data, sending one request each time; return both lives and the rows."""
    found = []
    data = None
    for life in range(2):
        server = start(data=data)
        data = server.data
        lock = json.loads((data / "headgate.lock").read_text())
        post(server, body(f"life {life}"))
        assert server.stop() == 0
        assert server.errors() == ""
        after = (data / "headgate.lock").read_text()
        found.append(Life(server, lock, after, server.process.stdout.read()))
    versions = "SELECT Version FROM schema_migration GROUP BY 1 HAVING count() > 1"
    return found, read(data, names=COUNT, repeated=versions)


def test_data_is_kept_from_start_to_start(lives):
    """Two starts on one directory add up, and no migration is applied twice."""
    _, found = lives
    stored = {row["name"]: row["n"] for row in found["names"]}
    assert stored == {"life 0": SPANS, "life 1": SPANS}
    assert found["repeated"] == []


def test_a_warm_start_is_ready_in_seconds(lives):
    """Once kernels and schema are there, a server is ready soon: the target is 3 s, and a slow machine may take 6."""
    assert lives[0][1].server.ready_s < 6


def test_the_ready_line_and_the_lock_file_tell_the_addresses(lives):
    """One line on standard output, and JSON with the process id and three addresses for other commands to read."""
    for life in lives[0]:
        server = life.server
        assert server.said == (
            f"headgate is ready: OTLP/gRPC {server.grpc}, OTLP/HTTP {server.http},"
            f" API http://{server.api}, data {server.data}\n"
        )
        addresses = {"otlp_grpc": server.grpc, "otlp_http": server.http, "api": server.api}
        assert life.lock.pop("token").startswith("hg_"), "for commands on this machine"
        assert life.lock == {"pid": server.process.pid, "role": "server", **addresses}
        ports = {address.rpartition(":")[2] for address in addresses.values()}
        assert len(ports) == 3
        assert "0" not in ports
        assert (life.said_later, life.lock_after) == ("", "")


@pytest.fixture(scope="module")
def running(start):
    return start()


def test_a_report_through_the_server_sees_what_was_just_acknowledged(running):
    """The API stores what is acknowledged before it answers: the very next report counts it."""

    def calls() -> int:
        report = httpx.get(f"http://{running.api}/api/reports/usage", params={"since": "1h"})
        assert report.status_code == 200, report.text
        return report.json()["summary"]["calls"]

    before = calls()
    for sent in (SPANS, 2 * SPANS):
        post(running, body("just now", time.time_ns() - 10**9))
        assert calls() == before + sent


def test_other_clients_see_the_rows_within_seconds(running):
    """Without anybody asking for a report, what was acknowledged is in the store five seconds later."""
    post(running, body("soon"))
    deadline = time.monotonic() + 5 + 3  # the machine may be busy
    while running.status()["stored"] != running.status()["received"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
