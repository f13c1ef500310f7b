"""What OpenTelemetry's JavaScript SDK sends from Node.js is what is stored: field by field."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.node

PROGRAM = Path(__file__).parent.parent / "node"
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "ETIMEDOUT")
TRANSPORTS = [
    f"node-{encoding}-{packed}" for encoding in ("json", "proto") for packed in ("none", "gzip")
]

# What send.mjs gives as attributes, as text.
STORED = {
    "is.string": "naïve ☃",
    "is.empty": "",
    "is.true": "true",
    "is.false": "false",
    "is.int": "-42",
    "is.large": "9007199254740991",
    "is.double": "0.25",
    "is.strings": '["a","b"]',
    "is.numbers": "[1,2.5]",
    "is.bools": "[true,false]",
}


def stored(attributes: dict[str, Any]) -> dict[str, str]:
    return {key: STORED.get(key, value) for key, value in attributes.items()}


def iso(time_ns: str) -> str:
    """Return a time as ClickHouse prints DateTime64(9)."""
    seconds, ns = divmod(int(time_ns), 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ns:09}"


def row(span: dict[str, Any]) -> dict[str, Any]:
    events, links = span["events"], span["links"]
    return {
        "Timestamp": iso(span["start"]),
        "TraceId": span["traceId"],
        "SpanId": span["spanId"],
        "ParentSpanId": span["parentSpanId"],
        "TraceState": span["traceState"],
        "SpanName": span["name"],
        "SpanKind": span["kind"].title(),
        "ServiceName": span["resource"]["service.name"],
        "ResourceAttributes": stored(span["resource"]),
        "ScopeName": span["scope"]["name"],
        "ScopeVersion": span["scope"]["version"],
        "SpanAttributes": stored(span["attributes"]),
        "Duration": int(span["end"]) - int(span["start"]),
        "StatusCode": span["status"].title(),
        "StatusMessage": span["message"],
        "Events.Timestamp": [iso(event["time"]) for event in events],
        "Events.Name": [event["name"] for event in events],
        "Events.Attributes": [stored(event.get("attributes", {})) for event in events],
        "Links.TraceId": [link["traceId"] for link in links],
        "Links.SpanId": [link["spanId"] for link in links],
        "Links.TraceState": [link["traceState"] for link in links],
        "Links.Attributes": [stored(link["attributes"]) for link in links],
        "Weight": 2 if span["traceState"] else 1,
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Return a directory with send.mjs and what it needs."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node.js and npm are not installed here")
    directory = tmp_path_factory.mktemp("node")
    shutil.copytree(PROGRAM, directory, dirs_exist_ok=True)
    options = (
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--prefer-offline",
        "--ignore-scripts",
    )
    done = subprocess.run(
        ["npm", "install", *options],
        check=False,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=150,
    )
    if any(reason in done.stderr for reason in NO_NETWORK):
        pytest.skip("npm cannot reach its registry from here")
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def exchange(installed, start, read):
    """Run send.mjs against a server; return the spans it says it has sent, and the rows."""
    server = start()
    done = subprocess.run(
        ["node", "send.mjs", server.http],
        check=False,
        cwd=installed,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert server.stop() == 0
    assert server.errors() == ""
    sent = [json.loads(line) for line in done.stdout.splitlines()]
    return sent, read(server.data, spans="SELECT * FROM otel_traces")["spans"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_spans_are_stored_as_node_sent_them(exchange, transport):
    """Ids, times, kinds, status, trace state, events, links, resource and every type of attribute arrive unchanged."""
    sent, found = exchange
    mine = [span for span in sent if span["resource"]["service.name"] == transport]
    expected = {span["spanId"]: row(span) for span in mine}
    rows = [each for each in found if each["ServiceName"] == transport]
    for each in rows:
        assert each == expected[each["SpanId"]]
    assert len(rows) == len(expected) == 6
