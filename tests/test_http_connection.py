"""Requests are told apart by their framing alone, wherever the bytes are cut, and answered in their order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spans import pipeline, request, wait_until

from headgate.collector.http_receiver import HttpReceiver
from headgate.collector.refusals import Refusals
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headgate.collector.pipeline import Pipeline

LIMIT = 300_000
HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"


@dataclass
class Anyone:
    """Everybody sends to one pipeline; `open` says whether it is open already."""

    own: Pipeline
    open: bool = True
    refusals: Refusals = field(default_factory=Refusals)

    def known(self, _authorization: bytes) -> Pipeline | None:
        return self.own if self.open else None

    def pipeline(self, _authorization: bytes) -> Pipeline:
        return self.own


@pytest.fixture
def into(store, tmp_path):
    made = pipeline(store, tmp_path / "journal")
    yield made
    made.close(20)


@asynccontextmanager
async def serving(
    senders: Anyone, read_bytes: int, receive_s: float = 60, keep_alive_s: float = 60
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve, and yield a connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    receiver = HttpReceiver(
        senders,
        senders.own.room,
        LIMIT,
        receive_s=receive_s,
        keep_alive_s=keep_alive_s,
        read_bytes=read_bytes,
    )
    stopping = asyncio.Event()
    await receiver.listen(listener, None)
    ended = asyncio.create_task(receiver.serve_until(stopping, 20))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    yield reader, writer
    writer.close()
    stopping.set()
    await ended


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one answer."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), headers, body


def whole(body: bytes, head: bytes = HEAD) -> bytes:
    return b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


def chunked(body: bytes, piece: int) -> bytes:
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n"


REQUESTS = {
    "whole": lambda body, _: (whole(body), 200),
    "chunked": lambda body, piece: (chunked(body, piece), 200),
    "empty": lambda _body, _piece: (whole(b""), 200),
    "no body": lambda _body, _piece: (HEAD + b"\r\n", 200),
    "not protobuf": lambda body, _: (whole(b"\xff" + body), 400),
    "like a head": lambda _body, _piece: (whole(b"\r\n\r\n" + HEAD), 400),
    "elsewhere": lambda body, _: (whole(body, HEAD.replace(b"traces", b"nothing")), 404),
    "other type": lambda body, _: (whole(body, HEAD.replace(b"x-protobuf", b"x-y")), 415),
    "too large": lambda body, _: (whole(body + bytes(LIMIT)), 413),
}


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(REQUESTS)), st.integers(1, 9), st.integers(1, 400)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([1, 7, 64, 1000, 262_144]),
    st.booleans(),
)
def check_order(into: Pipeline, kinds, read_bytes, is_open):
    """Send several requests at once; each has the answer that it has when it is alone."""
    sent, expected = b"", []
    for number, (kind, spans, piece) in enumerate(kinds):
        first = (into.books.received[Signal.TRACES] + number) * 1000
        content, status = REQUESTS[kind](request(range(first, first + spans)), piece)
        if kind == "too large" and read_bytes < 64:
            continue  # a byte at a time it takes seconds
        sent += content
        expected.append(status)

    async def exchange() -> list[int]:
        async with serving(Anyone(into, is_open), read_bytes) as (reader, writer):
            writer.write(sent)
            return [(await answer(reader))[0] for _ in expected]

    assert asyncio.run(exchange()) == expected
    assert into.room.used <= into.room.limit_bytes


def test_requests_sent_at_once_are_answered_in_their_order(into):
    """Whatever their framing, and however few bytes are read at a time; afterwards nothing is held any more."""
    check_order(into)
    into.flush()
    assert into.room.used == 0


def test_a_request_in_two_pieces_costs_no_room_when_its_client_goes(into):
    """What was held for a body is given back when the connection ends before it is there."""

    async def exchange() -> None:
        async with serving(Anyone(into), 1000) as (_, writer):
            writer.write(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
            await asyncio.to_thread(wait_until, lambda: into.room.used == 1000)

    asyncio.run(exchange())
    assert into.room.used == 0


@pytest.mark.parametrize(
    ("head", "statuses"),
    [(HEAD, [100, 200]), (HEAD.replace(b"protobuf", b"y"), [415])],
    ids=["wanted", "unwanted"],
)
def test_who_asks_first_is_told_whether_to_send(into, head, statuses):
    """`Expect: 100-continue` is answered before the body is sent; after a refusal the connection ends."""

    async def exchange() -> tuple[list[int], bytes]:
        async with serving(Anyone(into), 1000) as (reader, writer):
            body = request(range(3))
            writer.write(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            found = [(await answer(reader))[0]]
            if found == [100]:
                writer.write(body)
                found.append((await answer(reader))[0])
                writer.write_eof()
            return found, await reader.read()

    assert asyncio.run(exchange()) == (statuses, b"")


def test_endless_trailers_are_refused(into):
    """What surrounds chunks has a size, too: a client that sends trailers for ever is cut off."""

    async def exchange() -> int:
        async with serving(Anyone(into), 262_144) as (reader, writer):
            writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
            writer.write(b"x-trailer: and so on\r\n" * 4000)
            return (await answer(reader))[0]

    assert asyncio.run(exchange()) == 400
    assert into.room.used == 0


@pytest.mark.parametrize(
    "head",
    [HEAD.replace(b"1.1", b"1.0"), HEAD + b"Connection: close\r\n"],
    ids=["HTTP/1.0", "close"],
)
def test_a_connection_ends_where_it_was_said_to(into, head):
    """After an answer that says so itself; what follows on the connection is not looked at."""

    async def exchange() -> tuple[int, dict[str, str], bytes]:
        async with serving(Anyone(into), 1000) as (reader, writer):
            writer.write(2 * whole(request(range(3)), head))
            status, headers, _ = await answer(reader)
            return status, headers, await reader.read()

    status, headers, rest = asyncio.run(exchange())
    assert (status, headers["connection"], rest) == (200, "close", b"")
    assert into.books.received[Signal.TRACES] == 3


@pytest.mark.parametrize("rest", [b"", HEAD, HEAD + b"Content-Length: 99\r\n\r\nhalf"])
def test_who_has_stopped_sending_is_answered(into, rest):
    """Every request that is there in full, when the client closes its half; what it began is forgotten."""

    async def exchange() -> tuple[list[int], bytes]:
        async with serving(Anyone(into), 1000) as (reader, writer):
            writer.write(whole(request(range(3))) + whole(request(range(3, 5))) + rest)
            writer.write_eof()
            found = [(await answer(reader))[0] for _ in range(2)]
            return found, await asyncio.wait_for(reader.read(), 30)

    assert asyncio.run(exchange()) == ([200, 200], b"")
    assert into.books.received[Signal.TRACES] == 5
    into.flush()
    assert into.room.used == 0


def test_an_upgrade_is_not_followed_and_loses_nothing(into):
    """As Java's own client asks for HTTP/2: the request is taken, and so is the one after it."""
    upgrade = (
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    )

    async def exchange() -> list[int]:
        async with serving(Anyone(into), 1000) as (reader, writer):
            writer.write(whole(request(range(3)), upgrade) + whole(request(range(3, 5))))
            return [(await answer(reader))[0] for _ in range(2)]

    assert asyncio.run(exchange()) == [200, 200]
    assert into.books.received[Signal.TRACES] == 5


