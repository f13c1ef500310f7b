"""Several workers over one ClickHouse server: they share ports and work, and nothing is lost when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from headgate.cli.children import HEADGATE
from headgate.cli.workers import worker_directory
from headgate.store import find_server
from headgate.store.server import otlp_url, server_client


def spans(count, name):
    provider = TracerProvider(resource=Resource({"service.name": name}))
    tracer = provider.get_tracer("workers")
    made = []
    for _ in range(count):
        with tracer.start_as_current_span("work") as span:
            made.append(span)
    return made


class Served:
    """`headgate serve --workers 2` over the front of the embedded engine."""

    def __init__(self, directory, url):
        self.data = directory / "data"
        self._log = (directory / "stderr").open("wb")
        options = [
            "--otlp-grpc",
            "127.0.0.1:0",
            "--otlp-http",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
        ]
        self.process = subprocess.Popen(
            [*HEADGATE, "serve", "--workers", "2", "--store", url, "--data", self.data, *options],
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self.process.stdout.readline().startswith(b"headgate is ready")
        self.server = find_server(self.data)

    def pids(self):
        places = (worker_directory(self.data, number) for number in range(2))
        return [int((find_server(place) or {"pid": "0"})["pid"]) for place in places]

    def send(self, rounds, name):
        """Send from new connections, over both protocols, until taken; return how many spans."""
        for number in range(rounds):
            made = spans(5, name)
            if number % 2:
                exporter = GrpcExporter(
                    endpoint=self.server["otlp_grpc"], insecure=True, timeout=10
                )
                while exporter.export(made) is not SpanExportResult.SUCCESS:
                    time.sleep(0.1)
                exporter.shutdown()
            else:
                self.post(made)
        return 5 * rounds

    def post(self, made, secret=""):
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        body = encode_spans(made).SerializeToString()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                answer = httpx.post(
                    f"{otlp_url(self.server)}/v1/traces",
                    content=body,
                    headers={
                        "content-type": "application/x-protobuf",
                        **({"authorization": f"Bearer {secret}"} if secret else {}),
                    },
                )
            except httpx.HTTPError:
                time.sleep(0.1)
                continue
            if answer.is_success:
                return
            time.sleep(0.1)
        raise AssertionError("never taken")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process.stdout.close()
        self._log.close()
        return code


@pytest.fixture
def served(tmp_path, clickhouse, store):
    served = Served(tmp_path, f"http://127.0.0.1:{clickhouse.port}/{store.database}")
    yield served
    if served.process.poll() is None:
        served.process.kill()
        served.process.wait()
        served.process.stdout.close()
        served._log.close()


def test_workers_share_the_work_and_one_may_die(served):
    """Reports see what either holds; a killed worker comes back and finishes; SIGTERM ends all, with nothing left."""
    sent = served.send(16, "shop")
    with server_client(served.server) as api:
        said = api.get("/api/reports/usage", params={"service": "shop"})
        assert said.is_success, said.text
        assert said.json()["summary"]["calls"] == sent
        assert api.get("/api/status").json()["received"]["traces"] == sent
    shares = []
    for number in range(2):
        with server_client(find_server(worker_directory(served.data, number))) as worker:
            shares.append(worker.get("/api/vitals").json()["items"]["received"]["traces"])
    assert sum(shares) == sent
    assert all(shares), "the kernel gave everything to one of them"
    first, second = served.pids()
    os.kill(second, signal.SIGKILL)
    sent += served.send(10, "shop")
    deadline = time.monotonic() + 120
    while served.pids()[1] in {0, second} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert served.pids()[0] == first
    with server_client(served.server) as api:
        said = api.get("/api/reports/usage", params={"service": "shop"})
        assert said.is_success, said.text
        assert said.json()["summary"]["calls"] == sent
    pids = served.pids()
    assert served.end() == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)  # noqa: PTH110
    assert list(served.data.glob("workers/*/journal/*.journal")) == []


def test_workers_need_a_server(tmp_path):
    """The embedded store belongs to one process: one sentence, exit code 2."""
    ran = subprocess.run(
        [*HEADGATE, "serve", "--workers", "2", "--data", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "workers 2 need a ClickHouse server" in ran.stderr
    assert not ran.stdout


def test_tenants_are_apart_whichever_worker_receives(tmp_path, clickhouse, store):
    """Two tenants send through two workers: each one's report has its own spans, all of them, and nobody else's."""
    data = tmp_path / "data"
    secrets = {}
    for tenant in ("acme_of_workers", "globex_of_workers"):
        command = [*HEADGATE, "token", "create", tenant, "--data", data, "--tenant", tenant]
        made = subprocess.run(
            [*command, "--role", "admin"], capture_output=True, text=True, check=True
        )
        secrets[tenant] = made.stdout.strip()
    served = Served(tmp_path, f"http://127.0.0.1:{clickhouse.port}/{store.database}")
    sent = dict.fromkeys(secrets, 0)
    try:
        for number in range(24):
            tenant = list(secrets)[number % 3 > 0]
            served.post(spans(5, "shop"), secrets[tenant])
            sent[tenant] += 5
        shares = []
        for number in range(2):
            with server_client(find_server(worker_directory(data, number))) as worker:
                shares.append(worker.get("/api/vitals").json()["items"]["received"]["traces"])
        assert sum(shares) == sum(sent.values())
        assert all(shares), "the kernel gave everything to one of them"
        for tenant, secret in secrets.items():
            said = httpx.get(
                f"http://{served.server['api']}/api/reports/usage",
                headers={"authorization": f"Bearer {secret}"},
                timeout=60,
            )
            assert said.json()["summary"]["calls"] == sent[tenant]
    finally:
        assert served.end() == 0
        for tenant in secrets:
            store.client().command(f"DROP DATABASE IF EXISTS {tenant} SYNC")
