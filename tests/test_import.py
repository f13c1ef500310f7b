"""Files are loaded once and counted exactly, through whatever a collector may answer."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from headgate.cli import sending
from headgate.cli.children import HEADGATE
from headgate.cli.ending import Interrupted, Stop
from headgate.cli.loading import Tally, load_files
from headgate.cli.sending import Answer, Sender, Unreachable
from headgate.collector.otlp_json import REQUESTS, to_protobuf
from headgate.collector.signals import Signal
from headgate.store import find_server

PROTOBUF = "application/x-protobuf"
NOW_NS = time.time_ns()
DAY_NS = 86_400 * 10**9


def spans(*names: str, time_ns: int = NOW_NS, service: str = "shop") -> dict:
    made = [
        {
            "traceId": f"{random.getrandbits(128) | 1:032x}",
            "spanId": f"{random.getrandbits(64) | 1:016x}",
            "name": name,
            "kind": 2,
            "startTimeUnixNano": str(time_ns),
            "endTimeUnixNano": str(time_ns + 5_000_000),
        }
        for name in names
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": made}]}]}


def logs(*bodies: str) -> dict:
    made = [{"timeUnixNano": str(NOW_NS), "body": {"stringValue": b}} for b in bodies]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": made}]}]}


def gauge(name: str, *values: float) -> dict:
    points = [{"timeUnixNano": str(NOW_NS), "asDouble": v} for v in values]
    metrics = [{"name": name, "gauge": {"dataPoints": points}}]
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}


def binary(signal: Signal, document: dict) -> bytes:
    return to_protobuf(signal, json.dumps(document).encode())


class Endpoint:
    """An OTLP/HTTP endpoint on loopback that answers by a script, then always with success."""

    def __init__(self) -> None:
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.received: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                status, headers, content = endpoint.answer(self.path, body)
                self.send_response(status)
                for name, value in {"Content-Type": PROTOBUF, **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.received.append((path, body))
            return self.script.pop(0) if self.script else (200, {}, b"")

    def items(self) -> Counter[str]:
        """Return the names of the spans that were received."""
        names: Counter[str] = Counter()
        for path, body in self.received:
            assert path == "/v1/traces"
            request = REQUESTS[Signal.TRACES].FromString(body)
            for resource in request.resource_spans:
                names.update(s.name for scope in resource.scope_spans for s in scope.spans)
        return names


@pytest.fixture
def endpoint():
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def slept():
    return []


@pytest.fixture
def sender(endpoint, slept):
    made = Sender(endpoint.address, slept.append, compress=False)
    yield made
    made.close()


def refusal(message: str) -> tuple[int, dict[str, str], bytes]:
    return 400, {}, Status(code=3, message=message).SerializeToString()


def partial(rejected: int, message: str) -> tuple[int, dict[str, str], bytes]:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    return 200, {}, answer.SerializeToString()


def test_success(sender, endpoint):
    """An empty 200 is success, on the path of the signal."""
    assert sender.send(Signal.LOGS, b"") == Answer()
    assert endpoint.received == [("/v1/logs", b"")]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retries(sender, endpoint, slept, status):
    """What the protocol calls retryable is sent again, after what Retry-After asks for if it does."""
    endpoint.script = [(status, {}, b""), (status, {"Retry-After": "3"}, b""), (status, {}, b"")]
    assert sender.send(Signal.TRACES, b"") == Answer()
    assert slept == [0.5, 3.0, 2.0]
    assert len(endpoint.received) == 4


def test_retry_after_date(sender, endpoint, slept):
    """A date in Retry-After is waited for, but never longer than half a minute."""
    endpoint.script = [(503, {"Retry-After": "Fri, 31 Dec 2999 23:59:59 GMT"}, b"")]
    sender.send(Signal.TRACES, b"")
    endpoint.script = [(503, {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, b"")]
    sender.send(Signal.TRACES, b"")
    endpoint.script = [(503, {"Retry-After": "soon"}, b"")]
    sender.send(Signal.TRACES, b"")
    assert slept == [30.0, 0.0, 0.5]


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500, 501])
def test_refusals_are_final(sender, endpoint, slept, status):
    """Any other failure is final, and its words are those of the status in its body."""
    endpoint.script = [(status, {}, Status(message="no such thing").SerializeToString())]
    answer = sender.send(Signal.TRACES, b"")
    assert answer == Answer(refused=True, message=f"no such thing (HTTP {status})")
    assert slept == []


def test_other_words(sender, endpoint):
    """A failure that is not OTLP's is shown by its text, an unreadable one by its name."""
    endpoint.script = [(404, {"Content-Type": "text/plain"}, b"nothing here")]
    assert sender.send(Signal.TRACES, b"").message == "nothing here (HTTP 404)"
    endpoint.script = [(404, {}, b"\xff\xff")]
    assert sender.send(Signal.TRACES, b"").message == "an unreadable answer (HTTP 404)"
    endpoint.script = [(403, {"Content-Type": "text/plain"}, b"")]
    assert sender.send(Signal.TRACES, b"").message == "Forbidden (HTTP 403)"
    endpoint.script = [(200, {}, b"<html>")]
    assert sender.send(Signal.TRACES, b"") == Answer(refused=True, message="its answer is not OTLP")


