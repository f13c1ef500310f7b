"""Every kind of bad input that we know, and the answer to it: the declarations behind docs/reference/bad-input.md.

`python tests/bad_input.py > docs/reference/bad-input.md` writes the page; tests/serve/test_serve_bad_input.py sends
each to a real server over every protocol it can be sent by, and compares answers, rows and ledger.
"""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backports import zstd
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOBUF, JSON = "application/x-protobuf", "application/json"
LIMIT = 16 << 20
TRACE_ID, SPAN_ID = b"\x0a" * 16, b"\x0b" * 8
_number = iter(range(1, 1 << 32))


@dataclass(frozen=True)
class Case:
    """What is sent, and what then is answered and counted, in items.

    `answer` is the HTTP status, for which gRPC has its code; over gRPC it is sent when it is protobuf.
    """

    group: str
    what: str
    make: Callable[[], bytes]
    answer: int
    says: str
    rejected: int = 0
    stored: int = 0
    signal: str = "traces"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": PROTOBUF})

    @property
    def over_grpc(self) -> bool:
        return self.headers == {"content-type": PROTOBUF}


def span(request: ExportTraceServiceRequest, **fields: Any) -> Any:
    """Add a span with ids of its own, unless given."""
    scope = (request.resource_spans or [request.resource_spans.add()])[0].scope_spans
    ids = {
        "trace_id": next(_number).to_bytes(16, "big"),
        "span_id": next(_number).to_bytes(8, "big"),
    }
    return (scope or [scope.add()])[0].spans.add(**{**ids, "name": "op", **fields})


def traces(*spans: dict[str, Any]) -> Callable[[], bytes]:
    def make() -> bytes:
        request = ExportTraceServiceRequest()
        for fields in spans:
            span(request, **fields)
        return request.SerializeToString()

    return make


