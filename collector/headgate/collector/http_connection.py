"""HTTP/1.1 connections that carry OTLP, with limits against slow, endless and countless clients.

* A request must arrive whole within a time, from its first byte; so must a connection's first. One that has been
  answered before its body was read is closed a little after that time.
* Request line and headers have a size, and so has what surrounds chunks.
* Requests may be sent before earlier ones are answered; answers keep the order. A few may be under way at once.

Heads and chunks are read by `httptools`. A body of known length is not: its bytes are received where they are needed,
so that a request costs one copy and one wake-up, however long it is. The parser would count the same bytes: it has
made sure of the length, and a new one begins behind them.

What the parser refuses (conflicting lengths, bad framing) is answered like everything else: by a google.rpc.Status.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from headgate.collector.errors import Retryable
from headgate.collector.http_answer import CONTINUE, Answer, not_http
from headgate.collector.http_exchange import Exchange
from headgate.collector.http_protocol import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.collector.http_exchange import Service

READ_BYTES = 256 << 10
_MOST_UNANSWERED = 16
_LATER_S = 5.0


class Connection(asyncio.BufferedProtocol):
    """One connection; everything is called in the event loop's thread."""

    def __init__(
        self,
        service: Service,
        scratch: bytearray,
        clock_s: Callable[[], float],
        made: Callable[[Connection], bool],
        lost: Callable[[Connection], None],
    ) -> None:
        """Receive into `scratch`, which connections may share; `made` says whether there is room for another one."""
        self._service = service
        self._scratch, self._view = scratch, memoryview(scratch)
        self._clock_s = clock_s
        self._made, self._lost = made, lost
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._unanswered: deque[Exchange] = deque()
        self._exchange: Exchange | None = None  # whose bytes come
        self._direct = False  # into its own space
        self._in_head = True
        self._head_bytes = self._fed_bytes = 0
        self._unread = False  # are answers beyond what is buffered
        self._last = False  # no request is read any more
        self._ending = False  # nor anything else, or answered after what is unanswered
        self._owed_s: float | None = None  # since when the client owes us bytes
        self._idle_s = 0.0
        self._closed_s: float | None = None  # since when the client need only read its answers

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        self._transport = transport
        self._owed_s = self._service.loop.time()
        if not self._made(self):
            self._transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget what did not arrive in full; what did is taken, answered or not."""
        self._lost(self)
        self._ending = True
        for exchange in self._unanswered:
            exchange.drop()
        self._unanswered.clear()
        self._exchange = None

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        exchange = self._exchange
        self._direct = exchange is not None and exchange.answer is None and self._expects(exchange)
        return exchange.space() if exchange is not None and self._direct else self._view

    def buffer_updated(self, count: int) -> None:
        """Take `count` bytes."""
        if self._ending:
            return
        exchange = self._exchange
        if self._direct and exchange is not None:
            exchange.filled += count
            if exchange.filled == exchange.length:
                self._renew()
            return
        self._take(0, count)

    def eof_received(self) -> bool:
        """Answer what was asked in full, and close; in TLS, which has no half of a connection, close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.drop()
            self._unanswered.remove(exchange)
        if not self._unanswered or self._transport.get_extra_info("sslcontext"):
            return False
        self._last, self._owed_s = True, None
        self._unanswered[-1].keep_alive = False
        return True

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not read its answers."""
        self._unread = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._unread = False
        if not self._ending:
            self._transport.resume_reading()

    # Framing.

    def _take(self, start: int, stop: int) -> None:
        """Take the bytes start..stop of the scratch."""
        while start < stop and not (self._last or self._ending):
            end = stop
            exchange = self._exchange
            if exchange is not None and self._expects(exchange):
                end = min(stop, start + exchange.length - exchange.filled)
                exchange.add(self._view[start:end])
                if exchange.filled == exchange.length:
                    self._renew()
                start = end
                continue
            if self._in_head and not self._head_bytes:
                found = self._scratch.find(b"\r\n\r\n", start, stop)
                end = stop if found < 0 else found + 4
            start = self._feed(start, end)

    def _expects(self, exchange: Exchange) -> bool:
        """Return whether the rest of a body of known length is to be received as it is."""
        return not self._in_head and exchange.length > exchange.filled

    def _renew(self) -> None:
        """End a request whose body did not go through the parser, which still waits for it."""
        self._parser = httptools.HttpRequestParser(self)
        self.on_message_complete()

    def _feed(self, start: int, stop: int) -> int:
        """Let the parser read; return where it has stopped."""
        if self._in_head:
            self._head_bytes += stop - start
        self._fed_bytes += stop - start
        try:
            self._parser.feed_data(self._view[start:stop])
        except httptools.HttpParserUpgrade as upgrade:  # we stay with HTTP/1.1
            self._parser = httptools.HttpRequestParser(self)
            stop = start + int(upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse(not_http(400, "the request is not valid HTTP"))
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse_head()
        elif self._exchange is not None and self._exchange.is_wasteful(self._fed_bytes):
            self._refuse(not_http(400, "the chunks have more around them than in them"))
        return stop

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Let the time of a request begin."""
        if self._last:
            return
        self._exchange = Exchange(self._service, self._answer)
        self._unanswered.append(self._exchange)
        self._owed_s = self._service.loop.time()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        if self._exchange is not None:
            self._exchange.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers say nothing to us."""
        if self._exchange is not None and self._in_head:
            self._exchange.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """End the head."""
        exchange = self._exchange
        if exchange is None:
            return
        self._in_head = False
        # What came so far may be body in part: only where it is much, the headers are added up.
        if self._head_bytes > HEAD_BYTES and exchange.head_size > HEAD_BYTES:
            self._refuse_head()
            return
        chunked = any(name == b"transfer-encoding" for name, _ in exchange.headers)
        if chunked and self._parser.should_upgrade():
            self._refuse(not_http(400, "a request for an upgrade must announce its length"))
            return
        exchange.method = self._parser.get_method()
        exchange.keep_alive = (
            self._parser.get_http_version() != "1.0" and self._parser.should_keep_alive()
        )
        exchange.begin()
        if exchange.expects_continue and exchange.answer is None:
            self._transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body that goes through the parser."""
        if self._exchange is not None:
            self._exchange.add(memoryview(body))

    def on_message_complete(self) -> None:
        """Let the time of a request end."""
        if self._exchange is not None and self._expects(self._exchange):
            return  # where an upgrade is asked for, the parser stops behind the head
        exchange, self._exchange = self._exchange, None
        self._owed_s = None
        self._in_head, self._head_bytes, self._fed_bytes = True, 0, 0
        if exchange is not None:
            self._last = not exchange.keep_alive
            exchange.end()
        if len(self._unanswered) >= _MOST_UNANSWERED:
            self._transport.pause_reading()

    # Answers.

    def _answer(self) -> None:
        """Send the answers that are there, in the order of their requests."""
        while self._unanswered and (answer := self._unanswered[0].answer) is not None:
            exchange = self._unanswered.popleft()
            last = not exchange.keep_alive or (self._ending and not self._unanswered)
            head_only = exchange.method == b"HEAD"
            self._transport.write(answer.on_wire(self._clock_s(), last=last, head_only=head_only))
            if last:
                self._close()
                return
            self._idle_s = self._service.loop.time()
            if not (self._unread or self._ending):
                self._transport.resume_reading()

    def _close(self) -> None:
        self._ending = True
        self._closed_s = self._closed_s or self._service.loop.time()
        self._transport.close()

    def _refuse_head(self) -> None:
        self._refuse(not_http(431, f"the headers exceed {HEAD_BYTES} bytes"))

    def _refuse(self, answer: Answer) -> None:
        """Answer what cannot be read on, after what was asked before, and close."""
        if self._ending:
            return
        self._ending = True
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            exchange = Exchange(self._service, self._answer)
            self._unanswered.append(exchange)
        exchange.keep_alive = False
        exchange.drop()
        if exchange.answer is None:
            exchange.answer = answer
        self._answer()

    def shutdown(self) -> None:
        """Answer what was asked, and close."""
        if self._unanswered:
            self._unanswered[-1].keep_alive = False
            self._last = self._unanswered[-1].complete
        else:
            self._close()

    def stop(self) -> None:
        """Answer what is unanswered: the collector is stopping. Then close."""
        self.shutdown()
        for exchange in list(self._unanswered):
            exchange.give_up(Retryable("the collector is stopping"))
        self._close()

    def look(self, now_s: float, receive_s: float, keep_alive_s: float) -> None:
        """Refuse what does not arrive in `receive_s`, close what is idle for `keep_alive_s`, cut off non-readers."""
        owed_s, exchange = self._owed_s, self._exchange
        if self._closed_s is not None:
            if now_s - self._closed_s > receive_s:
                self._transport.abort()
        elif owed_s is None:
            if not self._unanswered and now_s - self._idle_s > keep_alive_s:
                self._close()
        elif now_s - owed_s > receive_s + (0 if self._in_head else _LATER_S):
            self._transport.abort()
        elif now_s - owed_s > receive_s and exchange is not None and exchange.answer is None:
            exchange.give_up(Retryable(f"the request took longer than {receive_s:g} s to arrive"))