def test_partial_success(sender, endpoint):
    """A partial success says how many items were rejected and why, and is not sent again."""
    endpoint.script = [partial(2, "no time")]
    assert sender.send(Signal.TRACES, b"") == Answer(rejected=2, message="no time")
    assert len(endpoint.received) == 1


def test_compression(endpoint, slept):
    """Compressed requests arrive as what they were."""
    body = binary(Signal.TRACES, spans("a"))
    sender = Sender(endpoint.address + "/", slept.append, compress=True)
    sender.send(Signal.TRACES, body)
    sender.close()
    assert endpoint.received == [("/v1/traces", body)]


def test_nobody_listens(endpoint, slept):
    """When nobody answers for as long as patience lasts, the sentence names the endpoint."""
    endpoint.server.shutdown()
    endpoint.server.server_close()
    clock = iter([0.0, 1.0, sending.PATIENCE_S, sending.PATIENCE_S + 1]).__next__
    sender = Sender(endpoint.address, slept.append, compress=False, clock=clock)
    with pytest.raises(Unreachable, match=rf"the collector at {endpoint.address} takes no data"):
        sender.send(Signal.TRACES, b"")
    sender.close()
    assert slept == [0.5, 1.0]


def load(files, sender, stop=None) -> Tally:
    """Load files to the end and return the tally."""
    *_, tally = load_files(files, None, sender.send, NOW_NS - 7 * DAY_NS, stop or Stop())
    return tally


def write_lines(path, *documents: dict):
    path.write_bytes(b"".join(json.dumps(d).encode() + b"\n" for d in documents))
    return path


def test_everything_arrives_once(tmp_path, sender, endpoint):
    """Every span of several files arrives exactly once, in far fewer requests than lines."""
    names = [f"span {n} {'x' * 400}" for n in range(6000)]
    files = [
        write_lines(tmp_path / f"{part}.jsonl", *[spans(n) for n in names[part::3]])
        for part in range(3)
    ]
    tally = load(files, sender)
    assert endpoint.items() == Counter(names)
    assert tally.taken == {Signal.TRACES: 6000}
    assert tally.position == sum(f.stat().st_size for f in files)
    assert not tally.problems
    assert 3 <= len(endpoint.received) <= 6


def test_a_refused_batch_costs_its_bad_line(tmp_path, sender, endpoint):
    """When a batch is refused, its lines are sent singly, and only the bad one is reported."""
    path = write_lines(tmp_path / "a.jsonl", spans("a"), spans("b", "c"), spans("d"))
    endpoint.script = [refusal("bad"), (200, {}, b""), refusal("no id"), (200, {}, b"")]
    tally = load([path], sender)
    assert tally.taken == {Signal.TRACES: 2}
    assert tally.rejected == {Signal.TRACES: 2}
    assert [(p.place, p.message, p.count) for p in tally.problems] == [
        (f"{path}, line 2", "no id (HTTP 400)", 2)
    ]


def test_partly_rejected(tmp_path, sender, endpoint):
    """Items of a partial success count as rejected, with its reason."""
    path = write_lines(tmp_path / "a.jsonl", spans("a", "b", "c"))
    endpoint.script = [partial(1, "too old")]
    tally = load([path], sender)
    assert (tally.taken[Signal.TRACES], tally.rejected[Signal.TRACES]) == (2, 1)
    assert [p.message for p in tally.problems] == ["too old"]


def test_damage_is_counted(tmp_path, sender):
    """A damaged line is a problem with its place; the rest is loaded."""
    path = write_lines(tmp_path / "a.jsonl", spans("a"), spans("b"))
    path.write_bytes(path.read_bytes() + b'{"resourceSpans":[')
    tally = load([path], sender)
    assert tally.taken == {Signal.TRACES: 2}
    assert [p.place for p in tally.problems] == [f"{path}, line 3"]


def test_old_items(tmp_path, sender):
    """Items from before the limit are counted as old; items without a time are not."""
    path = write_lines(
        tmp_path / "a.jsonl",
        spans("old", "older", time_ns=NOW_NS - 8 * DAY_NS),
        spans("new", time_ns=NOW_NS - 6 * DAY_NS),
        spans("timeless", time_ns=0),
        logs("x"),
    )
    assert load([path], sender).old == 2


def test_interruption_ends_the_waiting(tmp_path, endpoint):
    """Being asked to end ends a load whose requests are waiting to be tried again."""
    stop = Stop()
    endpoint.script = [(503, {"Retry-After": "30"}, b"")] * 100
    path = write_lines(tmp_path / "a.jsonl", spans("a"))
    sender = Sender(endpoint.address, stop.sleep, compress=False)
    timer = threading.Timer(0.3, stop.ask)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        load([path], sender, stop)
    timer.join()
    sender.close()
    assert time.monotonic() - begun < 10


