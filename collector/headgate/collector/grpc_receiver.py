"""OTLP/gRPC: three unary methods that take and give raw bytes.

A call is looked at before its message is read: the methods are registered as taking streams, which is the same on the
wire, so that the message is asked for only once the sender is known and there is room. gRPC does not say how long a
message will be: `headgate.collector.grpc_sizes` guesses, and the room is corrected when it is there.

A message over the limit is refused by gRPC itself, which tells us no more than that the call has ended; unless the
sender's own deadline has passed or we gave the call up, that is how it is counted. (A sender that breaks off half-way
in a message, with time left, is therefore counted as well, as one item.)
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc

from headgate.collector.errors import CollectorError, Malformed, Retryable
from headgate.collector.grpc_sizes import Sizes
from headgate.collector.partial import response
from headgate.collector.receive import Received
from headgate.collector.signals import Signal
from headgate.collector.status import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headgate.collector.pipeline import Pipeline
    from headgate.collector.receive import Senders
    from headgate.collector.room import Room

SERVICES = {
    "opentelemetry.proto.collector.trace.v1.TraceService": Signal.TRACES,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": Signal.METRICS,
    "opentelemetry.proto.collector.logs.v1.LogsService": Signal.LOGS,
}
_THREADS = 64
_SWEEP_S = 1.0
# New connections read at once may send `max_request_bytes` each, uncounted: that much, or two of them.
_UNCOUNTED_BYTES = 128 << 20
_SLOW_S = 2.0
# Each call that is read has a thread: one connection gets half of them, and when few are left, slow calls end sooner.
_AT_ONCE = _THREADS // 2
_CROWD = _THREADS * 3 // 4
_OPTIONS = (
    ("grpc.max_concurrent_streams", 256),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.keepalive_time_ms", 60_000),  # ask whether a silent client is still there
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_connection_idle_ms", 600_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # clients may ask, too
)


class GrpcReceiver:
    """A gRPC server in front of the pipelines; `port` is the port it got."""

    def __init__(
        self,
        senders: Senders,
        room: Room,
        host: str,
        port: int,
        max_request_bytes: int,
        *,
        credentials: grpc.ServerCredentials | None = None,
        receive_s: float,
        most_connections: int,
        shared: bool = False,
    ) -> None:
        """Bind the address, in plain text unless there are credentials; raises OSError when that cannot be done.

        Beyond `most_connections` new ones are closed. `shared`: other workers may bind the address, too.
        """
        self._senders = senders
        self._room = room
        self._limit = max_request_bytes
        self._patience = Patience(receive_s)
        self._sizes = Sizes(
            max_request_bytes,
            max(2, min(_UNCOUNTED_BYTES // max_request_bytes, _THREADS // 4)),
            self._patience.hurry,
            at_once=_AT_ONCE,
        )
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="headgate-grpc"),
            options=[
                *_OPTIONS,
                ("grpc.so_reuseport", int(shared)),  # otherwise a port in use goes unnoticed
                ("grpc.max_receive_message_length", max_request_bytes),
                ("grpc.max_allowed_incoming_connections", most_connections),
            ],
        )
        for service, signal in SERVICES.items():
            handler = grpc.stream_unary_rpc_method_handler(self._export(signal))
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
            )
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = int(
                self._server.add_secure_port(shown, credentials)
                if credentials
                else self._server.add_insecure_port(shown)
            )
        except RuntimeError as error:
            raise OSError(f"cannot listen on {shown}") from error

    def start(self) -> None:
        """Begin to answer."""
        self._patience.start()
        self._server.start()

    def stop(self, grace_s: float) -> threading.Event:
        """Refuse new requests; the event is set when those under way are answered or `grace_s` has passed."""
        self._patience.stop()
        stopped: threading.Event = self._server.stop(grace_s)
        return stopped

    def _export(self, signal: Signal) -> Callable[[Iterator[bytes], grpc.ServicerContext], bytes]:
        def export(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            received = Received(self._room, self._limit)
            connection = context.peer()
            try:
                pipeline = self._senders.pipeline(_authorization(context))
                received.grow(self._sizes.expected(connection))
                with self._sizes.reading(connection) as is_new:
                    body = self._read(messages, context, pipeline, signal, is_new=is_new)
                    self._sizes.learn(connection, len(body))
                    received.grow(len(body) - received.held)
                partial = received.deliver(pipeline, signal, body).result()
            except CollectorError as error:
                received.drop()
                self._senders.refusals.count(error)
                answer = refusal(error)
                context.set_trailing_metadata(answer.grpc_metadata)
                context.abort(answer.grpc_code, answer.body.message)
            except BaseException:
                received.drop()
                raise
            return b"" if partial is None else response(signal, partial).SerializeToString()

        return export

    def _read(
        self,
        messages: Iterator[bytes],
        context: grpc.ServicerContext,
        pipeline: Pipeline,
        signal: Signal,
        *,
        is_new: bool,
    ) -> bytes:
        """Return the call's message; raises Malformed or Retryable when there is none."""
        self._patience.begin(context, is_new=is_new)
        message: bytes | None = None
        # How a call ends that gRPC has refused: as cancelled, or, if that is not known yet, without a message.
        with contextlib.suppress(grpc.RpcError):
            message = next(messages, None)
        late = self._patience.end(context)
        if message is not None:
            return message
        remaining_s = context.time_remaining()
        if late or (remaining_s is not None and remaining_s <= 0):
            raise Retryable("the message did not arrive in time")
        pipeline.books.reject(signal, self._limit + 1)
        raise Malformed(f"the call had no message, or one of more than {self._limit} bytes")


class Patience:
    """Cancels calls whose message does not arrive in time; one thread looks after all of them."""

    def __init__(self, receive_s: float) -> None:
        self._receive_s = receive_s
        self._waiting: dict[grpc.ServicerContext, tuple[float, bool]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headgate-patience", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()

    def begin(self, context: grpc.ServicerContext, *, is_new: bool) -> None:
        """Let the time of a call run, a new connection's where it is one."""
        self._waiting[context] = (time.monotonic(), is_new)

    def end(self, context: grpc.ServicerContext) -> bool:
        """Stop the time of a call; return whether it was cancelled for being late."""
        return self._waiting.pop(context, None) is None

    def hurry(self) -> None:
        """Cancel the new connection's call whose message takes longest, if that is long: others wait for its place."""
        new = [(began_s, each) for each, (began_s, is_new) in list(self._waiting.items()) if is_new]
        began_s, slowest = min(new, key=lambda call: call[0], default=(float("inf"), None))
        if slowest is not None and began_s < time.monotonic() - _SLOW_S:
            self._cancel(slowest)

    def _cancel(self, context: grpc.ServicerContext) -> None:
        if self._waiting.pop(context, None) is not None:
            context.cancel()

    def _run(self) -> None:
        while not self._stopping.wait(_SWEEP_S):
            crowded = len(self._waiting) >= _CROWD
            patience_s = min(_SLOW_S, self._receive_s) if crowded else self._receive_s
            oldest_s = time.monotonic() - patience_s
            for context, (began_s, _) in list(self._waiting.items()):
                if began_s < oldest_s:
                    self._cancel(context)


def _authorization(context: grpc.ServicerContext) -> bytes:
    for key, value in context.invocation_metadata():
        if key == "authorization":
            return value if isinstance(value, bytes) else value.encode()
    return b""
