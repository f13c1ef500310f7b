"""Receivers for what the instrumentation sends: in memory, and a real OTLP/HTTP server on loopback."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context, attach, detach
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headgate.instrumentation import telemetry
from headgate.instrumentation.processors import install
from headgate.instrumentation.recorder import Host, Private
from headgate.instrumentation.settings import OFF, OTEL
from headgate.instrumentation.switch import switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass
class Memory:
    """What was recorded in this process."""

    span_exporter: InMemorySpanExporter
    log_exporter: InMemoryLogRecordExporter
    tracers: TracerProvider
    loggers: LoggerProvider

    @property
    def spans(self) -> list[Any]:
        return list(self.span_exporter.get_finished_spans())

    @property
    def span(self) -> Any:
        (only,) = self.spans
        return only

    @property
    def events(self) -> list[Any]:
        return [item.log_record for item in self.log_exporter.get_finished_logs()]

    @property
    def event(self) -> Any:
        (only,) = self.events
        return only


def _memory() -> tuple[Memory, SimpleSpanProcessor, SimpleLogRecordProcessor]:
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    span_processor, log_processor = SimpleSpanProcessor(spans), SimpleLogRecordProcessor(logs)
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(span_processor)
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(log_processor)
    install(tracers, loggers)
    return Memory(spans, logs, tracers, loggers), span_processor, log_processor


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave telemetry off and nobody identified after each test."""
    token = attach(Context())
    yield
    switch.turn(OFF, "a test ended")
    detach(token)


def use(recorder: object) -> None:
    """Record with `recorder` from now on."""
    switch.turn(OTEL, "a test turned it on")
    telemetry._state.recorder = recorder  # type: ignore[assignment]
    telemetry._state.settings = telemetry.read()
    telemetry._state.generation = switch.generation


@pytest.fixture(params=["host", "private"])
def recorded(request: pytest.FixtureRequest) -> Memory:
    """Turn telemetry on, once through an application's SDK and once privately."""
    memory, spans, logs = _memory()
    use(Host(memory.tracers, memory.loggers) if request.param == "host" else Private(spans, logs))
    return memory


@pytest.fixture
def hosted() -> Memory:
    """Turn telemetry on through an application's SDK."""
    memory, _, _ = _memory()
    use(Host(memory.tracers, memory.loggers))
    return memory


@dataclass
class Sink:
    """A real OTLP/HTTP server; `answer` decides what it replies."""

    address: str = ""
    spans: list[Any] = field(default_factory=list)
    logs: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(attributes(each.resource))
                self.spans += [span for scope in each.scope_spans for span in scope.spans]
        elif path == "/v1/logs":
            for each in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.resources.append(attributes(each.resource))
                self.logs += [log for scope in each.scope_logs for log in scope.log_records]
        elif path == "/v1/metrics":
            for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics += [metric for scope in each.scope_metrics for metric in scope.metrics]

    def named(self, name: str) -> Any:
        """Return the one span called `name`."""
        (only,) = [span for span in self.spans if span.name == name]
        return only

    def wait(self, condition: Callable[[Sink], bool], seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, f"spans: {[s.name for s in self.spans]}"
            time.sleep(0.02)


def attributes(item: Any) -> dict[str, Any]:
    """Return the attributes of an OTLP message as plain values."""
    found = {}
    for pair in item.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind) if kind else None
        if kind == "array_value":
            value = [getattr(each, each.WhichOneof("value")) for each in value.values]
        found[pair.key] = value
    return found


@pytest.fixture(name="plain")
def _plain() -> Callable[[Any], dict[str, Any]]:
    return attributes


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Yield a server that accepts OTLP/HTTP and keeps what it gets."""
    received = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.requests += 1
            if received.answer is not None:
                received.answer(self)
                return
            received.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield received
    server.shutdown()
    server.server_close()
    thread.join()


APPS = Path(__file__).parent / "apps"
BIN = Path(sys.executable).parent


class Program:
    """A program of `apps/` under the real `opentelemetry-instrument`, on loopback."""

    def __init__(self, script: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [BIN / "opentelemetry-instrument", BIN / "python", APPS / script],
            env=environment,
            cwd=APPS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        assert port, self.process.communicate(timeout=10)[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> str:
        """End the program as its owner would and return what it wrote to stderr."""
        _, errors = self.process.communicate("\n", timeout=30)
        assert self.process.returncode == 0, errors
        return errors


def instrumented(
    address: str, *, only: Sequence[str] | None = None, **extra: str
) -> dict[str, str]:
    """Return an environment in which `opentelemetry-instrument` uses Headgate's distribution.

    Every instrumentation that is installed is loaded, which takes three times as long as all the
    rest, unless `only` names those that a program needs; our own are always loaded.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "HEADGATE_", "PYTEST_", "DO_NOT"))
    }
    if only is not None:
        known = {point.name for point in entry_points(group="opentelemetry_instrumentor")}
        others = {name for name in known if not name.startswith("headgate")} - set(only)
        kept["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = ",".join(sorted(others))
    return {
        **kept,
        "OTEL_PYTHON_DISTRO": "headgate",
        "OTEL_PYTHON_CONFIGURATOR": "headgate",
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        **extra,
    }


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """Return what makes the environment of an instrumented program."""
    return instrumented


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    """Return what starts an instrumented program; all are ended afterwards."""
    started: list[Program] = []

    def start(script: str, environment: dict[str, str]) -> Program:
        started.append(Program(script, environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()
