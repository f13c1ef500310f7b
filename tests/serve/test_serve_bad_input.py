"""Each known kind of bad input gets its documented answer, is counted, and harms nothing else."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import httpx
import pytest
from bad_input import CASES, FRAMES, HEAD, LIMIT, PROTOBUF, page, traces
from google.rpc.status_pb2 import Status

ROOT = Path(__file__).parents[2]
SERVICES = {"traces": "trace.v1.Trace", "metrics": "metrics.v1.Metrics", "logs": "logs.v1.Logs"}
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
TABLES = {"traces": "otel_traces", "logs": "otel_logs"}


def export(channel: grpc.Channel, signal: str, content: bytes) -> grpc.StatusCode:
    path = f"/opentelemetry.proto.collector.{SERVICES[signal]}Service/Export"
    try:
        channel.unary_unary(path)(content, timeout=60)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def raw(address: str, sent: bytes, timeout_s: float = 20) -> bytes:
    """Send bytes as they are and return all that comes back until the other side closes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            head, _, rest = answer.partition(b"\r\n\r\n")
            if b"connection: close" not in head.lower() and rest:
                break
    return answer


@pytest.fixture(scope="module")
def exchange(start, read):
    """Send everything, a good request after each, over HTTP and where possible gRPC; return answers and books."""
    server = start(config={"max_request_bytes": LIMIT})
    answers, good = {}, 0
    options = [("grpc.max_send_message_length", -1)]
    with (
        httpx.Client(timeout=60) as client,
        grpc.insecure_channel(server.grpc, options=options) as channel,
    ):

        def check_alive() -> None:
            nonlocal good
            answer = client.post(
                server.url("traces"), headers={"content-type": PROTOBUF}, content=traces({})()
            )
            assert answer.status_code == 200, answer.text
            good += 1

        for case in CASES:
            answer = client.post(server.url(case.signal), headers=case.headers, content=case.make())
            code = export(channel, case.signal, case.make()) if case.over_grpc else None
            answers[case.what, case.group] = answer, code
            check_alive()
        for what, (sent, _) in FRAMES.items():
            answers[what] = raw(server.http, sent.encode("latin-1"))
            check_alive()
        # So that everything is stored, however busy the machine is.
        report = client.get(f"http://{server.api}/api/reports/usage", timeout=120)
        assert report.status_code == 200
        status = server.status()
    assert server.stop() == 0
    found = read(
        server.data,
        ledger="SELECT Signal AS signal, sum(Received) AS received, sum(Stored) AS stored,"
        " sum(Rejected) AS rejected, sum(Duplicate) AS duplicate,"
        " sum(ReceivedBytes) - sum(StoredBytes) - sum(RejectedBytes) - sum(DuplicateBytes) AS off"
        " FROM ledger GROUP BY signal",
        rows="SELECT 'traces' AS signal, count() AS n FROM otel_traces UNION ALL"
        " SELECT 'logs', count() FROM otel_logs UNION ALL"
        " SELECT 'metrics', count() FROM otel_metrics_histogram",
    )
    return server, answers, good, found, status


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group}: {case.what}")
def test_the_answer_is_the_documented_one(exchange, case):
    """The HTTP status and gRPC's code for it; a refusal is a google.rpc.Status that no client repeats."""
    answer, code = exchange[1][case.what, case.group]
    assert answer.status_code == case.answer, answer.text
    if code is not None:
        assert code is CODES.get(case.answer, grpc.StatusCode.OK)
    if case.answer >= 400:
        assert "retry-after" not in answer.headers
        if answer.headers["content-type"] == PROTOBUF:
            assert len(Status.FromString(answer.content).message) > 10


@pytest.mark.parametrize("what", FRAMES)
def test_bad_framing_is_answered_and_the_connection_closed(exchange, what):
    """One answer, a google.rpc.Status: never two, which would mean that a request was smuggled in."""
    answer = exchange[1][what]
    status = FRAMES[what][1]
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/x-protobuf" in head
    assert len(Status.FromString(body).message) > 5


