"""The extra `grpc`: the same telemetry by OTLP/gRPC, from the same distribution."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

APPS = Path(__file__).parent / "apps"
BIN = Path(sys.executable).parent


@pytest.fixture
def receiver(sink):
    """Yield the address of a real OTLP/gRPC server that hands what it gets to `sink`."""

    def take(path, reply):
        def export(self, request, context):
            sink.take(path, request.SerializeToString())
            return reply()

        return export

    server = grpc.server(ThreadPoolExecutor(3))
    for signal, base, add, reply in (
        (
            "traces",
            trace_service_pb2_grpc.TraceServiceServicer,
            trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
            trace_service_pb2.ExportTraceServiceResponse,
        ),
        (
            "logs",
            logs_service_pb2_grpc.LogsServiceServicer,
            logs_service_pb2_grpc.add_LogsServiceServicer_to_server,
            logs_service_pb2.ExportLogsServiceResponse,
        ),
        (
            "metrics",
            metrics_service_pb2_grpc.MetricsServiceServicer,
            metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
            metrics_service_pb2.ExportMetricsServiceResponse,
        ),
    ):
        add(type(signal, (base,), {"Export": take(f"/v1/{signal}", reply)})(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None).wait(5)


def run(environment, *command):
    """Run a program to its end."""
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_extra_is_satisfied():
    """To pip, the requirements of the extra exist and agree with the rest, without looking further."""
    wanted = "headgate-instrumentation[grpc]"
    done = run(
        None,
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-index",
        "--no-input",
        wanted,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"already satisfied: opentelemetry-exporter-otlp-proto-grpc", done.stdout)


def test_everything_arrives_by_grpc(environment, receiver, sink, plain):
    """With OTEL_EXPORTER_OTLP_PROTOCOL=grpc spans, events and identity arrive as they do by HTTP."""
    settings = environment(
        receiver, only=(), OTEL_EXPORTER_OTLP_PROTOCOL="grpc", HEADGATE_EXIT_TIMEOUT="30"
    )
    command = (BIN / "opentelemetry-instrument", BIN / "python", APPS / "victim.py", "20")
    done = run(settings, *command)
    assert (done.stdout, done.returncode, done.stderr) == ("total 210\nat exit\n", 3, "")
    calls = [plain(span) for span in sink.spans if span.name == "__main__.work"]
    assert len(calls) == 22
    assert [call.get("user.id") for call in calls].count("u1") == 20
    assert [log.event_name for log in sink.logs] == ["session.start", "done", "session.end"]
    assert sink.requests == 0  # nothing went by HTTP


def test_the_doctor_speaks_grpc(environment, receiver, sink):
    """The doctor sends its span the way the application would."""
    settings = environment(receiver, only=(), OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    done = run(settings, sys.executable, "-m", "headgate.instrumentation", "doctor")
    assert done.returncode == 0, done.stdout
    assert sink.named("headgate.doctor")


def test_nobody_listens_to_grpc(environment):
    """A collector that is down costs one warning by gRPC too, and no waiting at exit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    settings = environment(address, only=(), OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    command = (BIN / "opentelemetry-instrument", BIN / "python", APPS / "victim.py", "20")
    done = run(settings, *command)
    assert (done.stdout, done.returncode) == ("total 210\nat exit\n", 3)
    assert len(done.stderr.splitlines()) <= 1, done.stderr
