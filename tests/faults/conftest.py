"""A ClickHouse over HTTP that fails on demand: the embedded engine behind what the client uses of the protocol."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.collector.warmup import warm_up
from headgate.store import server_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.store import Store

_INSERT = re.compile(rb"INSERT INTO `?(\w+)`?[^\n]* FORMAT Native\n")
_HEADERS_ONLY = {
    "database",
    "query",
    "session_id",
    "session_timeout",
    "query_id",
    "wait_end_of_query",
}


class FailingClickHouse:
    """Answers as the store behind it does, or fails as `mode` says; `inserts` are the tokens that came in.

    Modes: "works", "refuses" (closes the connection at once), "hangs" (takes the request and is silent until the mode
    changes), "resets" (takes half of the request), "forgets" (commits, then answers 500), "vanishes" (commits, then
    resets the connection), "busy" (answers that merges do not keep up).
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition()
        self.mode = "works"
        self._works_for: int | None = None
        self._then = ""
        self.inserts: list[str] = []
        self.failures = self._failures_before = 0
        self.defects: list[BaseException | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.answer(self)

            do_GET = do_POST  # noqa: N815  # the library's name

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                error = sys.exception()
                if not isinstance(error, OSError):  # as of connections that we reset ourselves
                    outer.defects.append(error)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def turn(self, mode: str) -> None:
        """Change the mode; those who hang are let go, unanswered."""
        with self._changed:
            self.mode, self._failures_before = mode, self.failures
            self._changed.notify_all()

    def work_for(self, inserts: int, then: str) -> None:
        """Work for so many inserts from now on, then change to another mode."""
        with self._changed:
            self.mode, self._works_for, self._then = "works", inserts, then
            self._failures_before = self.failures

    def wait_for_failures(self, count: int) -> None:
        """Return when so many requests have failed since the mode was set."""
        with self._changed:
            goal = self._failures_before + count
            assert self._changed.wait_for(lambda: self.failures >= goal, 30)

    def close(self) -> None:
        """Stop listening, so that the port is closed."""
        self.turn("refuses")
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request, or fail."""
        mode = self._mode_of(request)
        length = int(request.headers.get("content-length") or 0)
        if mode == "refuses":
            self._reset(request)
        elif mode == "resets":
            request.rfile.read(length // 2)
            self._reset(request)
        elif mode == "hangs":
            request.rfile.read(length)
            with self._changed:
                self.failures += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self.mode != "hangs", 60)
            self._reset(request, count=False)
        elif mode == "busy":
            request.rfile.read(length)
            self._say(
                request, 500, b"Code: 252. DB::Exception: Too many parts (3000). Merges are slow"
            )
            self._failed()
        else:
            status, data = self._run(request, self._body(request, length))
            if mode == "forgets":
                self._say(
                    request, 500, b"Code: 210. DB::Exception: the answer was lost (NETWORK_ERROR)"
                )
                self._failed()
            elif mode == "vanishes":
                self._reset(request)
            else:
                self._say(request, status, data)

    def _mode_of(self, request: BaseHTTPRequestHandler) -> str:
        with self._changed:
            if self._works_for is not None and "insert_deduplication_token" in request.path:
                if self._works_for == 0:
                    self.mode, self._works_for = self._then, None
                else:
                    self._works_for -= 1
            return self.mode

    def _body(self, request: BaseHTTPRequestHandler, length: int) -> bytes:
        if request.headers.get("transfer-encoding") != "chunked":
            return request.rfile.read(length)
        pieces = []
        while size := int(request.rfile.readline(), 16):
            pieces.append(request.rfile.read(size))
            request.rfile.readline()
        request.rfile.readline()
        return b"".join(pieces)

    def _run(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        arguments = {
            k: v[0]
            for k, v in parse_qs(urlsplit(request.path).query, keep_blank_values=True).items()
        }
        settings = {k: v for k, v in arguments.items() if k not in _HEADERS_ONLY}
        statement = arguments.get("query", "").encode()
        if statement.startswith(b"INSERT"):  # with its data apart
            statement, body = b"", statement + b"\n" + body
        database = arguments.get("database", self._store.database)
        client = self._store.sibling(database).client()
        try:
            if inserted := _INSERT.match(body):
                self.inserts.append(settings["insert_deduplication_token"])
                block = body[inserted.end() :]
                table = inserted[1].decode()
                client.raw_insert(table, insert_block=block, fmt="Native", settings=settings)
                return 200, b""
            sql = (statement or body).decode()
            format_ = request.headers.get("x-clickhouse-format")
            # Values come as ClickHouse's text already, and are passed on as that.
            given = {k[6:]: v for k, v in arguments.items() if k.startswith("param_")}
            return 200, client.raw_query(sql, parameters=given or None, fmt=format_)
        except ClickHouseError as error:
            return 500, str(error).encode()

    def _say(self, request: BaseHTTPRequestHandler, status: int, data: bytes) -> None:
        request.send_response(status)
        request.send_header("content-length", str(len(data)))
        request.send_header("x-clickhouse-summary", '{"written_rows":"0"}')
        if status != 200:
            code = re.search(rb"[Cc]ode:? (\d+)", data)
            request.send_header("x-clickhouse-exception-code", code[1].decode() if code else "1")
        request.end_headers()
        request.wfile.write(data)

    def _reset(self, request: BaseHTTPRequestHandler, *, count: bool = True) -> None:
        linger = struct.pack("ii", 1, 0)
        with contextlib.suppress(OSError):
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.close_connection = True
        request.connection.close()
        if count:
            self._failed()

    def _failed(self) -> None:
        with self._changed:
            self.failures += 1
            self._changed.notify_all()


@pytest.fixture
def clickhouse(store) -> Iterator[FailingClickHouse]:
    """Yield a server in front of the test's database."""
    server = FailingClickHouse(store)
    yield server
    server.close()
    assert server.defects == []


@pytest.fixture(scope="session", autouse=True)
def kernels():
    """Compile before anything is timed."""
    warm_up()


@pytest.fixture
def remote(clickhouse, store) -> Iterator[Store]:
    """Yield the test's database as a store behind that server."""
    found = server_store(f"http://127.0.0.1:{clickhouse.port}/{store.database}")
    yield found
    found.close()
