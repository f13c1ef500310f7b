"""Ten times what can be kept is offered: memory stays bounded, the rest is told to come again, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MIB = 1 << 20
BOUND_BYTES = 512 * MIB
JOURNAL_BYTES = 60 * MIB
SPANS, SPAN_BYTES = 500, 4000
OFFERED = 10 * JOURNAL_BYTES // (SPANS * SPAN_BYTES)
SENDERS = 12
PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HEADERS = {"content-type": "application/x-protobuf"}


def memory(pid: int, what: str) -> int:
    """Return VmRSS or VmHWM in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise AssertionError(what)


def body() -> bytes:
    """Return a request that does not compress: its journal record is as large as itself."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(SPANS):
        span = spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="op", kind=2)
        span.start_time_unix_nano = time.time_ns()
        span.end_time_unix_nano = span.start_time_unix_nano + 1000
        span.attributes.add(key="k").value.bytes_value = os.urandom(SPAN_BYTES)
    return request.SerializeToString()


class Offer(threading.Thread):
    """Sends requests one after the other, over HTTP or gRPC, and counts the answers."""

    def __init__(self, addresses: dict[str, str], count: int, *, over_grpc: bool) -> None:
        super().__init__()
        self._addresses = addresses
        self._count = count
        self._over_grpc = over_grpc
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        with (
            httpx.Client(timeout=60) as client,
            grpc.insecure_channel(
                self._addresses["otlp_grpc"], options=[("grpc.max_send_message_length", -1)]
            ) as channel,
        ):
            call = channel.unary_unary(PATH)
            for _ in range(self._count):
                self.answers[self._grpc(call) if self._over_grpc else self._http(client)] += 1

    def _http(self, client: httpx.Client) -> str:
        url = f"http://{self._addresses['otlp_http']}/v1/traces"
        answer = client.post(url, headers=HEADERS, content=body())
        told = 1 <= int(answer.headers.get("retry-after", 0)) <= 3
        return {200: "taken", 503: "refused" if told else "?"}.get(answer.status_code, "?")

    def _grpc(self, call: grpc.UnaryUnaryMultiCallable) -> str:
        try:
            call(body(), timeout=60)
        except grpc.RpcError as error:
            told = "google.rpc.retryinfo-bin" in dict(error.trailing_metadata())
            return "refused" if told and error.code() is grpc.StatusCode.UNAVAILABLE else "?"
        return "taken"


@pytest.fixture
def server(clickhouse, store, tmp_path):
    """Start the real server on a store elsewhere, so that its memory has no engine in it; yield pid and addresses."""
    data = tmp_path / "data"
    free = "127.0.0.1:0"
    command = (str(Path(sys.executable).with_name("headgate")), "serve", "--data", str(data))
    ports = ("--otlp-grpc", free, "--otlp-http", free, "--api", free)
    url = f"http://127.0.0.1:{clickhouse.port}/{store.database}"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("HEADGATE_")}
    with subprocess.Popen(
        [*command, *ports, "--store", url],
        env={
            **environ,
            "HEADGATE_JOURNAL_BYTES": str(JOURNAL_BYTES),
            "HEADGATE_SAMPLING": "{enabled: false}",
        },
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline()
        yield process.pid, json.loads((data / "headgate.lock").read_text())
        clickhouse.turn("works")
        process.terminate()
        process.wait(20)


def test_memory_stays_within_its_bound(server, clickhouse, store):
    """A store that hangs, a full journal, clients that go on: 512 MiB are not exceeded, what was taken is stored."""
    pid, addresses = server
    warm = Offer(addresses, 1, over_grpc=False)
    warm.run()
    report = f"http://{addresses['api']}/api/reports/usage"
    assert httpx.get(report, timeout=60).status_code == 200
    baseline = memory(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the high-water mark begins anew
    clickhouse.turn("hangs")
    offers = [
        Offer(addresses, OFFERED // SENDERS, over_grpc=number % 2 == 0) for number in range(SENDERS)
    ]
    for offer in offers:
        offer.start()
    for offer in offers:
        offer.join()
    answers = sum((offer.answers for offer in offers), Counter())
    assert set(answers) == {"taken", "refused"}
    assert answers["refused"] > 5 * answers["taken"] > 0
    clickhouse.turn("works")
    deadline = time.monotonic() + 120
    while httpx.get(f"http://{addresses['api']}/api/status", timeout=60).json()["backlog_bytes"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    peak = memory(pid, "VmHWM")
    assert peak - baseline < BOUND_BYTES, f"{(peak - baseline) / MIB:.0f} MiB"
    found = store.client().query("SELECT count() FROM otel_traces").result_rows
    assert found == [((answers["taken"] + 1) * SPANS,)]


TINY_SPANS = 440_000


def varint(value: int) -> bytes:
    """Return a protobuf varint."""
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def tiny_spans() -> bytes:
    """Return about as many spans as one request may have, of nothing but their ids: 30 bytes each."""
    spans = np.zeros((TINY_SPANS, 30), np.uint8)
    spans[:, [0, 1, 2, 3, 20, 21]] = (0x12, 28, 0x0A, 16, 0x12, 8)
    spans[:, 4:20] = spans[:, 22:30] = 1
    spans[:, 4:8] = spans[:, 22:26] = (
        np.arange(1, TINY_SPANS + 1, dtype="<u4").view(np.uint8).reshape(-1, 4)
    )
    scope = b"\x12" + varint(spans.size) + spans.tobytes()
    return b"\x0a" + varint(len(scope)) + scope


def test_a_request_of_very_many_tiny_spans_stays_within_the_bound(server, store):
    """What counts is what a request takes in memory, which is thirty times its bytes here."""
    pid, addresses = server
    warm = Offer(addresses, 1, over_grpc=False)
    warm.run()
    report = f"http://{addresses['api']}/api/reports/usage"
    assert httpx.get(report, timeout=60).status_code == 200
    baseline = memory(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    url = f"http://{addresses['otlp_http']}/v1/traces"
    answer = httpx.post(url, headers=HEADERS, content=tiny_spans(), timeout=60)
    assert answer.status_code == 200, answer.text
    assert httpx.get(report, timeout=120).status_code == 200  # stores it
    peak = memory(pid, "VmHWM")
    assert peak - baseline < BOUND_BYTES, f"{(peak - baseline) / MIB:.0f} MiB"
    found = store.client().query("SELECT count() FROM otel_traces").result_rows
    assert found == [(TINY_SPANS + SPANS,)]


HUGE_BYTES = 40 * MIB
HUGE_SENDERS, HUGE_ROUNDS = 12, 2


class Huge(threading.Thread):
    """Sends messages of 40 MiB on a connection of its own and counts the answers."""

    def __init__(self, address: str, filling: str) -> None:
        super().__init__()
        self._address = address
        self._filling = filling
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._address, options=options) as channel:
            call = channel.unary_unary(PATH)
            for _ in range(HUGE_ROUNDS):
                request = ExportTraceServiceRequest()
                span = request.resource_spans.add().scope_spans.add().spans.add(name="op", kind=2)
                span.trace_id, span.span_id = os.urandom(16), os.urandom(8)
                span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
                span.attributes.add(key="k").value.string_value = self._filling
                try:
                    call(request.SerializeToString(), timeout=60)
                except grpc.RpcError as error:
                    self.answers[error.code().name] += 1
                else:
                    self.answers["taken"] += 1


def test_huge_messages_over_grpc_stay_within_the_bound_too(server, clickhouse, store):
    """Twelve new connections send 40 MiB each at once, of whose size gRPC says nothing before it is there."""
    pid, addresses = server
    warm = Offer(addresses, 1, over_grpc=True)
    warm.run()
    baseline = memory(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    filling = "x" * HUGE_BYTES  # compresses well, so that the journal takes it
    senders = [Huge(addresses["otlp_grpc"], filling) for _ in range(HUGE_SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    answers = sum((sender.answers for sender in senders), Counter())
    assert set(answers) <= {"taken", "UNAVAILABLE"}
    assert answers["taken"]
    httpx.get(f"http://{addresses['api']}/api/reports/usage", timeout=60)  # stores what was taken
    peak = memory(pid, "VmHWM")
    assert peak - baseline < BOUND_BYTES, f"{(peak - baseline) / MIB:.0f} MiB"
    found = store.client().query("SELECT count() FROM otel_traces").result_rows
    assert found == [(answers["taken"] + SPANS,)]
