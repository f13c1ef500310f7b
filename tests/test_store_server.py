"""A ClickHouse server's address: what is wrong with it is one sentence, without its password."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from headgate.store import NoData, StoreError, server_store


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("localhost:8123", "localhost:8123"),
        ("clickhouse://me:secret@db:9000/x", "clickhouse://db:9000/x"),
        ("http://", "http://"),
        ("http:///x", "http:///x"),
        ("http://me:secret@db:port/x", "http://db:port/x"),
        ("http://me:secret@db:99999/x", "http://db:99999/x"),
        ("http://[::1/x", "http://[::1/x"),
    ],
)
def test_no_address(url, shown):
    """What cannot be an address is refused at once, with the shape of a right one."""
    with pytest.raises(StoreError) as caught:
        server_store(url)
    assert str(caught.value) == (
        f"--store {shown!r} is not a ClickHouse address;"
        " write http://user:password@host:8123/database"
    )


def test_unreachable_server():
    """A closed port is said plainly, where and why, and the password is not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = server_store(f"http://me:secret@127.0.0.1:{port}/x")
    for use in (store.client, store.tables, store.create_database):
        with pytest.raises(StoreError) as caught:
            use()
        assert str(caught.value) == (
            f"cannot use ClickHouse at http://127.0.0.1:{port}: Connection refused;"
            " check the address, the user and the password given with --store"
        )


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with one of the server's error texts."""

    text = b""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(500)
        self.send_header("X-ClickHouse-Exception-Code", self.text[6:].split(b".")[0].decode())
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    do_GET = do_POST  # noqa: N815 - the name that the base class calls

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing():
    """Start an HTTP server that refuses with a given text, as no ClickHouse server is at hand."""
    servers = []

    def start(text: bytes) -> str:
        handler = type("Handler", (Refusing,), {"text": text})
        servers.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever).start()
        return f"127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_wrong_password(refusing):
    """The server's own sentence is passed on, without codes and addresses."""
    address = refusing(
        b"Code: 516. DB::Exception: me: Authentication failed: password is incorrect, or there is"
        b" no user with such name. (AUTHENTICATION_FAILED) (version 26.9.1.1)\n"
    )
    with pytest.raises(StoreError) as caught:
        server_store(f"http://me:secret@{address}/x").client()
    assert str(caught.value) == (
        f"cannot use ClickHouse at http://{address}: me: Authentication failed: password is"
        " incorrect, or there is no user with such name;"
        " check the address, the user and the password given with --store"
    )


def test_missing_database(refusing):
    """A server without our database has no data yet, which is not a failure of the server."""
    address = refusing(b"Code: 81. DB::Exception: Database x does not exist. (UNKNOWN_DATABASE)\n")
    with pytest.raises(NoData, match=f"^there is no database 'x' at http://{address} yet$"):
        server_store(f"http://me:secret@{address}/x").client()


def test_defaults():
    """Without a path the database is headgate; a path names another."""
    assert server_store("http://db").database == "headgate"
    assert server_store("https://db:1/shop/").database == "shop"
    assert not server_store("http://db").embedded
