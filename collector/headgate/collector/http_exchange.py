"""One OTLP/HTTP request and its answer: POST /v1/traces, /v1/metrics, /v1/logs; protobuf or JSON, compressed or not.

The sender is looked up and room is made by the headers, before the body is read. Small protobuf requests are taken in
the event loop, the rest in threads. A request that is refused for good is counted, once its sender is known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from headgate.collector.errors import (
    CollectorError,
    NoSuchMethod,
    Permanent,
    Unsupported,
)
from headgate.collector.http_answer import JSON, PROTOBUF, Answer, failed, refused, taken
from headgate.collector.http_protocol import HEAD_BYTES
from headgate.collector.receive import Received, content_encoding
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from headgate.collector.partial import Partial
    from headgate.collector.pipeline import Pipeline
    from headgate.collector.receive import Senders
    from headgate.collector.room import Room

log = logging.getLogger(__name__)
_PATHS = {f"/v1/{signal}".encode(): signal for signal in Signal}
_KINDS = (PROTOBUF, JSON)
_PLAIN = ("", "identity")
# What takes less time than handing it to a thread and back: checking and compressing 256 KiB takes about as long.
_SMALL = 256 << 10
# Bytes of a chunk of one byte.
_CHUNK_OVERHEAD = 6


@dataclass(frozen=True, slots=True)
class Service:
    """What all exchanges share; `pool` are the threads for what takes long."""

    senders: Senders
    room: Room
    max_request_bytes: int
    pool: Executor
    loop: asyncio.AbstractEventLoop


class Exchange:
    """One request; everything but what says otherwise is called in the event loop's thread.

    `answer` is there when `answered` is called. `keep_alive` says whether the client may send another request after
    it, `length` how many bytes of body it announced (-1: it did not), `filled` how many came.
    """

    def __init__(self, service: Service, answered: Callable[[], None]) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.method = b""
        self.keep_alive = True
        self.expects_continue = False
        self.begun = self.complete = False
        self.length = -1
        self.filled = 0
        self.answer: Answer | None = None
        self._answered = answered
        self._service = service
        self._received = Received(service.room, service.max_request_bytes)
        self._signal: Signal | None = None
        self._pipeline: Pipeline | None = None  # None until it is open, too
        self._sender_known = False
        self._kind = b""
        self._encoding = ""
        self._authorization = b""
        self._body: bytes | bytearray = b""

    @property
    def head_size(self) -> int:
        """How many bytes target and headers have."""
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def is_wasteful(self, fed: int) -> bool:
        """Return whether so many bytes are more than the chunks of a body need: endless trailers, say."""
        return self.length < 0 and fed > _CHUNK_OVERHEAD * self.filled + 2 * HEAD_BYTES

    def begin(self) -> None:
        """Look at the headers: find the sender and make room, or refuse."""
        self.begun = True
        try:
            self._read_headers()
            self._signal = self._find_signal()
            self._pipeline = self._service.senders.known(self._authorization)
            self._sender_known = True
            self._check()
            self._received.grow(max(self.length, 0))
        except CollectorError as error:
            self._refuse(error)

    def _read_headers(self) -> None:
        for name, value in self.headers:
            if name == b"content-type":
                self._kind = value if value in _KINDS else value.partition(b";")[0].strip().lower()
            elif name == b"content-length":
                self.length = int(value)  # the parser has let digits through only
            elif name == b"content-encoding":
                self._encoding = content_encoding(value)
            elif name == b"authorization":
                self._authorization = value
            elif name == b"expect":
                self.expects_continue = value.lower() == b"100-continue"

    def _find_signal(self) -> Signal:
        path = _path(self.url)
        signal = _PATHS.get(path)
        if signal is None or self.method != b"POST":
            raise NoSuchMethod(
                f"{self.method.decode('latin-1')} {path.decode('latin-1')} is not possible;"
                f" POST to {', '.join(known.decode() for known in _PATHS)}",
                404 if signal is None else 405,
            )
        return signal

    def _check(self) -> None:
        if self._kind not in _KINDS:
            raise Unsupported(
                f"Content-Type {self._kind.decode('latin-1')!r} is not supported;"
                f" send {PROTOBUF.decode()} or {JSON.decode()}",
                (b"accept", b"%s, %s" % (PROTOBUF, JSON)),
            )
        if self.length > self._received.limit:
            raise self._received.too_large()

    def space(self) -> memoryview:
        """Return where the rest of a body of known length goes; `filled` tells how much is there."""
        if not isinstance(self._body, bytearray):
            self._body = bytearray(self.length)
        return memoryview(self._body)[self.filled :]

    def add(self, data: memoryview) -> None:
        """Take a piece of the body; of an unknown length, room is made as it comes."""
        if self.answer is not None:
            self.filled += len(data)
            return
        if self.length >= 0:
            if len(data) == self.length:
                self._body = bytes(data)
            else:
                self.space()[: len(data)] = data
        else:
            try:
                self._received.grow(len(data))
                if self._received.held > self._received.limit:
                    raise self._received.too_large()
            except CollectorError as error:
                self._refuse(error)
                return
            if not isinstance(self._body, bytearray):
                self._body = bytearray()
            self._body += data
        self.filled += len(data)

    def end(self) -> None:
        """Hand over a request whose body is there."""
        self.complete = True
        signal, pipeline = self._signal, self._pipeline
        if self.answer is not None or signal is None:
            return
        body, self._body = bytes(self._body), b""
        small = self._kind == PROTOBUF and len(body) <= _SMALL and self._encoding in _PLAIN
        if pipeline is None or not small:
            self._service.pool.submit(self._deliver, signal, body)
            return
        try:
            accepted = self._received.deliver(pipeline, signal, body)
        except CollectorError as error:
            self._turn_away(error)
        except Exception as error:  # noqa: BLE001  # answered and logged: the connection goes on
            self._fail(error)
        else:
            accepted.add_done_callback(partial(self._later, self._tell, signal))

    def give_up(self, error: CollectorError) -> None:
        """Refuse a request that is not answered, for a reason that is not in it."""
        if self.complete:
            self._turn_away(error)
        elif self.answer is None:
            self._refuse(error)

    def drop(self) -> None:
        """Forget a request whose client is gone; one that is handed over already is taken all the same."""
        if not self.complete:
            self._received.drop()
            self._body = b""

    def _deliver(self, signal: Signal, body: bytes) -> None:
        """Decompress, convert and hand over; in a thread of the pool."""
        received, pipeline = self._received, self._pipeline
        try:
            try:
                pipeline = pipeline or self._service.senders.pipeline(self._authorization)
                plain = received.plain(self._encoding, body)
                if self._kind == JSON:
                    plain = received.protobuf(signal, plain)
            except BaseException as error:
                if isinstance(error, Permanent) and pipeline is not None:
                    pipeline.books.reject(signal, len(body))
                received.drop()
                raise
            accepted = received.deliver(pipeline, signal, plain)
        except CollectorError as error:
            self._later(self._turn_away, error)
        except Exception as error:  # noqa: BLE001  # answered and logged: the connection goes on
            self._later(self._fail, error)
        else:
            accepted.add_done_callback(partial(self._later, self._tell, signal))

    def _later(self, action: Callable[..., None], *arguments: object) -> None:
        """Go on in the event loop's thread, unless it has ended and with it the connection."""
        if not self._service.loop.is_closed():
            self._service.loop.call_soon_threadsafe(action, *arguments)

    def _tell(self, signal: Signal, accepted: Future[Partial | None]) -> None:
        """Answer a request whose fate is known."""
        try:
            self._answer(taken(self._kind, signal, accepted.result()))
        except CollectorError as error:
            self._turn_away(error)
        except Exception as error:  # noqa: BLE001  # answered and logged: the connection goes on
            self._fail(error)

    def _refuse(self, error: CollectorError) -> None:
        """Answer before the body is there, and count what is refused for good."""
        if self.expects_continue:
            self.keep_alive = (
                False  # its body will not come, and nothing marks where the next request begins
            )
        if self._sender_known and self._signal is not None and isinstance(error, Permanent):
            self._count(self._signal, max(self.length, self._received.held))
        self._received.drop()
        self._body = b""
        self._turn_away(error)

    def _count(self, signal: Signal, size: int) -> None:
        """Count this request as rejected; where its sender's pipeline is not open yet, in a thread that opens it."""
        pipeline = self._pipeline
        if pipeline is not None:
            pipeline.books.reject(signal, size)
            return
        senders, authorization = self._service.senders, self._authorization
        self._service.pool.submit(
            lambda: senders.pipeline(authorization).books.reject(signal, size)
        )

    def _turn_away(self, error: CollectorError) -> None:
        if self.answer is None:
            self._service.senders.refusals.count(error)
            self._answer(refused(self._kind, error))

    def _fail(self, error: Exception) -> None:
        log.error("%s failed", self.url.decode("latin-1"), exc_info=error)
        self._answer(failed(self._kind))

    def _answer(self, answer: Answer) -> None:
        if self.answer is None:
            self.answer = answer
            self._answered()


def _path(target: bytes) -> bytes:
    """Return the path of a request's target, which may be a whole URL (RFC 9112, 3.2.2)."""
    if target.startswith((b"http://", b"https://")):
        target = b"/" + target.partition(b"//")[2].partition(b"/")[2]
    return target.partition(b"?")[0]
