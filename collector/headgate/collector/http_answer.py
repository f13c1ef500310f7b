"""Answers over HTTP: what a request's outcome is in bytes.

Whatever goes wrong, the body is a google.rpc.Status in the request's encoding (protobuf where that is unknown).
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToJson
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from headgate.collector.partial import response
from headgate.collector.status import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from headgate.collector.errors import CollectorError
    from headgate.collector.partial import Partial
    from headgate.collector.signals import Signal

PROTOBUF, JSON = b"application/x-protobuf", b"application/json"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """The status line and the headers that belong to the body, each with its line end, and the body."""

    head: bytes
    body: bytes

    def on_wire(self, now_s: float, *, last: bool, head_only: bool) -> bytes:
        """Return the bytes to send at a time (Unix, seconds); `last`: the connection ends with them."""
        close = b"connection: close\r\n" if last else b""
        date = b"date: %s\r\n\r\n" % formatdate(now_s, usegmt=True).encode()
        return b"".join((self.head, close, date, b"" if head_only else self.body))


def taken(kind: bytes, signal: Signal, partial: Partial | None) -> Answer:
    """Return the answer to a request that is durable, with what was left out of it."""
    return _TAKEN[kind] if partial is None else _encoded(kind, 200, response(signal, partial))


def refused(kind: bytes, error: CollectorError) -> Answer:
    """Return the answer to a request that was not taken."""
    said = refusal(error)
    return _encoded(kind, said.http_status, said.body, said.http_headers)


def not_http(http_status: int, message: str) -> Answer:
    """Return the answer to what the parser refuses."""
    return _encoded(PROTOBUF, http_status, Status(code=code_pb2.INVALID_ARGUMENT, message=message))


def failed(kind: bytes) -> Answer:
    """Return the answer to a request at which the collector itself has failed."""
    message = "the collector failed; its log says why"
    return _encoded(kind, 500, Status(code=code_pb2.INTERNAL, message=message))


def _encoded(
    kind: bytes, http_status: int, message: Message, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Answer:
    if kind == JSON:
        return _answer(http_status, JSON, MessageToJson(message, indent=None).encode(), headers)
    return _answer(http_status, PROTOBUF, message.SerializeToString(), headers)


def _answer(
    http_status: int, kind: bytes, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Answer:
    lines = [
        b"HTTP/1.1 %d %s\r\n" % (http_status, HTTPStatus(http_status).phrase.encode()),
        b"content-type: %s\r\ncontent-length: %d\r\n" % (kind, len(body)),
        *(b"%s: %s\r\n" % header for header in headers),
    ]
    return Answer(b"".join(lines), body)


_TAKEN = {PROTOBUF: _answer(200, PROTOBUF, b""), JSON: _answer(200, JSON, b"{}")}