def nested(depth: int) -> Callable[[], bytes]:
    """Make a span with an attribute of arrays in arrays, so that messages lie `depth` deep."""

    def make() -> bytes:
        value = b"\x0a\x01x"  # AnyValue: a string
        for _ in range((depth - 6) // 2):
            inner = b"\x0a" + varint(len(value)) + value  # ArrayValue
            value = b"\x2a" + varint(len(inner)) + inner  # AnyValue
        request = ExportTraceServiceRequest()
        whole = span(request).SerializeToString()
        pair = b"\x0a\x01k\x12" + varint(len(value)) + value
        body = whole + b"\x4a" + varint(len(pair)) + pair
        for _ in range(3):
            tag = b"\x12" if _ < 2 else b"\x0a"
            body = tag + varint(len(body)) + body
        return body

    return make


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def attributes(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"attributes": [{"key": k, "value": {"string_value": v}} for k, v in pairs]}


def not_utf8() -> bytes:
    body = traces({"name": "a name of ????"})()
    return body.replace(b"????", b"\xff\xfe\x00\x80")


def json_spans(**fields: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        ids = {"traceId": f"{next(_number):032x}", "spanId": f"{next(_number):016x}"}
        spans = [{**ids, "name": "op", **fields}]
        return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()

    return make


def log(**fields: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        request = ExportLogsServiceRequest()
        at = next(_number)
        scope = request.resource_logs.add().scope_logs.add()
        scope.log_records.add(**{"time_unix_nano": at, **fields})
        return request.SerializeToString()

    return make


def histogram(buckets: int, bounds: int) -> Callable[[], bytes]:
    def make() -> bytes:
        request = ExportMetricsServiceRequest()
        metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="h")
        metric.histogram.data_points.add(
            time_unix_nano=next(_number),
            bucket_counts=[1] * buckets,
            explicit_bounds=[float(i) for i in range(bounds)],
        )
        return request.SerializeToString()

    return make


def fixed(content: bytes) -> Callable[[], bytes]:
    return lambda: content


JSON_ = {"content-type": JSON}
GZIP = {"content-type": PROTOBUF, "content-encoding": "gzip"}
ZSTD = {"content-type": PROTOBUF, "content-encoding": "zstd"}
REFUSED = "refused for good"
TAKEN = "taken as it is"
FAR = {"start_time_unix_nano": 4_000_000_000 * 10**9, "end_time_unix_nano": 4_000_000_001 * 10**9}

CASES = (
    Case("Protobuf", "cut off", lambda: traces({})()[:-3], 400, REFUSED, rejected=1),
    Case("Protobuf", "random bytes", fixed(b"\xff\x00\x99" * 50), 400, REFUSED, rejected=1),
    Case("Protobuf", "a length beyond the end", fixed(b"\x0a\xff\xff\xff\x7f"), 400, REFUSED, 1),
    Case("Protobuf", "nested deeper than 100 messages", nested(110), 400, REFUSED, rejected=1),
    Case("Protobuf", "nested 90 messages deep", nested(90), 200, TAKEN, stored=1),
    Case(
        "Protobuf", "fields that OTLP does not have", lambda: traces({})() + b"\xfa\x01\x03abc",
        200, "ignored", stored=1,
    ),
    Case("Protobuf", "text that is not UTF-8", not_utf8, 200, "stored byte for byte", stored=1),
    Case(
        "Protobuf", "an attribute value of 10 MB", traces(attributes(("k", "v" * 10_000_000))),
        200, TAKEN, stored=1,
    ),
    Case(
        "Protobuf", "100,000 attributes of one span",
        traces(attributes(*((f"k{i}", "v") for i in range(100_000)))), 200, TAKEN, stored=1,
    ),
    Case(
        "Protobuf", "an attribute key that stands twice", traces(attributes(("k", "1"), ("k", "2"))),
        200, "the last one counts", stored=1,
    ),
    Case("Protobuf", "nothing", fixed(b""), 200, "an empty request is none too many"),
    Case(
        "Items", "a span with a trace id of 15 bytes, all zeros, or none",
        traces({"trace_id": TRACE_ID[:15]}, {"trace_id": bytes(16)}, {"trace_id": b""}, {}),
        200, "left out, in a partial success; the rest is taken", rejected=3, stored=1,
    ),
    Case(
        "Items", "a span with a span id of 7 bytes, all zeros, or none",
        traces({"span_id": SPAN_ID[:7]}, {"span_id": bytes(8)}, {"span_id": b""}, {}),
        200, "left out, likewise", rejected=3, stored=1,
    ),
    Case(
        "Items", "a parent's id that is neither 8 bytes nor empty",
        traces({"parent_span_id": b"\x01"}, {}), 200, "left out, likewise", rejected=1, stored=1,
    ),
    Case(
        "Items", "no good item at all", traces({"trace_id": b""}, {"span_id": b""}),
        400, "refused as a whole", rejected=2,
    ),
    Case(
        "Items", "a histogram whose buckets do not fit its bounds", histogram(2, 2),
        400, "left out; here as a whole", rejected=1, signal="metrics",
    ),
    Case(
        "Items", "a log record with an invalid trace or span id", log(trace_id=b"\x01" * 3),
        200, "taken without the id, with a warning", stored=1, signal="logs",
    ),
    Case(
        "Items", "no times, or an end before the start",
        traces({}, {"start_time_unix_nano": 5, "end_time_unix_nano": 4}),
        200, "taken; the time of arrival stands in for a missing one, a duration is never negative",
        stored=2,
    ),
    Case(
        "Items", "times of 1970, of 2096, and beyond all calendars",
        traces({"start_time_unix_nano": 1, "end_time_unix_nano": 2}, FAR,
               {"start_time_unix_nano": 2**64 - 1, "end_time_unix_nano": 2**64 - 1}),
        200, "taken with the time of arrival (see `max_age_days`, `max_ahead_minutes`), and counted",
        stored=3,
    ),
    Case("JSON", "not JSON", fixed(b"{"), 400, REFUSED, 1, headers=JSON_),
    Case("JSON", "JSON of another shape", fixed(b"[1, 2]"), 400, REFUSED, 1, headers=JSON_),
    Case("JSON", "nested 50,000 deep", fixed(b"[" * 50_000), 400, REFUSED, 1, headers=JSON_),
    Case("JSON", "text that is not UTF-8", fixed(b'{"a": "\xff"}'), 400, REFUSED, 1, headers=JSON_),
    Case("JSON", "a key that stands twice", fixed(b'{"a": 1, "a": 2}'), 400, REFUSED, 1, headers=JSON_),
    Case("JSON", "an id that is not hexadecimal", json_spans(traceId="zz"), 400, REFUSED, 1, headers=JSON_),
    Case(
        "JSON", "an id of wrong length", json_spans(traceId="abcd"),
        400, "left out, as in protobuf; here as a whole", 1, headers=JSON_,
    ),
    Case("JSON", "the name of an enum", json_spans(kind="SERVER"), 400, REFUSED, 1, headers=JSON_),
    Case("JSON", "bare NaN", fixed(b'{"a": NaN}'), 400, REFUSED, 1, headers=JSON_),
    Case(
        "JSON", "an integer beyond 64 bits", json_spans(startTimeUnixNano=str(2**64)),
        400, REFUSED, 1, headers=JSON_,
    ),
    Case(
        "JSON", "keys that OTLP does not have, snake_case among them",
        json_spans(start_time_unix_nano="5", later=[{}]), 200, "ignored", stored=1, headers=JSON_,
    ),
    Case("JSON", "upper-case ids", json_spans(traceId="AB" * 16), 200, TAKEN, stored=1, headers=JSON_),
    Case(
        "JSON", "an attribute without a value", json_spans(attributes=[{"key": "k", "value": {}}]),
        200, TAKEN, stored=1, headers=JSON_,
    ),
    Case("Compression", "not gzip", traces({}), 400, REFUSED, 1, headers=GZIP),
    Case("Compression", "gzip, cut off", lambda: gzip.compress(traces({})())[:-9], 400, REFUSED, 1, headers=GZIP),
    Case(
        "Compression", "gzip of 1000 members", fixed(gzip.compress(b"") * 1000),
        400, "refused: more than 16", 1, headers=GZIP,
    ),
    Case(
        "Compression", "gzip of more than `max_request_bytes`", lambda: gzip.compress(bytes(4 * LIMIT)),
        413, "refused at the limit; no more than that is ever unpacked", 1, headers=GZIP,
    ),
    Case("Compression", "not zstd", traces({}), 400, REFUSED, 1, headers=ZSTD),
    Case("Compression", "zstd, cut off", lambda: zstd.compress(traces({})())[:-3], 400, REFUSED, 1, headers=ZSTD),
    Case(
        "Compression", "zstd of more than `max_request_bytes`", lambda: zstd.compress(bytes(4 * LIMIT)),
        413, "refused at the limit, likewise", 1, headers=ZSTD,
    ),
    Case(
        "Compression", "another Content-Encoding", traces({}), 415, "refused; the answer says what is read",
        1, headers={"content-type": PROTOBUF, "content-encoding": "br"},
    ),
    Case(
        "HTTP", "another Content-Type, or none", traces({}), 415, "refused, likewise", 1,
        headers={"content-type": "text/plain"},
    ),
    Case(
        "HTTP", "more than `max_request_bytes`", lambda: bytes(LIMIT + 1), 413,
        "refused before it is read, where its length is told", 1,
    ),
)  # fmt: skip

# Raw bytes at the HTTP port: what is sent, the status of the answer (0: the connection is closed), what it means.
HEAD = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
FRAMES = {
    "Content-Length and Transfer-Encoding together": (
        f"{HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "two lengths that differ": (f"{HEAD}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "a length that is no number": (f"{HEAD}Content-Length: 3x\r\n\r\nabc", 400),
    "a negative length": (f"{HEAD}Content-Length: -3\r\n\r\n", 400),
    "a length beyond 64 bits": (f"{HEAD}Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "a Transfer-Encoding that does not end in chunked": (
        f"{HEAD}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400,
    ),
    "a chunk size that is no number": (f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a space before a header's colon": (f"{HEAD}Content-Length : 3\r\n\r\nabc", 400),
    "a line feed where CR LF belongs": ("POST /v1/traces HTTP/1.1\nHost: x\n\n", 400),
    "headers beyond 32 KiB": (f"{HEAD}X: {'x' * 50_000}\r\n\r\n", 431),
    "headers without an end": (HEAD + "X: y\r\n" * 8000, 431),
    "no HTTP at all": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "another method": ("GET /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "another path": ("POST /v1/profiles HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
}  # fmt: skip

_HEADER = """\
# Bad input, and its answer

Every answer that is an error is a `google.rpc.Status` in the request's encoding (protobuf where that is unknown), with
a sentence that says what is wrong; "refused for good" is HTTP 400 with a `BadRequest` or gRPC `INVALID_ARGUMENT`, 413
is `RESOURCE_EXHAUSTED` without `RetryInfo`. Whatever is refused for good is in the ledger as `Rejected`, as one item
where the items could not be counted, and nothing else is lost by it. No input, however bad, ends the server.

This page is generated from `tests/bad_input.py`, and every line of it is sent to a running server by
`tests/serve/test_serve_bad_input.py`.

"""

_FOOTER = """
## HTTP framing

These never become a request; they are answered and the connection is closed. They are in no ledger.

| bytes | answer |
|---|---|
{frames}

## Slow, silent and absent clients

| what | HTTP | gRPC |
|---|---|---|
| headers that do not arrive within `receive_s` | the connection is closed | HTTP/2 settings likewise |
| a body that does not arrive within `receive_s` | 503 with Retry-After, then closed | `CANCELLED`; of 48, after 2 s |
| a client that breaks off half-way | nothing is taken, nothing counted | counted as one over the limit, which gRPC \
does not tell apart, unless its deadline has passed |
| a client that reads no answers | read no further; cut off when idle, `receive_s` later | HTTP/2 flow control |
| an idle connection | closed after 75 s | closed after 10 min; pinged each minute |
| more than 4096 connections | new ones are closed | likewise; 256 calls each, 32 on their way |

Each listener may have 4096, fewer where the process may open fewer than 12,544 files, of which 256 are kept for
the journal and the engine.

## Authentication

| what | HTTP | gRPC |
|---|---|---|
| no token, or one that is not known or has expired | 401 with `WWW-Authenticate: Bearer` | `UNAUTHENTICATED` |
| a token that may only read | 403 | `PERMISSION_DENIED` |

Neither is in a ledger: they belong to no tenant. `/metrics` counts both as
`headgate_unauthorized_requests_total`.

## Overload

No room in memory (`memory_bytes`) or the journal (`journal_bytes`), a full disk, a stop: HTTP 503 with `Retry-After`,
gRPC `UNAVAILABLE` with `RetryInfo`, both in `grpc-status-details-bin` and in `google.rpc.retryinfo-bin`, of 1 to 3 s.
A refusal for now is in no ledger: what comes again is counted when it comes again. `/metrics` counts it as
`headgate_refused_requests_total`, and `headgate status` shows it.

Too large is also what would take many times its bytes in memory, 413 or `RESOURCE_EXHAUSTED`: more than 512 000 items
in a request, of which eight attributes, events, links, exemplars, buckets and the like count as one more; more than
16 MiB of JSON.
"""


def page() -> str:
    """Return docs/reference/bad-input.md."""
    groups = dict.fromkeys(case.group for case in CASES)
    parts = []
    for group in groups:
        rows = [
            f"| {case.what} | {case.answer} | {case.says} |"
            for case in CASES
            if case.group == group
        ]
        parts.append(f"## {group}\n\n| what | answer | what becomes of it |\n|---|---|---|\n")
        parts.append("\n".join(rows) + "\n\n")
    frames = "\n".join(f"| {what} | {status} |" for what, (_, status) in FRAMES.items())
    return (_HEADER + "".join(parts)).rstrip() + "\n" + _FOOTER.format(frames=frames)


if __name__ == "__main__":
    sys.stdout.write(page())
