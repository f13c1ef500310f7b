"""Files of OTLP requests: what the OpenTelemetry file exporters write, read as (signal, protobuf).

Four layouts, told apart by how a file begins, since their first bytes exclude each other:

* `{`: OTLP/JSON, one request a line ("OpenTelemetry Protocol File Exporter" specification), or the
  whole file one document;
* a byte up to 4: binary requests, each after its length as four big-endian bytes, as the
  Collector's file exporter writes with `format: proto` (no request is larger than 64 MiB);
* 0x0A, the tag of the only field a request has: the whole file is one binary request.

JSON names its signal. Protobuf does not, but what is valid for one signal has fields of impossible
types as another. Damage is reported where it lies, and all that can be read around it is read.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, BinaryIO

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from headgate.collector.errors import Malformed
from headgate.collector.otlp_json import REQUESTS, encode, load
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.protobuf.message import Message

MAX_REQUEST_BYTES = 64 << 20
"""The size that OTLP recommends as a receiver's limit; nothing larger is taken for a request."""

_CHUNK = 1 << 18
_JSON_KEYS = {
    "resourceSpans": Signal.TRACES,
    "resourceMetrics": Signal.METRICS,
    "resourceLogs": Signal.LOGS,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a file; `body` is protobuf, `position` the bytes of the file read so far."""

    signal: Signal
    body: bytes
    place: str
    position: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a file that cannot be read; `place` is a line or a byte, counted uncompressed."""

    place: str
    problem: str
    position: int


class Layout(Enum):
    """How requests are laid out in a file."""

    EMPTY = "an empty file"
    LINES = "OTLP/JSON lines"
    DOCUMENT = "one OTLP/JSON document"
    FRAMES = "binary requests, each after its length"
    MESSAGE = "one binary request"


def read(path: Path, signal: Signal | None = None) -> Iterator[Request | Damage]:
    """Yield the requests of a file in order; one that ends in `.gz` is decompressed.

    `signal` says what binary requests hold where that cannot be told from them. Raises OSError when
    the file cannot be opened, Malformed when it is none of the layouts.
    """
    layout = layout_of(path)
    with _opened(path) as source:
        if layout in {Layout.LINES, Layout.DOCUMENT}:
            pieces = _lines(source) if layout is Layout.LINES else _whole(source)
            for place, text in pieces:
                yield from _from_json(text, place, source.position())
        elif layout is not Layout.EMPTY:
            pieces = _frames(source) if layout is Layout.FRAMES else _whole(source)
            for place, body in filter(_is_filled, pieces):
                yield _from_binary(body, signal, place, source.position())
        if source.damage:
            yield source.damage


def layout_of(path: Path) -> Layout:
    """Return how a file is laid out by its beginning; raises OSError, or Malformed for none."""
    with _opened(path) as source:
        source.fill(1)
        head = source.take(1)
        if not head:
            return Layout.EMPTY
        if head == b"\n":
            return Layout.MESSAGE
        if head[0] <= MAX_REQUEST_BYTES >> 24:
            return Layout.FRAMES
        first = head + source.line()
        if not first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            raise Malformed(
                f"{path} holds neither OTLP/JSON lines nor OTLP protobuf;"
                " a compressed file must end in .gz"
            )
        if _is_json(first):
            return Layout.LINES
        source.fill(MAX_REQUEST_BYTES)
        return Layout.DOCUMENT if _is_json(first + source.take(MAX_REQUEST_BYTES)) else Layout.LINES


def items(signal: Signal, request: Message) -> Iterator[Any]:
    """Yield the spans, log records or metric data points of a decoded request."""
    if signal is Signal.METRICS:
        for metric in _outer(signal, request):
            kind = metric.WhichOneof("data")
            yield from getattr(metric, kind).data_points if kind else ()
    else:
        yield from _outer(signal, request)


def _outer(signal: Signal, request: Any) -> Iterator[Any]:
    """Yield what stands in a scope: spans, log records, metrics."""
    match signal:
        case Signal.TRACES:
            scopes = (s.spans for r in request.resource_spans for s in r.scope_spans)
        case Signal.METRICS:
            scopes = (s.metrics for r in request.resource_metrics for s in r.scope_metrics)
        case Signal.LOGS:
            scopes = (s.log_records for r in request.resource_logs for s in r.scope_logs)
    for scope in scopes:
        yield from scope


def _from_json(text: bytes, place: str, position: int) -> Iterator[Request | Damage]:
    if not text.strip():
        return
    try:
        document = load(text)
        signals = [s for key, s in _JSON_KEYS.items() if key in document]
        for signal in signals:
            yield Request(signal, encode(signal, document), place, position)
    except Malformed as error:
        torn = "" if text.endswith(b"\n") else "is torn or "
        yield Damage(place, f"{torn}{error}", position)
    else:
        if not signals:
            yield Damage(place, f"has none of {', '.join(_JSON_KEYS)}", position)


def _from_binary(body: bytes, named: Signal | None, place: str, position: int) -> Request | Damage:
    fitting = [s for s in ([named] if named else Signal) if _fits(s, body)]
    if len(fitting) == 1:
        return Request(fitting[0], body, place, position)
    if named:
        return Damage(place, f"is not an OTLP request of {named}", position)
    problem = "may be any signal; name it with --signal" if fitting else "is not an OTLP request"
    return Damage(place, problem, position)


def _fits(signal: Signal, body: bytes) -> bool:
    """Tell whether a body can be a request of this signal, by the fields of its first item."""
    request = REQUESTS[signal]()
    try:
        request.ParseFromString(body)
    except DecodeError:
        return False
    first = next(_outer(signal, request), None)
    if first is None:
        return True
    # A known number among the unknown fields is one whose wire type is another signal's.
    known = first.DESCRIPTOR.fields_by_number
    unknown = UnknownFieldSet(first)
    clash = any(unknown[n].field_number in known for n in range(len(unknown)))
    if signal is Signal.TRACES:  # the name and the data of a metric may pass for id and name
        return not clash and len(first.trace_id) == 16 and first.start_time_unix_nano > 0
    return not clash


def _is_filled(piece: tuple[str, bytes]) -> bool:
    """Tell whether a piece holds anything; an empty body is the empty request of any signal."""
    return bool(piece[1])


def _is_json(text: bytes) -> bool:
    try:
        load(text)
    except Malformed:
        return False
    return True


def _whole(source: _Source) -> Iterator[tuple[str, bytes]]:
    source.fill(MAX_REQUEST_BYTES + 1)
    body = source.take(MAX_REQUEST_BYTES + 1)
    if len(body) > MAX_REQUEST_BYTES:
        source.damaged("byte 0", "the request is larger than 64 MiB")
    else:
        yield "the request", body


def _lines(source: _Source) -> Iterator[tuple[str, bytes]]:
    number = 0
    while line := source.line():
        number += 1
        yield f"line {number}", line


def _frames(source: _Source) -> Iterator[tuple[str, bytes]]:
    while source.fill(4):
        place = f"byte {source.taken}"
        prefix = source.take(4)
        length = int.from_bytes(prefix, "big")
        if len(prefix) < 4 or length > MAX_REQUEST_BYTES:
            source.damaged(place, "the length of a request is torn or impossible; nothing after it")
            return
        source.fill(length)
        body = source.take(length)
        if len(body) < length:
            source.damaged(place, f"the last request is torn: {len(body)} of {length} bytes")
            return
        yield place, body


class _Source:
    """A file read in chunks, which keeps what precedes a damaged end of a compressed one."""

    def __init__(self, raw: BinaryIO, stream: gzip.GzipFile | BinaryIO) -> None:
        self._raw = raw
        self._stream = stream
        self._buffer = bytearray()
        self.taken = 0
        self.damage: Damage | None = None

    def position(self) -> int:
        """Return how much of the stored file has been read."""
        return self._raw.tell()

    def damaged(self, place: str, problem: str) -> None:
        """Note what ended the reading, unless something did before."""
        self.damage = self.damage or Damage(place, problem, self.position())

    def fill(self, size: int) -> int:
        """Read until `size` bytes are at hand or the file ends; return how many are."""
        while len(self._buffer) < size and (chunk := self._chunk()):
            self._buffer += chunk
        return len(self._buffer)

    def take(self, size: int) -> bytes:
        """Hand over at most `size` of the bytes at hand."""
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.taken += len(piece)
        return piece

    def line(self) -> bytes:
        """Hand over the next line with its end, or what is left, or nothing at the end.

        A line of more than 64 MiB comes in pieces; none of them is a request.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_REQUEST_BYTES or self.fill(searched + 1) == searched:
                return self.take(searched)
        return self.take(end + 1)

    def _chunk(self) -> bytes:
        try:
            return self._stream.read1(_CHUNK)  # type: ignore[union-attr]  # BinaryIO hides read1
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            here = f"byte {self.taken + len(self._buffer)}"
            self.damaged(here, f"the compressed data is damaged or cut off here ({error})")
            return b""


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    with path.open("rb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw) as stream:
                yield _Source(raw, stream)
        else:
            yield _Source(raw, raw)
