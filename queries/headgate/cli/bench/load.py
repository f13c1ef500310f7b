"""The load: a process of its own that sends requests built beforehand and says how long they took to be acknowledged.

    python -m headgate.cli.bench.load '{"protocol": "http", "address": "127.0.0.1:4318", ...}'

Writes one JSON object. A request that is refused for now is sent again after a pause; any other refusal ends the load.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headgate.cli.bench.traffic import Template
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

_TEMPLATES = 4
_TIMEOUT_S = 60.0
_PAUSE_S = 0.2
_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: requests of `items` items over some connections for `seconds`.

    As many as are acknowledged when `rate_per_s` is 0, else so many requests a second, at most `most` in all. With
    `tries_per_s` so many are tried, and what is refused does not come again.
    """

    protocol: str
    address: str
    signal: str
    items: int
    connections: int
    seconds: float
    rate_per_s: float = 0.0
    most: int = 10**9
    tries_per_s: float = 0.0


@dataclass(slots=True)
class Sent:
    """What was acknowledged; latencies in ms, of requests that were taken at once."""

    requests: int = 0
    refused: int = 0
    seconds: float = 0.0
    bytes: int = 0
    latency_ms: list[float] = field(default_factory=list)


class Connection(Protocol):
    """Sends a request; returns whether it was taken, False when it is to come again."""

    def send(self, body: memoryview) -> bool:
        """Send one request and wait for the answer; raises RuntimeError when it was refused for good."""


class HttpConnection:
    """One keep-alive connection of OTLP/HTTP, as plain as can be: the load shall cost little beside the collector."""

    def __init__(self, address: str, signal: Signal) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST /v1/{signal} HTTP/1.1\r\nhost: {address}\r\n"
            "content-type: application/x-protobuf\r\ncontent-length: "
        )

    def send(self, body: memoryview) -> bool:
        """Send one request and wait for the answer."""
        self._socket.sendall(f"{self._head}{len(body)}\r\n\r\n".encode())
        self._socket.sendall(body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, rest = answer.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        missing = int(lines.get(b"content-length", b"0")) - len(rest)
        while missing > 0:
            missing -= len(self._receive())
        status = int(head.split(b" ", 2)[1])
        if status in {429, 502, 503, 504}:
            return False
        if status != 200:
            raise RuntimeError(f"the collector answered {status}: {rest[:200]!r}")
        return True

    def _receive(self) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise RuntimeError("the collector closed the connection")
        return piece


class GrpcConnection:
    """One channel of OTLP/gRPC."""

    def __init__(self, address: str, signal: Signal) -> None:
        import grpc

        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        self._errors = grpc.RpcError
        self._busy = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
        self._channel = grpc.insecure_channel(address, options)
        self._export = self._channel.unary_unary(f"/{_SERVICES[signal]}/Export")

    def send(self, body: memoryview) -> bool:
        """Send one request and wait for the answer."""
        try:
            self._export(bytes(body), timeout=_TIMEOUT_S)
        except self._errors as error:
            if error.code() in self._busy:
                return False
            raise RuntimeError(
                f"the collector answered {error.code()}: {error.details()}"
            ) from error
        return True


_PROTOCOLS: dict[str, Callable[[str, Signal], Connection]] = {
    "http": HttpConnection,
    "grpc": GrpcConnection,
}


def run(load: Load) -> Sent:
    """Send the load; raises RuntimeError when the collector refuses it for good, OSError when it is gone."""
    signal = Signal(load.signal)
    now_ns = time.time_ns()
    templates = [
        [Template(signal, load.items, 100 * c + n, now_ns) for n in range(_TEMPLATES)]
        for c in range(load.connections)
    ]
    connections = [_PROTOCOLS[load.protocol](load.address, signal) for _ in range(load.connections)]
    sent = [Sent() for _ in connections]
    failures: list[BaseException] = []
    began_s = time.monotonic()

    def work(number: int) -> None:
        try:
            _send(load, connections[number], templates[number], number, began_s, sent[number])
        except (RuntimeError, OSError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(load.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Sent(
        requests=sum(each.requests for each in sent),
        refused=sum(each.refused for each in sent),
        seconds=time.monotonic() - began_s,
        bytes=sum(each.bytes for each in sent),
        latency_ms=[ms for each in sent for ms in each.latency_ms],
    )


def _send(
    load: Load,
    connection: Connection,
    templates: list[Template],
    number: int,
    began_s: float,
    sent: Sent,
) -> None:
    """Send this connection's share until the time is up."""
    rng = np.random.default_rng((time.time_ns(), number))
    pace_per_s = load.rate_per_s or load.tries_per_s
    share = load.most // load.connections + (number < load.most % load.connections)
    for turn, template in zip(range(share), cycle(templates), strict=False):
        if pace_per_s:
            due_s = began_s + (turn * load.connections + number) / pace_per_s
            time.sleep(max(0.0, due_s - time.monotonic()))
        if time.monotonic() - began_s >= load.seconds:
            break
        body = template.fresh(rng)
        before_s = asked_s = time.monotonic()
        while not (taken := connection.send(body)):
            sent.refused += 1
            if load.tries_per_s:
                break
            if time.monotonic() - asked_s > _TIMEOUT_S:
                raise RuntimeError("the collector has refused a request for a minute")
            time.sleep(_PAUSE_S)
            before_s = time.monotonic()
        if not taken:
            continue
        sent.latency_ms.append((time.monotonic() - before_s) * 1e3)
        sent.requests += 1
        sent.bytes += len(body)


def main() -> None:
    """Send what the argument says, and print what was acknowledged."""
    sent = run(Load(**json.loads(sys.argv[1])))
    latency_ms = np.array(sent.latency_ms or [0.0])
    sys.stdout.write(
        json.dumps(
            {
                "requests": sent.requests,
                "refused": sent.refused,
                "seconds": sent.seconds,
                "bytes": sent.bytes,
                "ack_p50_ms": float(np.quantile(latency_ms, 0.5)),
                "ack_p99_ms": float(np.quantile(latency_ms, 0.99)),
            }
        )
    )


if __name__ == "__main__":
    main()
