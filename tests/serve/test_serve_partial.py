"""A request with single bad items: the good ones are stored, the bad ones counted by service, the sender told."""

from __future__ import annotations

import gzip
import json
import os

import grpc
import httpx
import pytest
from backports import zstd
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
START_NS = 4102444800 * 10**9  # in 2100, so that nothing expires meanwhile
SAID = "1 with a parent span id that is neither 8 bytes nor empty, 2 without a valid trace id"


def request(service: str) -> ExportTraceServiceRequest:
    """Return a request of two good and three bad spans."""
    made = ExportTraceServiceRequest()
    batch = made.resource_spans.add()
    batch.resource.attributes.add(key="service.name").value.string_value = service
    spans = batch.scope_spans.add().spans
    for number in range(5):
        spans.add(
            trace_id=(bytes(16), b"\x01" * 3, *[os.urandom(16)] * 3)[number],
            span_id=os.urandom(8),
            parent_span_id=b"?" if number == 2 else b"",
            name=f"{service}-{number}",
            kind=2,
            start_time_unix_nano=START_NS,
            end_time_unix_nano=START_NS + 1,
        )
    return made


def as_json(made: ExportTraceServiceRequest) -> bytes:
    return json.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {
                        "attributes": [{"key": "service.name", "value": {"stringValue": "json"}}]
                    },
                    "scopeSpans": [
                        {
                            "spans": [
                                {
                                    "traceId": span.trace_id.hex(),
                                    "spanId": span.span_id.hex(),
                                    "parentSpanId": span.parent_span_id.hex(),
                                    "name": span.name,
                                    "startTimeUnixNano": str(span.start_time_unix_nano),
                                }
                                for span in made.resource_spans[0].scope_spans[0].spans
                            ]
                        }
                    ],
                }
            ]
        }
    ).encode()


@pytest.fixture(scope="module")
def sent(start, read):
    """Send such a request in every way, also again and after a crash, and one without a good item."""
    server = start()
    answers = {}
    bodies = {
        "plain": request("plain").SerializeToString(),
        "gzip": gzip.compress(request("gzip").SerializeToString()),
        "zstd": zstd.compress(request("zstd").SerializeToString()),
        "json": as_json(request("json")),
    }

    def post(name):
        headers = {"content-type": JSON if name == "json" else PROTOBUF}
        if name in {"gzip", "zstd"}:
            headers["content-encoding"] = name
        return httpx.post(server.url("traces"), headers=headers, content=bodies[name])

    for name in bodies:
        answers[name] = post(name)
    with grpc.insecure_channel(server.grpc) as channel:
        answers["grpc"] = channel.unary_unary(TRACES)(request("grpc").SerializeToString())
    answers["again"] = post("plain")
    # So that the last count has time to follow its request to the disk.
    httpx.post(server.url("traces"), headers={"content-type": PROTOBUF})
    server.kill()
    server = start(data=server.data)
    answers["after a crash"] = post("gzip")
    hopeless = request("hopeless")
    del hopeless.resource_spans[0].scope_spans[0].spans[3:]
    bodies["hopeless"] = hopeless.SerializeToString()
    answers["hopeless"] = post("hopeless")
    # A stop waits a few seconds only, a report for everything: the machine may be busy.
    assert httpx.get(f"http://{server.api}/api/reports/usage", timeout=60).status_code == 200
    assert server.stop() == 0
    assert "Traceback" not in server.errors()
    found = read(
        server.data,
        names="SELECT SpanName AS name, count() AS n FROM otel_traces GROUP BY name ORDER BY name",
        ledger="SELECT ServiceName AS service, sum(Received) AS received, sum(Stored) AS stored,"
        " sum(Rejected) AS rejected, sum(Duplicate) AS duplicate,"
        " sum(ReceivedBytes) - sum(StoredBytes) - sum(RejectedBytes) - sum(DuplicateBytes) AS off"
        " FROM ledger GROUP BY service",
    )
    return answers, found


@pytest.mark.parametrize("way", ["plain", "gzip", "zstd", "grpc", "again", "after a crash"])
def test_the_sender_is_told_how_many_and_why(sent, way):
    """Success, with the exact count and a sentence; a retransmission, even after a crash, is told the same."""
    answer = sent[0][way]
    if way != "grpc":
        assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
        answer = answer.content
    told = ExportTraceServiceResponse.FromString(answer).partial_success
    assert told.rejected_spans == 3
    assert told.error_message.startswith(f"3 spans were not taken: {SAID}")


def test_json_is_told_in_json(sent):
    """As camel case, the number as a string, as OTLP/JSON has it."""
    told = json.loads(sent[0]["json"].text)["partialSuccess"]
    assert told["rejectedSpans"] == "3"
    assert SAID in told["errorMessage"]


def test_the_good_items_are_stored_once(sent):
    """Whatever the way, and however often it was sent."""
    good = {f"{name}-{n}": 1 for name in ("plain", "gzip", "zstd", "json", "grpc") for n in (3, 4)}
    assert {row["name"]: row["n"] for row in sent[1]["names"]} == good


def test_the_bad_items_are_in_the_ledger_of_their_service(sent):
    """Rejected, in items and bytes; a retransmission is a duplicate as a whole; received is the sum."""
    books = {row["service"]: row for row in sent[1]["ledger"]}
    for name in ("plain", "gzip", "zstd", "json", "grpc"):
        assert (books[name]["received"], books[name]["stored"]) == (5, 2)
        assert books[name]["rejected"] == 3
    assert books["hopeless"]["rejected"] == books["hopeless"]["received"] == 3
    # The first retransmission was counted in memory when the crash came.
    assert 5 <= books[""]["duplicate"] == books[""]["received"] <= 10
    assert {row["off"] for row in books.values()} == {0}


def test_a_request_without_a_good_item_is_refused(sent):
    """Nothing was taken: 400, so that clients notice who never look at a partial success."""
    answer = sent[0]["hopeless"]
    assert answer.status_code == 400
    assert "3 spans were not taken" in answer.text
