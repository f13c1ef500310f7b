"""HTTP/1.1 connections with limits: uvicorn's protocol, and what it lacks against slow, endless and countless clients.

* A request must arrive whole within a time, from its first byte; so must a connection's first. One that has been
  answered before its body was read is closed when that time is over.
* Request line and headers have a size.
* Connections have a number; beyond it, new ones are closed.

What the parser refuses (conflicting lengths, bad framing) is answered like everything else: by a google.rpc.Status.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from headgate.collector.descriptors import MOST_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEAD_BYTES = 32 << 10
SWEEP_S = 1.0
_LATER_S = 5.0


class _Answered:
    """What stands for a request that has been answered before the application saw it."""

    response_complete = True

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


class LimitedProtocol(HttpToolsProtocol):
    """One connection; `began_s` is when what it owes us began, None while it owes nothing."""

    most_connections = MOST_CONNECTIONS
    began_s: float | None = None
    head_bytes = 0
    in_head = True

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.began_s = self.loop.time()
        if len(self.connections) > self.most_connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Count what the parser cannot have called complete yet."""
        if self.in_head:
            self.head_bytes += len(data)
        super().data_received(data)
        if self.in_head and self.head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Let the time of a request begin."""
        super().on_message_begin()
        self.began_s = self.loop.time()

    def on_headers_complete(self) -> None:
        """End the head."""
        self.in_head = False
        # What came so far may be body in part: only where it is much, the headers are added up.
        if self.head_bytes > HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEAD_BYTES:
                self.cycle: Any = _Answered()
                self._refuse_head()
                return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Let the time of a request end."""
        super().on_message_complete()
        self.began_s = None
        self.in_head, self.head_bytes = True, 0

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(400, code_pb2.INVALID_ARGUMENT, msg)

    def _refuse_head(self) -> None:
        self._refuse(431, code_pb2.INVALID_ARGUMENT, f"the headers exceed {HEAD_BYTES} bytes")

    def _refuse(self, http_status: int, code: int, message: str) -> None:
        body = Status(code=code, message=message).SerializeToString()
        self.transport.write(
            b"%scontent-type: application/x-protobuf\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (STATUS_LINE[http_status], len(body), body)
        )
        self.transport.close()


async def close_late(servers: Sequence[Iterable[Any]], receive_s: float) -> None:
    """Close, for ever, connections whose request is not there in time; the application's own answer goes first."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        oldest_s = loop.time() - receive_s
        for connection in [each for connections in servers for each in connections]:
            late_s = oldest_s if connection.in_head else oldest_s - _LATER_S
            if connection.began_s is not None and connection.began_s < late_s:
                connection.transport.abort()
