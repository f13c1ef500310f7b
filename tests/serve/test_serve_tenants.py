"""Tokens and tenants in a running server with TLS: who may do what, and whose data lies where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
import pytest
import trustme
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

HEADGATE = str(Path(sys.executable).with_name("headgate"))
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = {"content-type": "application/x-protobuf"}
QUERY = "SELECT ServiceName AS service, count() AS n FROM {}.otel_traces GROUP BY 1 ORDER BY 1"
LEDGER = "SELECT sum(Received) AS received, sum(Stored) AS stored FROM {}.ledger"


def headgate(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEADGATE, *arguments],
        check=False,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def token(data: Path, name: str, *options: str) -> str:
    """Make a token as a user does and return it."""
    done = headgate("token", "create", name, "--data", str(data), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def body(name: str) -> bytes:
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    batch.resource.attributes.add(key="service.name").value.string_value = name
    batch.scope_spans.add().spans.add(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        name="op",
        kind=2,
        start_time_unix_nano=time.time_ns(),
        end_time_unix_nano=time.time_ns() + 5,
    )
    return request.SerializeToString()


class Export(SimpleSpanProcessor):
    """Exports each span at its end, and remembers how that went."""

    def __init__(self, exporter):
        super().__init__(exporter)
        self.results = []
        export = exporter.export

        def remembered(spans):
            self.results.append(export(spans))
            return self.results[-1]

        exporter.export = remembered


def span_from_sdk(exporter, service: str) -> None:
    provider = TracerProvider(resource=Resource({"service.name": service}))
    processor = Export(exporter)
    provider.add_span_processor(processor)
    with provider.get_tracer("t").start_as_current_span("op"):
        pass
    provider.shutdown()
    assert processor.results == [SpanExportResult.SUCCESS]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Yield (directory, CA) with the server's certificate and key in it."""
    directory = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(directory / "ca.pem")
    made = ca.issue_cert("127.0.0.1", "localhost")
    made.private_key_pem.write_to_path(directory / "key.pem")
    (directory / "cert.pem").write_bytes(b"".join(p.bytes() for p in made.cert_chain_pems))
    return directory, ca


@pytest.fixture(scope="module")
def town(start, tmp_path_factory, authority):
    """Start a server with TLS and tokens of two tenants; return it, the tokens and a client that trusts it."""
    data = tmp_path_factory.mktemp("town") / "data"
    secrets = {
        "acme": token(data, "acme app", "--tenant", "acme"),
        "acme reader": token(data, "acme desk", "--tenant", "acme", "--role", "read"),
        "globex": token(data, "globex app", "--tenant", "globex", "--role", "ingest"),
        "globex admin": token(data, "globex boss", "--tenant", "globex", "--role", "admin"),
    }
    directory, ca = authority
    tls = {"tls_cert": str(directory / "cert.pem"), "tls_key": str(directory / "key.pem")}
    server = start(data=data, config=tls)
    trusted = httpx.create_ssl_context()
    ca.configure_trust(trusted)
    with httpx.Client(verify=trusted, timeout=30) as client:
        yield server, secrets, client


def url(server, signal="traces") -> str:
    return f"https://{server.http}/v1/{signal}"


def channel(server, authority) -> grpc.Channel:
    roots = (authority[0] / "ca.pem").read_bytes()
    return grpc.secure_channel(server.grpc, grpc.ssl_channel_credentials(roots))


def unauthorized(server, client) -> float:
    """Return the metric of requests without a valid token, as whoever may read the data directory."""
    own = json.loads((server.data / "headgate.lock").read_text())["token"]
    text = client.get(f"https://{server.api}/metrics", headers=bearer(own)).text
    (line,) = [
        x for x in text.splitlines() if x.startswith("headgate_unauthorized_requests_total ")
    ]
    return float(line.split()[1])


