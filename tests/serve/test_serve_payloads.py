"""Requests written by hand, in both encodings: each folder of cases/otlp-json holds a request and the rows it becomes.

`expected.json` is {table: [row, ...]}: rows of `otel_*` tables name every column, the others those that matter. Times
lie in 2100, so that nothing expires meanwhile.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub

CASES = {path.name: path for path in (Path(__file__).parent.parent / "cases/otlp-json").iterdir()}
EXPECTED = {name: json.loads((path / "expected.json").read_text()) for name, path in CASES.items()}
COMPRESSIONS = {"plain": bytes, "gzip": gzip.compress}
START_NS, END_NS = 4102444800 * 10**9, 4102444860 * 10**9


def request_of(case: str, compression: str) -> bytes:
    """Return the case's request under a service name of its own, so that its rows can be told from the others'."""
    text = (CASES[case] / "request.json").read_text()
    renamed = text.replace(f'"case-{case}"', f'"case-{case}-{compression}"')
    assert renamed != text
    return renamed.encode()


def summary(service: str) -> ExportMetricsServiceRequest:
    """Return a summary, which no SDK makes any more but bridges from other systems send."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    metric = resource.scope_metrics.add().metrics.add(name="rpc.duration", unit="s")
    point = metric.summary.data_points.add(
        start_time_unix_nano=START_NS, time_unix_nano=END_NS, count=3, sum=4.5, flags=1
    )
    point.attributes.add(key="rpc").value.string_value = "open"
    for quantile, value in ((0.0, 0.5), (0.5, 1.0), (1.0, 3.0)):
        point.quantile_values.add(quantile=quantile, value=value)
    return request


@pytest.fixture(scope="module")
def exchange(start, read):
    """Send every case, plain and compressed; return the answers and all rows."""
    # The cases are of the year 2100, so that no row expires.
    server = start(config={"max_ahead_minutes": 52_000_000})
    answers = {}
    for case in CASES:
        for compression, compress in COMPRESSIONS.items():
            answers[case, compression] = httpx.post(
                server.url(case),
                content=compress(request_of(case, compression)),
                headers={
                    "content-type": "application/json; charset=utf-8",
                    **({} if compression == "plain" else {"content-encoding": compression}),
                },
            )
    answers["summary", "http"] = httpx.post(
        server.url("metrics"),
        content=summary("summary-http").SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    with grpc.insecure_channel(server.grpc) as channel:
        answers["summary", "grpc"] = MetricsServiceStub(channel).Export(summary("summary-grpc"))
    assert server.stop() == 0
    assert server.errors() == ""
    tables = {table for expected in EXPECTED.values() for table in expected}
    return answers, read(
        server.data,
        **{table: f"SELECT * FROM {table} ORDER BY {order(table)}" for table in tables},
    )


def order(table: str) -> str:
    if table == "usage_minute":
        return "Operation"
    return "MetricName, length(Attributes)" if "metrics" in table else "Timestamp"


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("case", CASES)
def test_a_json_request_is_answered_in_json(exchange, case, compression):
    """The response to OTLP/JSON is 200, of the request's type, and an empty response object."""
    answer = exchange[0][case, compression]
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    ("case", "table"), [(case, table) for case in CASES for table in EXPECTED[case]]
)
def test_a_json_request_becomes_its_rows(exchange, case, table, compression):
    """Every row of the case is stored as its folder says, and no other."""
    service = f"case-{case}-{compression}"
    rows = [row for row in exchange[1][table] if row["ServiceName"] == service]
    expected = json.loads(
        json.dumps(EXPECTED[case][table]).replace(f'"case-{case}"', f'"{service}"')
    )
    for row, wanted in zip(rows, expected, strict=True):
        if table.startswith("otel_"):
            assert row == wanted
        else:
            assert {key: row[key] for key in wanted} == wanted


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_summary_in_protobuf_is_stored_field_by_field(exchange, transport):
    """A hand-made summary is acknowledged with an empty message and stored with all of its fields."""
    answers, tables = exchange
    answer = answers["summary", transport]
    if transport == "http":
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/x-protobuf"
    else:
        assert answer == ExportMetricsServiceResponse()
    (row,) = (
        row
        for row in tables["otel_metrics_summary"]
        if row["ServiceName"] == f"summary-{transport}"
    )
    assert row == {
        "ResourceAttributes": {"service.name": f"summary-{transport}"},
        "ResourceSchemaUrl": "",
        "ScopeName": "",
        "ScopeVersion": "",
        "ScopeAttributes": {},
        "ScopeDroppedAttrCount": 0,
        "ScopeSchemaUrl": "",
        "ServiceName": f"summary-{transport}",
        "MetricName": "rpc.duration",
        "MetricDescription": "",
        "MetricUnit": "s",
        "Attributes": {"rpc": "open"},
        "StartTimeUnix": "2100-01-01 00:00:00.000000000",
        "TimeUnix": "2100-01-01 00:01:00.000000000",
        "Count": 3,
        "Sum": 4.5,
        "ValueAtQuantiles.Quantile": [0, 0.5, 1],
        "ValueAtQuantiles.Value": [0.5, 1, 3],
        "Flags": 1,
    }
