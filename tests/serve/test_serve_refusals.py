"""What cannot be taken is refused as OTLP demands, counted, and harms nobody else."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import socket
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from google.protobuf.json_format import Parse
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LIMIT = 100_000
START_NS = 4102444800 * 10**9  # in 2100, so that nothing expires meanwhile


def spans(*names: str, padding: int = 0) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans
    for number, name in enumerate(names):
        made.add(
            trace_id=hashlib.sha256(name.encode()).digest()[:16],
            span_id=(number + 1).to_bytes(8),
            name=name,
            start_time_unix_nano=START_NS,
            end_time_unix_nano=START_NS + 1,
        )
    if padding:
        made[0].attributes.add(key="padding").value.string_value = "x" * padding
    return request


def body(*names: str, padding: int = 0) -> bytes:
    return spans(*names, padding=padding).SerializeToString()


VALID = body("valid")
CUT = VALID[:-3]
BAD_JSON = b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}'

# what is sent (signal, headers, content), the answer's HTTP status and its google.rpc code
REFUSALS = {
    "cut protobuf": ("traces", {"content-type": PROTOBUF}, CUT, 400),
    "random bytes": ("metrics", {"content-type": PROTOBUF}, b"\xff\x00\x99" * 50, 400),
    "no JSON": ("logs", {"content-type": JSON}, b"{", 400),
    "JSON of another shape": ("traces", {"content-type": JSON}, b"[1, 2]", 400),
    "JSON with a bad id": ("traces", {"content-type": JSON}, BAD_JSON, 400),
    "JSON that is no UTF-8": ("traces", {"content-type": JSON}, b'{"a": "\xff"}', 400),
    "JSON nested too deeply": ("traces", {"content-type": JSON}, b"[" * 50_000, 400),
    "protobuf said to be JSON": ("traces", {"content-type": JSON}, VALID, 400),
    "no gzip": ("traces", {"content-type": PROTOBUF, "content-encoding": "gzip"}, VALID, 400),
    "cut gzip": (
        "traces",
        {"content-type": PROTOBUF, "content-encoding": "gzip"},
        gzip.compress(VALID)[:-9],
        400,
    ),
    "gzip of many members": (
        "traces",
        {"content-type": PROTOBUF, "content-encoding": "gzip"},
        gzip.compress(b"") * 1000,
        400,
    ),
    "unknown encoding": ("traces", {"content-type": JSON, "content-encoding": "br"}, VALID, 415),
    "unknown type": ("traces", {"content-type": "text/plain"}, VALID, 415),
    "no type": ("traces", {}, VALID, 415),
    "too large": ("traces", {"content-type": PROTOBUF}, body("large", padding=LIMIT), 413),
    "too large, JSON": ("traces", {"content-type": JSON}, b" " * (LIMIT + 1), 413),
    "far too large": ("traces", {"content-type": PROTOBUF}, bytes(50 * LIMIT), 413),
    "gzip bomb": (
        "traces",
        {"content-type": PROTOBUF, "content-encoding": "gzip"},
        gzip.compress(body("bomb", padding=1000 * LIMIT)),
        413,
    ),
}
CODES = {
    400: code_pb2.INVALID_ARGUMENT,
    415: code_pb2.INVALID_ARGUMENT,
    413: code_pb2.RESOURCE_EXHAUSTED,
}


@pytest.fixture(scope="module")
def server(start):
    return start(config={"max_request_bytes": LIMIT})


def status_of(answer: httpx.Response) -> Status:
    """Return the answer's google.rpc.Status, read in the encoding that the answer claims."""
    if answer.headers["content-type"] == JSON:
        return Parse(answer.text, Status())
    assert answer.headers["content-type"] == PROTOBUF
    return Status.FromString(answer.content)


def violation(status: Status) -> BadRequest.FieldViolation:
    """Return what a status says is bad."""
    bad = BadRequest()
    assert status.details[0].Unpack(bad)
    return bad.field_violations[0]


def post(server, case: str) -> httpx.Response:
    signal, headers, content, _ = REFUSALS[case]
    return httpx.post(server.url(signal), headers=headers, content=content)


def export(server, content: bytes, **options) -> bytes:
    options_of_channel = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options=options_of_channel) as channel:
        return channel.unary_unary(TRACES)(content, timeout=10, **options)


