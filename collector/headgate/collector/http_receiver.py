"""OTLP/HTTP: listens, and looks after the connections."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from headgate.collector.descriptors import MOST_CONNECTIONS
from headgate.collector.http_connection import READ_BYTES, Connection
from headgate.collector.http_exchange import Service
from headgate.collector.http_protocol import SWEEP_S

if TYPE_CHECKING:
    import socket
    import ssl

    from headgate.collector.receive import Senders
    from headgate.collector.room import Room

_THREADS = 4
_BACKLOG = 2048
_POLL_S = 0.02


class HttpReceiver:
    """A server of OTLP/HTTP in front of the pipelines; to be used in one event loop."""

    def __init__(
        self,
        senders: Senders,
        room: Room,
        max_request_bytes: int,
        *,
        receive_s: float,
        keep_alive_s: float,
        most_connections: int = MOST_CONNECTIONS,
        read_bytes: int = READ_BYTES,
    ) -> None:
        """Share `room` with everybody who receives; a request may take `receive_s` to arrive.

        A connection may be idle for `keep_alive_s`; beyond `most_connections` new ones are closed. At most
        `read_bytes` are read at once.
        """
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="headgate-http")
        loop = asyncio.get_running_loop()
        self._service = Service(senders, room, max_request_bytes, pool, loop)
        self._receive_s = receive_s
        self._keep_alive_s = keep_alive_s
        self._most_connections = most_connections
        self._connections: set[Connection] = set()
        self._scratch = bytearray(read_bytes)

    async def listen(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        """Begin to answer, over TLS where there is a context."""
        self._server = await self._service.loop.create_server(
            self._connect,
            sock=listener,
            ssl=context,
            ssl_handshake_timeout=self._receive_s if context else None,
            backlog=_BACKLOG,
        )
        self._sweeping = asyncio.create_task(self._sweep())

    async def serve_until(self, stopping: asyncio.Event, grace_s: float) -> None:
        """Return when `stopping` is set and what was asked is answered, or has been refused after `grace_s`."""
        await stopping.wait()
        self._server.close()
        for connection in list(self._connections):
            connection.shutdown()
        deadline_s = self._service.loop.time() + grace_s
        # Connections end one by one, and by themselves.
        while self._connections and self._service.loop.time() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        self._sweeping.cancel()
        for connection in list(self._connections):
            connection.stop()
        await asyncio.sleep(0)  # what was written goes out

    def _connect(self) -> Connection:
        return Connection(
            self._service, self._scratch, time.time, self._made, self._connections.discard
        )

    def _made(self, connection: Connection) -> bool:
        self._connections.add(connection)
        return len(self._connections) <= self._most_connections

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = self._service.loop.time()
            for connection in list(self._connections):
                connection.look(now_s, self._receive_s, self._keep_alive_s)