def test_everything_is_counted_and_nothing_else_is_lost(exchange):
    """Rows and ledger by signal are exactly what the cases say, over both protocols, and what was good between."""
    _, _, good, found, status = exchange
    stored, rejected = {"traces": good, "logs": 0, "metrics": 0}, dict.fromkeys(SERVICES, 0)
    for case in CASES:
        times = 2 if case.over_grpc else 1
        stored[case.signal] += times * case.stored
        rejected[case.signal] += times * case.rejected
    assert (status["stored"], status["rejected"]) == (stored, rejected)
    assert {row["signal"]: row["n"] for row in found["rows"]} == stored
    books = {row["signal"]: row for row in found["ledger"]}
    for signal in SERVICES:
        row = books[signal]
        assert (row["stored"], row["rejected"]) == (stored[signal], rejected[signal])
        assert row["received"] == row["stored"] + row["rejected"] + row["duplicate"]
        assert row["off"] == 0


def test_nothing_bad_is_an_error_of_the_server(exchange):
    """The log has no trace of any of it."""
    assert "Traceback" not in exchange[0].errors()


@pytest.fixture(scope="module")
def impatient(start):
    return start(config={"receive_s": 1})


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("", None),
        ("POST /v1/traces HTTP/1.1\r\nHost: x\r\n", None),
        (f"{HEAD}Content-Length: 100\r\n\r\nhalf", 503),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", 503),
    ],
    ids=["silent", "slow head", "slow body", "slow chunks"],
)
def test_slow_clients_do_not_stay(impatient, sent, status):
    """A body that does not come is told to come again; who has not even asked is cut off."""
    began = time.monotonic()
    host, _, port = impatient.http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent.encode())
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    assert time.monotonic() - began >= 1
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()) if status else answer == b""
    assert (b"retry-after: 1" in answer) == (status == 503)
    assert impatient.status()["rejected"]["traces"] == 0


def test_a_slow_grpc_client_does_not_stay(impatient):
    """A call whose message does not come is cancelled, and holds nothing any more."""

    def never():
        time.sleep(8)
        yield b""

    with grpc.insecure_channel(impatient.grpc) as channel:
        path = f"/opentelemetry.proto.collector.{SERVICES['traces']}Service/Export"
        call = channel.stream_unary(path).future(never())
        assert call.code() is grpc.StatusCode.CANCELLED
        assert channel.unary_unary(path)(b"", timeout=20) == b""
    assert impatient.status()["rejected"]["traces"] == 0


def test_many_stalled_calls_of_one_client_keep_nobody_waiting(impatient):
    """Half of the threads are one connection's at most; its other calls are told to come again, others are served."""
    path = f"/opentelemetry.proto.collector.{SERVICES['traces']}Service/Export"
    local = [("grpc.use_local_subchannel_pool", 1)]
    over = threading.Event()

    def never():
        over.wait(60)
        yield b""

    with (
        grpc.insecure_channel(impatient.grpc, local) as stalled,
        grpc.insecure_channel(impatient.grpc, local) as channel,
    ):
        for each in (stalled, channel):
            assert each.unary_unary(path)(b"", timeout=20) == b""  # neither is new any more
        calls = [stalled.stream_unary(path).future(never()) for _ in range(200)]
        try:
            assert channel.unary_unary(path)(b"", timeout=20) == b""
            codes = Counter(call.code() for call in calls)
        finally:
            over.set()
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert codes[grpc.StatusCode.UNAVAILABLE] > 100


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        os.urandom(300),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(300),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\xff\xff\x04\x00\x00\x00\x00\x00" * 50,
    ],
    ids=["HTTP/1", "noise", "noise for frames", "settings too long"],
)
def test_bad_framing_at_the_grpc_port_ends_that_connection_only(impatient, sent):
    """GRPC closes it; calls on other connections go on."""
    with grpc.insecure_channel(impatient.grpc) as channel:
        path = f"/opentelemetry.proto.collector.{SERVICES['traces']}Service/Export"
        call = channel.unary_unary(path)
        assert call(b"", timeout=20) == b""
        host, _, port = impatient.grpc.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(sent)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        assert call(b"", timeout=20) == b""


def test_the_page_of_bad_input_is_current():
    """docs/reference/bad-input.md: run `python tests/bad_input.py > docs/reference/bad-input.md`."""
    assert (ROOT / "docs/reference/bad-input.md").read_text() == page()
