"""What both protocols do with a request before the pipeline: make room, decompress within limits, convert JSON."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Protocol

from headgate.collector.errors import Malformed, TooLarge, Unsupported

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from headgate.collector.partial import Partial
    from headgate.collector.pipeline import Pipeline
    from headgate.collector.refusals import Refusals
    from headgate.collector.room import Room
    from headgate.collector.signals import Signal

MAX_REQUEST_BYTES = 64 << 20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
# What follows a member or frame is copied, so that many tiny ones would take quadratic time.
_MAX_MEMBERS = 16
# 8 MiB: what RFC 8878 (3.1.1.1.2) asks every decoder to support; more would be memory that nobody has counted.
_ZSTD_OPTIONS = {int(zstd.DecompressionParameter.window_log_max): 23}
_FIRST_PIECE = 64 << 10
# JSON as Python objects was measured at 13 times its text, and at 24 times for a list of empty objects.
_JSON_EXPANDS = 24
MAX_JSON_BYTES = 16 << 20


class Senders(Protocol):
    """Who sends: which pipeline a request goes to, by its Authorization (empty when it has none).

    Every answer to a request that was not taken is counted in `refusals`.
    """

    @property
    def refusals(self) -> Refusals:
        """Return the counters."""

    def known(self, authorization: bytes) -> Pipeline | None:
        """Return it without waiting, None when it must be opened; raises Unauthenticated or Forbidden."""

    def pipeline(self, authorization: bytes) -> Pipeline:
        """Return it, however long that takes; raises Unauthenticated, Forbidden or Retryable."""


class Received:
    """One request on its way in: what it holds of the room, and its bytes once they are there."""

    def __init__(self, room: Room, limit: int) -> None:
        self.room = room
        self.limit = limit
        self.held = 0

    def grow(self, size: int) -> None:
        """Hold `size` more bytes; raises Retryable when there is no room for them."""
        self.room.take(size, self.held)
        self.held += size

    def drop(self) -> None:
        """Give back what is held."""
        self.room.give(self.held)
        self.held = 0

    def too_large(self) -> TooLarge:
        """Return the refusal of a request over the limit."""
        return TooLarge(
            f"the request has more than {self.limit} bytes, or would have when decompressed;"
            " send smaller batches"
        )

    def deliver(self, pipeline: Pipeline, signal: Signal, body: bytes) -> Future[Partial | None]:
        """Hand protobuf to the pipeline, which takes over what is held; raises as `Pipeline.accept`."""
        try:
            accepted = pipeline.accept(signal, body, self.held)
        except BaseException:
            self.drop()
            raise
        self.held = 0
        return accepted

    def plain(self, encoding: str, body: bytes) -> bytes:
        """Undo a Content-Encoding, holding what comes out.

        Raises TooLarge past the limit, Unsupported for other encodings than gzip, deflate and zstd, Malformed for
        what does not decompress, Retryable when there is no room.
        """
        if not body:
            return body
        match encoding:
            case "" | "identity":
                return body
            case "gzip" | "x-gzip" | "deflate":
                pieces = _gunzip(body, self)
            case "zstd":
                pieces = _unzstd(body, self)
            case other:
                raise Unsupported(
                    f"Content-Encoding {other!r} is not supported; send gzip, zstd or none",
                    (b"accept-encoding", b"gzip, deflate, zstd"),
                )
        made = []
        size = 0
        for piece in pieces:
            made.append(piece)
            size += len(piece)
            if size > self.limit:
                raise self.too_large()
        return b"".join(made)

    def protobuf(self, signal: Signal, text: bytes) -> bytes:
        """Convert OTLP/JSON; raises Malformed, TooLarge, or Retryable when there is no room for its objects."""
        from headgate.collector.otlp_json import to_protobuf

        if len(text) > MAX_JSON_BYTES:
            raise TooLarge(
                f"the request has more than {MAX_JSON_BYTES} bytes of JSON; send smaller batches, or protobuf"
            )
        objects = _JSON_EXPANDS * len(text)
        self.grow(objects)
        try:
            return to_protobuf(signal, text)
        finally:
            self.held -= objects
            self.room.give(objects)


def content_encoding(header: bytes) -> str:
    """Return the name of a Content-Encoding as `Received.plain` knows it."""
    return header.decode("latin-1").strip().lower()


def _sizes(received: Received) -> Iterator[int]:
    """Yield how long the next piece may be, having made room for it: each twice as long as the one before."""
    size, left = _FIRST_PIECE, received.limit + 1
    while True:
        size = max(min(size, left), 1)
        received.grow(size)
        yield size
        left -= size
        size *= 2


def _gunzip(body: bytes, received: Received) -> Iterator[bytes]:
    sizes = _sizes(received)
    rest = body
    for _ in range(_MAX_MEMBERS):
        member = zlib.decompressobj(_GZIP_OR_ZLIB)
        while not member.eof:
            try:
                piece = member.decompress(rest, next(sizes))
            except zlib.error as error:
                raise Malformed(f"the compressed body cannot be read: {error}") from error
            rest = member.unconsumed_tail
            if not (piece or rest or member.eof):
                raise Malformed("the compressed body is cut off")
            yield piece
        rest = member.unused_data
        if not rest:
            return
    raise Malformed(f"the compressed body has more than {_MAX_MEMBERS} members")


def _unzstd(body: bytes, received: Received) -> Iterator[bytes]:
    sizes = _sizes(received)
    rest = body
    for _ in range(_MAX_MEMBERS):
        frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        while not frame.eof:
            if frame.needs_input and not rest:
                raise Malformed("the compressed body is cut off")
            try:
                piece = frame.decompress(rest, next(sizes))
            except zstd.ZstdError as error:
                raise Malformed(f"the compressed body cannot be read: {error}") from error
            rest = b""
            yield piece
        rest = frame.unused_data
        if not rest:
            return
    raise Malformed(f"the compressed body has more than {_MAX_MEMBERS} frames")
