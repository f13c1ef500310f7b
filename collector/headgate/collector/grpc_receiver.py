"""OTLP/gRPC: three unary methods that take and give raw bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc

from headgate.collector.errors import CollectorError
from headgate.collector.signals import Signal
from headgate.collector.status import refusal

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headgate.collector.pipeline import Pipeline

SERVICES = {
    "opentelemetry.proto.collector.trace.v1.TraceService": Signal.TRACES,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": Signal.METRICS,
    "opentelemetry.proto.collector.logs.v1.LogsService": Signal.LOGS,
}
_THREADS = 64


class GrpcReceiver:
    """A gRPC server in front of a pipeline; `port` is the port it got."""

    def __init__(self, pipeline: Pipeline, host: str, port: int, max_request_bytes: int) -> None:
        """Bind the address; raises OSError when that cannot be done."""
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="headgate-grpc"),
            options=[
                ("grpc.so_reuseport", 0),  # otherwise a port in use goes unnoticed
                ("grpc.max_receive_message_length", max_request_bytes),
            ],
        )
        for service, signal in SERVICES.items():
            handler = grpc.unary_unary_rpc_method_handler(_export(pipeline, signal))
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
            )
        shown = f"[{host}]" if ":" in host else host
        try:
            self.port = int(self._server.add_insecure_port(f"{shown}:{port}"))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {shown}:{port}") from error

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self, grace_s: float) -> threading.Event:
        """Refuse new requests; the event is set when those under way are answered or `grace_s` has passed."""
        stopped: threading.Event = self._server.stop(grace_s)
        return stopped


def _export(pipeline: Pipeline, signal: Signal) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def export(body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            pipeline.accept(signal, body).result()
        except CollectorError as error:
            answer = refusal(error)
            context.set_trailing_metadata(answer.grpc_metadata)
            context.abort(answer.grpc_code, answer.body.message)
        return b""

    return export