@pytest.mark.parametrize("case", REFUSALS)
def test_http_refuses_with_a_status_in_the_requests_encoding(server, case):
    """The HTTP status is 400, 413 or 415, the body a google.rpc.Status with the code and a sentence."""
    _, headers, _, expected = REFUSALS[case]
    answer = post(server, case)
    assert answer.status_code == expected, answer.text
    assert answer.headers["content-type"] == (
        JSON if headers.get("content-type") == JSON else PROTOBUF
    )
    status = status_of(answer)
    assert status.code == CODES[expected]
    assert len(status.message) > 10
    if expected != 413:
        assert violation(status).description == status.message
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/traces", 405),
        ("POST", "/v1/profiles", 404),
        ("POST", "/", 404),
    ],
)
@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_http_answers_a_status_where_there_is_nothing_to_post_to(
    server, method, path, expected, kind
):
    """A wrong path or method, too, is told by a google.rpc.Status that names where to send."""
    answer = httpx.request(method, f"http://{server.http}{path}", headers={"content-type": kind})
    assert answer.status_code == expected
    assert answer.headers["content-type"] == kind
    assert "POST to /v1/traces" in status_of(answer).message
    assert answer.headers.get("allow") == ("POST" if expected == 405 else None)


def test_a_whole_url_is_a_target_too(server):
    """RFC 9112, 3.2.2: as clients send it that take us for a proxy."""
    host, _, port = server.http.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    url = f"http://{server.http}/v1/traces?x=1"
    connection.request("POST", url, b"", {"content-type": PROTOBUF})
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("content", "compression", "code"),
    [
        (CUT, None, grpc.StatusCode.INVALID_ARGUMENT),
        (b"\xff" * 20, grpc.Compression.Gzip, grpc.StatusCode.INVALID_ARGUMENT),
        (body("large", padding=LIMIT), None, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (body("a", padding=100 * LIMIT), grpc.Compression.Gzip, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["cut", "random and gzip", "too large", "gzip bomb"],
)
def test_grpc_refuses_for_good(server, content, compression, code):
    """Bad data is INVALID_ARGUMENT, too much of it RESOURCE_EXHAUSTED; without RetryInfo, so that no client repeats."""
    with pytest.raises(grpc.RpcError) as caught:
        export(server, content, compression=compression)
    assert caught.value.code() == code
    trailing = {key for key, _ in caught.value.trailing_metadata()}
    assert "google.rpc.retryinfo-bin" not in trailing
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        status = Status.FromString(details)
        assert status.code == code_pb2.INVALID_ARGUMENT
        assert status.message == caught.value.details() == violation(status).description
        assert violation(status).field.startswith("byte ")


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
@pytest.mark.parametrize(("kind", "content"), [(PROTOBUF, b""), (JSON, b"{}")])
def test_an_empty_request_succeeds(server, signal, kind, content):
    """No data is not an error, in either encoding."""
    answer = httpx.post(server.url(signal), headers={"content-type": kind}, content=content)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == content


def test_an_empty_request_succeeds_over_grpc(server):
    """The response to no data is an empty message."""
    assert ExportTraceServiceResponse.FromString(export(server, b"")) == (
        ExportTraceServiceResponse()
    )
    with grpc.insecure_channel(server.grpc) as channel:
        logs = channel.unary_unary(TRACES.replace("trace", "logs").replace("Trace", "Logs"))(b"")
    assert ExportLogsServiceResponse.FromString(logs) == ExportLogsServiceResponse()


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "identity", ""])
def test_every_encoding_that_is_announced_as_read_is_read(server, encoding):
    """Gzip under each of its names, a body of two members too, deflate, and none at all."""
    content = body(f"encoded {encoding}")
    if "gzip" in encoding.lower():
        content = gzip.compress(content[:9]) + gzip.compress(content[9:])
    elif encoding == "deflate":
        content = zlib.compress(content)
    headers = {"content-type": PROTOBUF, "content-encoding": encoding}
    assert httpx.post(server.url("traces"), headers=headers, content=content).status_code == 200


def test_a_client_that_breaks_off_is_nobodys_error(server):
    """Half a request is neither taken nor counted, and the log stays empty."""
    before = server.status()
    host, _, port = server.http.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\n"
        connection.sendall(f"{head}Content-Length: {len(VALID)}\r\n\r\n".encode() + VALID[:5])
    assert httpx.post(server.url("traces"), headers={"content-type": PROTOBUF}).status_code == 200
    assert server.status() == before
    assert server.errors() == ""


def test_a_connection_stays_usable_after_a_refusal(server):
    """A client that keeps its connection reads the refusal of a large body, and is served on the same connection."""
    with httpx.Client(headers={"content-type": PROTOBUF}) as client:
        for content, expected in ((bytes(20 * LIMIT), 413), (CUT, 400), (body("next"), 200)):
            assert client.post(server.url("traces"), content=content).status_code == expected


