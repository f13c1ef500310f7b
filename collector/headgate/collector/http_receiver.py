"""OTLP/HTTP: POST /v1/traces, /v1/metrics, /v1/logs; protobuf and JSON on the same port, gzip, zstd or neither.

Whatever goes wrong, the answer is a google.rpc.Status in the request's encoding (protobuf where that is unknown), and
a request that is refused for good is counted, once its sender is known.

A bare ASGI application, since every layer costs each request: the sender is looked up and room is made by the headers,
before the body is read; small protobuf requests are taken in the event loop, the rest in threads.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToJson
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from headgate.collector.errors import (
    CollectorError,
    NoSuchMethod,
    Permanent,
    Retryable,
    Unsupported,
)
from headgate.collector.partial import response
from headgate.collector.receive import Received, content_encoding
from headgate.collector.signals import Signal
from headgate.collector.status import refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Future

    from google.protobuf.message import Message

    from headgate.collector.partial import Partial
    from headgate.collector.pipeline import Pipeline
    from headgate.collector.receive import Senders
    from headgate.collector.room import Room

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Answer = tuple[int, Sequence[tuple[bytes, bytes]], bytes]

log = logging.getLogger(__name__)
PROTOBUF, JSON = b"application/x-protobuf", b"application/json"
_PATHS = {f"/v1/{signal}": signal for signal in Signal}
_THREADS = 4
# What takes less time than handing it to a thread and back: checking and compressing 256 KiB takes about as long.
_SMALL = 256 << 10


class HttpReceiver:
    """The ASGI application in front of the pipelines."""

    def __init__(
        self,
        senders: Senders,
        room: Room,
        max_request_bytes: int,
        receive_s: float,
    ) -> None:
        """Share `room` with everybody who receives."""
        self._senders = senders
        self._room = room
        self._limit = max_request_bytes
        self._receive_s = receive_s
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="headgate-http")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not spoken here")
        kind, encoding, authorization, length = _head(scope["headers"])
        try:
            signal = _signal(scope)
            pipeline = self._senders.known(authorization)
            if pipeline is None:
                pipeline = await asyncio.to_thread(self._senders.pipeline, authorization)
            received = Received(self._room, self._limit)
            body = await self._read(receive, received, pipeline, signal, kind, length)
            if kind == PROTOBUF and len(body) <= _SMALL and encoding in _PLAIN:
                accepted = received.deliver(pipeline, signal, body)
            else:
                accepted = await asyncio.get_running_loop().run_in_executor(
                    self._pool, _deliver, received, pipeline, signal, kind, encoding, body
                )
            # Cancelled, it stays: the outcome is others' too, who sent the same.
            partial = await asyncio.wrap_future(accepted)
            answer = (
                _TAKEN[kind] if partial is None else _encoded(kind, 200, response(signal, partial))
            )
        except CollectorError as error:
            answer = _refused(kind, error)
        except _Gone:
            return
        except asyncio.CancelledError:
            # The grace of a stop has ended; at a 500 the sender would give up.
            answer = _refused(kind, Retryable("the collector is stopping"))
        except Exception:
            log.exception("%s failed", scope["path"])
            failed = Status(
                code=code_pb2.INTERNAL, message="the collector failed; its log says why"
            )
            answer = _encoded(kind, 500, failed)
        await send({"type": "http.response.start", "status": answer[0], "headers": answer[1]})
        await send({"type": "http.response.body", "body": answer[2]})

    async def _read(
        self,
        receive: Receive,
        received: Received,
        pipeline: Pipeline,
        signal: Signal,
        kind: bytes,
        length: int,
    ) -> bytes:
        """Return the body, held in `received`; on failure nothing is held, and what is refused for good is counted."""
        try:
            _check_head(received, kind, length)
            received.grow(max(length, 0))
            async with asyncio.timeout(self._receive_s):
                return await _pieces(receive, received, length)
        except BaseException as error:
            if isinstance(error, Permanent):
                pipeline.reject(signal, max(length, received.held))
            received.drop()
            if isinstance(error, TimeoutError):
                seconds = f"{self._receive_s:g} s"
                raise Retryable(f"the request took longer than {seconds} to arrive") from error
            raise


class _Gone(Exception):
    """The client has broken off: nobody reads an answer, and nothing was sent in full."""


def _head(headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, str, bytes, int]:
    """Return media type, content encoding, authorization and content length, -1 where it is not said."""
    kind = authorization = b""
    encoding = ""
    length = -1
    for name, value in headers:
        if name == b"content-type":
            kind = value if value in _TAKEN else value.partition(b";")[0].strip().lower()
        elif name == b"content-length":
            length = int(value)  # the parser has let digits through only
        elif name == b"content-encoding":
            encoding = content_encoding(value)
        elif name == b"authorization":
            authorization = value
    return kind, encoding, authorization, length


def _check_head(received: Received, kind: bytes, length: int) -> None:
    if kind not in _TAKEN:
        raise Unsupported(
            f"Content-Type {kind.decode('latin-1')!r} is not supported;"
            f" send {PROTOBUF.decode()} or {JSON.decode()}"
        )
    if length > received.limit:
        raise received.too_large()


async def _pieces(receive: Receive, received: Received, length: int) -> bytes:
    """Return the body; of an unknown length, room is made as it comes."""
    pieces = []
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        piece, more = message.get("body", b""), message.get("more_body", False)
        if length < 0:
            received.grow(len(piece))
            if received.held > received.limit:
                raise received.too_large()
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _deliver(
    received: Received, pipeline: Pipeline, signal: Signal, kind: bytes, encoding: str, body: bytes
) -> Future[Partial | None]:
    """Decompress, convert and hand over; on failure nothing is held any more."""
    try:
        plain = received.plain(encoding, body)
        if kind == JSON:
            plain = received.protobuf(signal, plain)
    except BaseException as error:
        if isinstance(error, Permanent):
            pipeline.reject(signal, len(body))
        received.drop()
        raise
    return received.deliver(pipeline, signal, plain)


def _signal(scope: dict[str, Any]) -> Signal:
    signal = _PATHS.get(scope["path"])
    if signal is None or scope["method"] != "POST":
        raise NoSuchMethod(
            f"{scope['method']} {scope['path']} is not possible; POST to {', '.join(_PATHS)}",
            404 if signal is None else 405,
        )
    return signal


def _refused(kind: bytes, error: CollectorError) -> Answer:
    answer = refusal(error)
    return _encoded(kind, answer.http_status, answer.body, answer.http_headers)


def _encoded(
    kind: bytes, http_status: int, message: Message, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Answer:
    if kind == JSON:
        body = MessageToJson(message, indent=None).encode()
    else:
        kind, body = PROTOBUF, message.SerializeToString()
    return http_status, [*_content(kind, body), *headers], body


def _content(kind: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", kind), (b"content-length", b"%d" % len(body))]


_PLAIN = ("", "identity")
_TAKEN: dict[bytes, Answer] = {
    PROTOBUF: (200, _content(PROTOBUF, b""), b""),
    JSON: (200, _content(JSON, b"{}"), b"{}"),
}