def headgate(*arguments: str | os.PathLike) -> subprocess.CompletedProcess[str]:
    """Run the `headgate` command to its end."""
    return subprocess.run(
        [*HEADGATE, *map(os.fspath, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def serving(data):
    """Run `headgate serve` on free ports while the context lasts; gives its addresses."""
    ports = [f"--{name}=127.0.0.1:0" for name in ("otlp-grpc", "otlp-http", "api")]
    command = [*HEADGATE, "serve", "--data", str(data), *ports]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while (server := find_server(data)) is None:
                assert process.poll() is None
                time.sleep(0.05)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def calls_by_operation(data) -> dict[str, int]:
    """Return the calls of each operation as the performance report counts them."""
    answer = headgate("report", "performance", "--data", data, "--format", "json")
    assert answer.returncode == 0, answer.stderr
    return {row["operation"]: row["calls"] for row in json.loads(answer.stdout)["rows"]}


@pytest.fixture
def recorded(tmp_path):
    """Files of every layout with known spans, logs and metric points, and the spans' counts."""
    rng = random.Random(11)  # noqa: S311  # no secrets
    names = [f"operation {rng.randrange(9)}" for _ in range(4000)]
    lines = write_lines(
        tmp_path / "a.jsonl", *[spans(*names[n : n + 10]) for n in range(0, 1500, 10)]
    )
    compressed = tmp_path / "b.jsonl.gz"
    compressed.write_bytes(gzip.compress(json.dumps(spans(*names[1500:2000])).encode() + b"\n"))
    framed = tmp_path / "c.pb"
    bodies = [binary(Signal.TRACES, spans(*names[n : n + 50])) for n in range(2000, 3000, 50)]
    bodies.append(binary(Signal.LOGS, logs(*"abcdefg")))
    framed.write_bytes(b"".join(len(b).to_bytes(4, "big") + b for b in bodies))
    single = tmp_path / "d.pb"
    single.write_bytes(binary(Signal.TRACES, spans(*names[3000:])))
    metrics = tmp_path / "e.json"
    metrics.write_text(json.dumps(gauge("temperature", 1.0, 2.5, -3.0), indent=2))
    return [lines, compressed, framed, single, metrics], Counter(names)


@pytest.mark.slow
@pytest.mark.parametrize("running", [False, True], ids=["no server", "server"])
def test_import_is_counted_exactly(tmp_path, recorded, running):
    """What files hold is what the report counts, whether a server owns the directory or none does."""
    files, expected = recorded
    data = tmp_path / "data"
    if running:
        with serving(data):
            done = headgate("import", *files, "--data", data)
            counted = calls_by_operation(data)
    else:
        done = headgate("import", *files, "--data", data)
        counted = calls_by_operation(data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "Loaded 4,000 spans, 7 log records, 3 metric points from 5 files in "
    )
    assert done.stderr == ""
    assert counted == expected


@pytest.mark.slow
def test_import_into_an_endpoint(tmp_path, recorded):
    """With --endpoint the files go to any OTLP/HTTP endpoint, ours among them, compressed."""
    files, expected = recorded
    data = tmp_path / "data"
    with serving(data) as server:
        done = headgate("import", *files, "--endpoint", f"http://{server['otlp_http']}")
        assert done.returncode == 0, done.stderr
        assert calls_by_operation(data) == expected


@pytest.mark.slow
def test_import_of_old_and_damaged_files(tmp_path):
    """Damage gives exit code 1 with its place, old items a note; what is whole is loaded."""
    old = write_lines(tmp_path / "old.jsonl", spans("a", "b", time_ns=NOW_NS - 9 * DAY_NS))
    torn = write_lines(tmp_path / "torn.jsonl", spans("c"), spans("d"))
    torn.write_bytes(torn.read_bytes()[:-30])
    data = tmp_path / "data"
    done = headgate("import", old, torn, "--data", data)
    assert done.returncode == 1
    assert done.stdout.startswith("Loaded 3 spans from 2 files in ")
    assert "skipped 1 damaged part." in done.stdout
    assert "Older than the 7 days for which raw rows are kept: 2." in done.stdout
    assert done.stderr.startswith(f"{torn}, line 2: is torn or not JSON")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nothing.jsonl", None, "nothing.jsonl: No such file or directory"),
        ("picture.png", b"\x89PNG", "picture.png holds neither OTLP/JSON lines nor OTLP protobuf"),
    ],
)
def test_import_of_no_otlp(tmp_path, endpoint, name, content, words):
    """A file that is missing or something else is one sentence and exit code 2."""
    path = tmp_path / name
    if content:
        path.write_bytes(content)
    done = headgate("import", path, "--endpoint", endpoint.address)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
