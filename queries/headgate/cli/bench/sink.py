"""A ClickHouse server that drains: it takes every insert and forgets it, and lets the engine answer all else.

    python -m headgate.cli.bench.sink DIRECTORY [SECONDS]

Each insert takes so many seconds, none unless given. Writes its port in one line, then serves until it is ended.
`GET /rows` says how many inserts came, and their bytes.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.store import embedded_store

if TYPE_CHECKING:
    from headgate.store import Store

_PIECE = 1 << 20


class Sink(ThreadingHTTPServer):
    """The server; counts what it drained."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, store: Store, pause_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = store
        self.pause_s = pause_s
        self.lock = threading.Lock()
        self.inserts = self.drained_bytes = 0

    def drained(self, size: int) -> None:
        """Count one insert."""
        with self.lock:
            self.inserts += 1
            self.drained_bytes += size


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Sink

    def setup(self) -> None:
        """Answer small requests at once."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        """Say what was drained; ClickHouse clients ask `/ping` so."""
        counted = {"inserts": self.server.inserts, "bytes": self.server.drained_bytes}
        self._say(200, json.dumps(counted).encode() if self.path == "/rows" else b"Ok.\n")

    def do_POST(self) -> None:
        """Drain an insert; let the engine answer anything else."""
        query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        streamed = self.headers.get("transfer-encoding") == "chunked"  # as only inserts are
        if streamed or "insert_deduplication_token" in query:
            self.server.drained(self._drain())
            time.sleep(self.server.pause_s)
            self._say(200, b"")
            return
        body = self._body()
        if body[:6].upper() == b"INSERT":  # the record of a migration
            self._say(200, b"")
            return
        sql = query.get("query") or body.decode()
        parameters = {
            k.removeprefix("param_"): v for k, v in query.items() if k.startswith("param_")
        }
        try:
            client = self.server.store.client()
            asked = self.headers.get("x-clickhouse-format")
            self._say(200, client.raw_query(sql, parameters=parameters, fmt=asked))
        except ClickHouseError as error:
            self._say(500, str(error).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _drain(self) -> int:
        if self.headers.get("transfer-encoding") == "chunked":
            return len(self._body())
        left = total = int(self.headers.get("content-length") or 0)
        view = memoryview(bytearray(_PIECE))
        while left:
            left -= self.rfile.readinto(view[: min(left, _PIECE)])
        return total

    def _say(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.send_header("x-clickhouse-summary", '{"written_rows":"0"}')
        if status != 200:
            self.send_header("x-clickhouse-exception-code", "1")
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve until ended."""
    sink = Sink(embedded_store(Path(sys.argv[1])), float((*sys.argv, "0")[2]))
    sink.store.create_database()
    sys.stdout.write(f"{sink.server_port}\n")
    sys.stdout.flush()
    sink.serve_forever()


if __name__ == "__main__":
    main()
