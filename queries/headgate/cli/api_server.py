"""The API's HTTP servers: one for its address, and a socket for this machine where TLS would shut its commands out."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import uvicorn

from headgate.collector.http_protocol import LimitedProtocol, close_late

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from headgate.cli.tls import Certificates


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the caller's: several servers share this process


class ApiServers:
    """Serves one application on several sockets: with TLS where there are certificates, but for local ones."""

    def __init__(
        self,
        app: Any,
        certificates: Certificates | None,
        *,
        keep_alive_s: int,
        most_connections: int,
        grace_s: int,
    ) -> None:
        """Keep idle connections for `keep_alive_s`; a stop waits for answers for `grace_s`.

        Beyond `most_connections`, of each socket, new ones are closed.
        """
        self._app = app
        self._keep_alive_s = keep_alive_s
        self._grace_s = grace_s
        self._certificates = certificates

        class Protocol(LimitedProtocol):
            pass

        Protocol.most_connections = most_connections
        self._protocol = Protocol
        self._servers: list[_Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self, listener: socket.socket, *, local: bool = False) -> None:
        """Begin to answer; return when it does, or has failed."""
        context = None if local or self._certificates is None else self._certificates.factory
        server = _Server(self._config(context))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        self._servers.append(server)
        self._tasks.append(task)
        # uvicorn offers a flag, not an event.
        while not (server.started or task.done()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def _config(self, context: Callable[..., Any] | None) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            http=self._protocol,
            ws="none",
            log_level="error",  # what clients do wrong is answered and counted
            timeout_keep_alive=self._keep_alive_s,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=self._grace_s,
            ssl_context_factory=context,
        )

    def stop(self) -> None:
        """Take nothing more."""
        for server in self._servers:
            server.should_exit = True

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """What ends when all have stopped."""
        return self._tasks

    async def close_late(self, receive_s: float) -> None:
        """Close connections whose request does not arrive in time, until cancelled."""
        await close_late([each.server_state.connections for each in self._servers], receive_s)
