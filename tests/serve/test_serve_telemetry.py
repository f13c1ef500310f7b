"""Headgate's own telemetry: what one collector sends about itself, another stores; and when it is refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time

import httpx
import pytest
from otlp_examples import BODIES

from headgate.cli.children import HEADGATE
from headgate.collector.signals import Signal
from headgate.store import find_server
from headgate.store.server import otlp_url, server_client

ADDRESSES = ("--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0")


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts a server and returns what it tells about itself, and one that ends it."""
    started = []

    def start(name, **environ):
        process = subprocess.Popen(
            [*HEADGATE, "serve", "--data", tmp_path / name, *ADDRESSES],
            stdout=subprocess.PIPE,
            env={**os.environ, **environ},
        )
        started.append(process)
        assert process.stdout.readline().startswith(b"headgate is ready")
        return process, find_server(tmp_path / name)

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.stdout.close()


@pytest.mark.slow
def test_what_it_sends_about_itself_is_stored_elsewhere(serve):
    """A span a segment, with its items and size, and its vitals as metrics; the last ones when it is told to stop."""
    _, other = serve("other")
    process, watched = serve("watched", HEADGATE_TELEMETRY=otlp_url(other))
    answer = httpx.post(
        f"{otlp_url(watched)}/v1/traces",
        content=BODIES[Signal.TRACES],
        headers={"content-type": "application/x-protobuf"},
    )
    assert answer.is_success
    with server_client(watched) as api:
        assert api.get("/api/reports/usage").is_success  # which flushes
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    with server_client(other) as api:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            usage = api.get("/api/reports/usage", params={"service": "headgate"})
            if usage.is_success and usage.json()["rows"]:
                break
            time.sleep(0.5)
        assert [row["operation"] for row in usage.json()["rows"]] == ["store segment"]
        assert api.get("/api/status").json()["received"]["metrics"] > 0


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://{own}", "is this collector itself"),
        ("collector:4318", "is no address"),
    ],
)
def test_an_address_that_cannot_be_is_refused(tmp_path, address, says):
    """Exit code 2 and one sentence: sending to itself would never end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        own = f"127.0.0.1:{listener.getsockname()[1]}"
    ran = subprocess.run(
        [
            *HEADGATE,
            "serve",
            "--data",
            tmp_path,
            *ADDRESSES[:2],
            "--otlp-http",
            own,
            *ADDRESSES[4:],
        ],
        env={**os.environ, "HEADGATE_TELEMETRY": address.format(own=own)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert says in ran.stderr