def test_an_upgrade_in_chunks_is_refused(into):
    """The parser would not read them: never acknowledged as an empty request."""
    upgrade = HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"

    async def exchange() -> int:
        async with serving(Anyone(into), 1000) as (reader, writer):
            writer.write(chunked(request(range(3)), 10).replace(HEAD, upgrade))
            return (await answer(reader))[0]

    assert asyncio.run(exchange()) == 400


MOST_SENT = 32 << 20


async def send_until_cut_off(silent: socket.socket) -> int:
    """Send requests as fast as they are taken; return how many bytes that were when the other side ended it."""
    requests = 1000 * (HEAD.replace(b"protobuf", b"y") + b"\r\n")
    sent = 0
    try:
        for _ in range(400):
            with contextlib.suppress(BlockingIOError):
                while sent < MOST_SENT:
                    sent += silent.send(requests[sent % len(requests) :])
                    await asyncio.sleep(0)
            await asyncio.sleep(0.1)
    except ConnectionError:
        return sent
    raise AssertionError("the connection was never ended")


def test_who_never_reads_is_not_read_and_does_not_stay(into):
    """Answers are kept for it up to a limit; it may be idle no longer than others, and is then cut off."""

    async def exchange() -> int:
        async with serving(Anyone(into), 262_144, receive_s=0.1, keep_alive_s=3) as (_, writer):
            with socket.socket() as silent:
                silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                silent.connect(writer.get_extra_info("peername"))
                silent.setblocking(False)
                return await send_until_cut_off(silent)

    assert 0 < asyncio.run(exchange()) < MOST_SENT


def test_few_requests_are_under_way_at_once(into, monkeypatch):
    """Sixteen, and what was read with them, however many a client sends; each answer lets it send on."""
    body = request(range(3))
    waiting: deque[Future[None]] = deque()

    def accept(_signal: Signal, _body: bytes, held: int) -> Future[None]:
        into.room.give(held)
        waiting.append(Future())
        return waiting[-1]

    monkeypatch.setattr(into, "accept", accept)

    async def exchange() -> tuple[int, list[int]]:
        async with serving(Anyone(into), 1000) as (reader, writer):
            writer.write(100 * whole(body))
            for _ in range(20):
                await asyncio.sleep(0.02)
            at_once, statuses = len(waiting), []
            for _ in range(100):
                while not waiting:  # noqa: ASYNC110  # nothing announces it
                    await asyncio.sleep(0.01)
                waiting.popleft().set_result(None)
                statuses.append((await answer(reader))[0])
            return at_once, statuses

    at_once, statuses = asyncio.run(exchange())
    assert 0 < at_once <= 16 + 1000 // len(whole(body))
    assert statuses == [200] * 100


def test_idle_connections_end(into):
    """One that was used and is silent for longer than `keep_alive_s` is closed, without a word."""

    async def exchange() -> bytes:
        async with serving(Anyone(into), 1000, keep_alive_s=0.1) as (reader, writer):
            writer.write(whole(request(range(3))))
            assert (await answer(reader))[0] == 200
            return await asyncio.wait_for(reader.read(), 30)

    assert asyncio.run(exchange()) == b""