def send_mixed(server, barrier: threading.Barrier, worker: int) -> list[tuple[str, bool]]:
    """Send good and malformed requests, two to one, over HTTP or gRPC; return (name, whether it was taken) of each."""
    outcomes = []
    barrier.wait()
    with (
        httpx.Client(headers={"content-type": PROTOBUF}) as client,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        call = channel.unary_unary(TRACES)
        for number in range(20):
            name = f"{worker}/{number}"
            content = body(name, f"{name} again")
            if number % 3 == 1:
                content = content[: len(content) - 1 - number]
            if worker % 2:
                answer = client.post(server.url("traces"), content=content)
                assert answer.status_code in {200, 400}
                outcomes.append((name, answer.status_code == 200))
                continue
            try:
                call(content, timeout=10)
                outcomes.append((name, True))
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017
                outcomes.append((name, False))
    return outcomes


@pytest.fixture(scope="module")
def mixture(start, read):
    """Send every refusal, and a mixture from eight clients at once; return outcomes, final status and rows."""
    server = start(config={"max_request_bytes": LIMIT})
    for case in REFUSALS:
        post(server, case)
    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        sent = pool.map(lambda worker: send_mixed(server, barrier, worker), range(8))
        outcomes = dict(outcome for many in sent for outcome in many)
    status = server.status()
    assert server.stop() == 0
    assert server.errors() == ""
    found = read(
        server.data,
        names="SELECT SpanName AS name, count() AS n FROM otel_traces GROUP BY name",
        ledger="SELECT Signal, sum(Received) AS received, sum(Stored) AS stored,"
        " sum(Rejected) AS rejected, sum(ReceivedBytes) AS bytes,"
        " sum(StoredBytes + RejectedBytes) AS known FROM ledger GROUP BY Signal",
    )
    return outcomes, status, found


def test_a_bad_request_fails_alone(mixture):
    """Of many requests at once, over both protocols, exactly the malformed ones fail; all other rows are there once."""
    outcomes, _, found = mixture
    assert outcomes == {name: int(name.split("/")[1]) % 3 != 1 for name in outcomes}
    good = {name for name, taken in outcomes.items() if taken}
    assert {row["name"]: row["n"] for row in found["names"]} == {
        each: 1 for name in good for each in (name, f"{name} again")
    }


def test_every_refusal_is_counted(mixture):
    """/api/status and the ledger agree with what was sent, by signal: received = stored + rejected."""
    outcomes, status, found = mixture
    taken = sum(outcomes.values())
    rejected = {"traces": len(outcomes) - taken, "metrics": 0, "logs": 0}
    for signal, *_ in REFUSALS.values():
        rejected[signal] += 1
    stored = {"traces": 2 * taken, "metrics": 0, "logs": 0}
    received = {signal: stored[signal] + rejected[signal] for signal in rejected}
    assert (status["received"], status["rejected"]) == (received, rejected)
    assert {row["Signal"] for row in found["ledger"]} == set(rejected)
    for row in found["ledger"]:
        signal = row["Signal"]
        counted = (row["received"], row["stored"], row["rejected"])
        assert counted == (received[signal], stored[signal], rejected[signal])
        assert row["bytes"] == row["known"] > 0


def test_a_full_collector_asks_to_come_again(start):
    """With no room in the journal: 503 with Retry-After, UNAVAILABLE with RetryInfo where each client looks for it."""
    server = start(config={"journal_bytes": 1})
    for kind, content in ((PROTOBUF, VALID), (JSON, b'{"resourceSpans": [{}]}')):
        answer = httpx.post(server.url("traces"), headers={"content-type": kind}, content=content)
        assert (answer.status_code, answer.headers["content-type"]) == (503, kind)
        assert 1 <= int(answer.headers["retry-after"]) <= 3
        status = status_of(answer)
        assert status.code == code_pb2.UNAVAILABLE
        assert retry_s(status.details[0]) >= 1
    with pytest.raises(grpc.RpcError) as caught:
        export(server, VALID)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    trailing = dict(caught.value.trailing_metadata())
    status = Status.FromString(trailing["grpc-status-details-bin"])
    assert 1 <= retry_s(status.details[0]) <= 3
    # The Python exporter looks here, and only here.
    assert RetryInfo.FromString(trailing["google.rpc.retryinfo-bin"]).retry_delay.seconds >= 1
    counts = server.status()
    assert counts["received"]["traces"] == counts["rejected"]["traces"] == 0
    assert httpx.get(f"http://{server.api}/api/status").json()["refused"] == 3


def retry_s(detail) -> float:
    """Return the delay of a RetryInfo."""
    info = RetryInfo()
    assert detail.Unpack(info)
    return info.retry_delay.seconds + info.retry_delay.nanos / 1e9


def test_json_text_of_a_status_has_the_names_of_the_protocol(server):
    """A client without protobuf reads `code` and `message` as plain JSON."""
    answer = post(server, "no JSON")
    status = json.loads(answer.text)
    assert set(status) == {"code", "message", "details"}
    assert status["details"][0]["fieldViolations"][0]["description"] == status["message"]