def usage(client, server, secret: str) -> int:
    answer = client.get(
        f"https://{server.api}/api/reports/usage", params={"since": "1h"}, headers=bearer(secret)
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["summary"]["calls"]


def test_who_has_no_token_is_refused_in_the_protocols_words(town, authority):
    """401 with a challenge, 403 for a reader; UNAUTHENTICATED and PERMISSION_DENIED; not retryable, and counted."""
    server, secrets, client = town
    before = unauthorized(server, client)
    for headers, status in (
        ({}, 401),
        (bearer("hg_wrong"), 401),
        ({"authorization": f"Basic {secrets['acme']}"}, 401),
        (bearer(secrets["acme reader"]), 403),
    ):
        answer = client.post(url(server), headers=PROTOBUF | headers, content=body("nobody"))
        assert (answer.status_code, "retry-after" in answer.headers) == (status, False)
        assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
    with channel(server, authority) as open_channel:
        call = open_channel.unary_unary(TRACES)
        for metadata, code in (
            ([], grpc.StatusCode.UNAUTHENTICATED),
            ([("authorization", "Bearer hg_wrong")], grpc.StatusCode.UNAUTHENTICATED),
            (list(bearer(secrets["acme reader"]).items()), grpc.StatusCode.PERMISSION_DENIED),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(body("nobody"), metadata=metadata)
            assert caught.value.code() is code
    assert unauthorized(server, client) - before == 7


def test_each_tenants_reports_count_its_own_data(town, authority, monkeypatch):
    """Two tenants send over both protocols with OpenTelemetry's own exporters, and each reads what it sent."""
    server, secrets, client = town
    directory = authority[0]
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)  # requests prefers them to what an exporter is told
    before = {
        name: usage(client, server, secrets[name]) for name in ("acme reader", "globex admin")
    }
    roots = grpc.ssl_channel_credentials((directory / "ca.pem").read_bytes())
    for name, times in (("acme", 1), ("globex", 2)):
        for _ in range(times):
            span_from_sdk(
                HttpExporter(
                    endpoint=url(server),
                    headers=bearer(secrets[name]),
                    certificate_file=str(directory / "ca.pem"),
                ),
                name,
            )
            span_from_sdk(
                GrpcExporter(
                    endpoint=f"https://{server.grpc}",
                    credentials=roots,
                    headers=bearer(secrets[name]),
                ),
                name,
            )
    assert usage(client, server, secrets["acme reader"]) == before["acme reader"] + 2
    assert usage(client, server, secrets["globex admin"]) == before["globex admin"] + 4


def test_roles_at_the_api(town):
    """A sender reads nothing, a reader changes nothing; a browser's password reads; /healthz asks nobody."""
    server, secrets, client = town
    base = f"https://{server.api}"
    assert client.get(f"{base}/healthz").status_code == 200
    assert client.get(f"{base}/api/reports").status_code == 401
    assert client.get(f"{base}/api/reports", headers=bearer(secrets["acme"])).status_code == 403
    reader = bearer(secrets["acme reader"])
    assert client.get(f"{base}/api/reports", headers=reader).status_code == 200
    refused = client.post(f"{base}/api/reports", headers=reader)
    assert refused.status_code == 403
    assert "has the role read, and this takes admin" in refused.json()["error"]
    admin = bearer(secrets["globex admin"])
    assert client.post(f"{base}/api/reports", headers=admin).status_code == 405, "was let through"
    browser = httpx.BasicAuth("anybody", secrets["globex admin"])
    assert client.get(f"{base}/api/reports", auth=browser).status_code == 200
    assert client.post(f"{base}/api/reports", auth=browser).status_code == 401


def test_the_command_line_asks_as_who_it_is(town):
    """On the server's machine without a token for its own database, with one for the tenant's."""
    server, secrets, client = town
    data = str(server.data)
    arguments = ("report", "usage", "--since", "1h", "--format", "json", "--data", data)
    own = headgate(*arguments)
    assert own.returncode == 0, own.stderr
    assert json.loads(own.stdout)["summary"]["calls"] == 0
    tenant = headgate(*arguments, HEADGATE_TOKEN=secrets["acme reader"])
    expected = usage(client, server, secrets["acme reader"])
    assert json.loads(tenant.stdout)["summary"]["calls"] == expected
    wrong = headgate(*arguments, "--token", secrets["acme"])
    assert wrong.returncode == 2
    assert "has the role ingest, and this takes read" in wrong.stderr


def test_tokens_come_and_go_without_a_restart(town):
    """A new one is let in and a revoked one refused, within seconds; the list shows no token."""
    server, _, client = town
    fresh = token(server.data, "for a while", "--tenant", "acme", "--days", "1")

    def send() -> int:
        headers = PROTOBUF | bearer(fresh)
        return client.post(url(server), headers=headers, content=body("acme")).status_code

    def wait_for(status: int) -> None:
        deadline = time.monotonic() + 10
        while send() != status:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    wait_for(200)
    listed = headgate("token", "list", "--data", str(server.data))
    assert fresh not in listed.stdout
    (row,) = (line for line in listed.stdout.splitlines() if "for a while" in line)
    revoked = headgate("token", "revoke", row.split()[0], "--data", str(server.data))
    assert revoked.returncode == 0, revoked.stderr
    wait_for(401)


def test_a_tenants_data_survives_a_crash_in_its_own_database(start, read, tmp_path_factory):
    """Acknowledged and killed at once: each tenant's rows and ledger are in its database, nothing in the server's."""
    data = tmp_path_factory.mktemp("crash") / "data"
    secrets = {name: token(data, name, "--tenant", name) for name in ("acme", "globex")}
    server = start(data=data)
    again = body("acme")
    for content, name in ((again, "acme"), (body("globex"), "globex"), (again, "globex")):
        headers = PROTOBUF | bearer(secrets[name])
        assert httpx.post(server.url("traces"), headers=headers, content=content).status_code == 200
    server.kill()
    server = start(data=data)
    headers = PROTOBUF | bearer(secrets["acme"])
    assert httpx.post(server.url("traces"), headers=headers, content=again).status_code == 200
    for name in secrets:  # a stop waits a few seconds only, a report for everything
        reader = token(data, f"{name} reader", "--tenant", name, "--role", "read")
        time.sleep(1.1)
        report = f"http://{server.api}/api/reports/usage"
        assert httpx.get(report, headers=bearer(reader), timeout=60).status_code == 200
    assert server.stop() == 0
    found = read(
        data,
        acme=QUERY.format("acme"),
        globex=QUERY.format("globex"),
        own="SELECT count() AS n FROM otel_traces",
        books=LEDGER.format("globex"),
    )
    assert found["acme"] == [{"service": "acme", "n": 1}], "a retransmission is known by tenant"
    assert found["globex"] == [{"service": "acme", "n": 1}, {"service": "globex", "n": 1}]
    assert found["own"] == [{"n": 0}]
    assert found["books"] == [{"received": 2, "stored": 2}]
