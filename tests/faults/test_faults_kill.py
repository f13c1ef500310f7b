"""The collector is killed at random moments while real clients send: every acknowledged span is stored exactly once.

With sampling, every acknowledged span is counted exactly once, and what the plans have chosen is stored exactly once.
HEADGATE_FAULTS=long kills it at least fifty times, else four times; HEADGATE_FAULTS_SEED chooses other moments.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

LONG = os.environ.get("HEADGATE_FAULTS") == "long"
SEED = int(os.environ.get("HEADGATE_FAULTS_SEED", "1"))
CLIENTS = Path(__file__).parent / "retrying_clients.py"
EXPORT_TIMEOUT_S = 5
TIMES_FULL = 60 if LONG else 15
READ = """
import json, sys
from pathlib import Path
from headgate.store import embedded_store
client = embedded_store(Path(sys.argv[1]) / "clickhouse").client()
print(json.dumps({name: client.query(sql).result_rows for name, sql in json.load(sys.stdin).items()}))
"""
QUERIES = {
    "spans": "SELECT lower(SpanId), toUnixTimestamp64Nano(Timestamp) FROM otel_traces",
    "events": "SELECT count(), countIf(SpanKind IN ('Server')) FROM otel_traces",
    "event rows": "SELECT count() FROM events",
    "rollups": "SELECT (SELECT sum(Calls) FROM usage_minute), (SELECT sum(Calls) FROM usage_quarter),"
    " (SELECT sum(Calls) FROM usage_day), (SELECT sum(Calls) FROM user_hour),"
    " (SELECT sum(Calls) FROM user_day)",
    "minutes": "SELECT toUnixTimestamp(Time), sum(Calls), sum(DurationSum) FROM usage_minute"
    " GROUP BY Time ORDER BY Time",
    "raw minutes": "SELECT intDiv(toUnixTimestamp64Nano(Timestamp), 60000000000) * 60 AS m, count(),"
    " sum(Duration) FROM otel_traces GROUP BY m ORDER BY m",
    "history": "SELECT Signal, sum(Rows), sum(KeptRows), sum(Requests), min(LeastProbability)"
    " FROM sampling_history GROUP BY Signal ORDER BY Signal",
    "weights": "SELECT sum(Weight), sum(Weight * (Weight - 1)), max(Weight) FROM otel_traces"
    " WHERE SpanKind = 'Server'",
    "halves": "SELECT count() FROM (SELECT TraceId FROM otel_traces GROUP BY TraceId HAVING count() != 2)",
    "ledger": "SELECT sum(Received), sum(Stored), sum(Rejected), sum(Duplicate), sum(SampledOut)"
    " FROM ledger",
}


class Collector:
    """`headgate serve` on ports that stay the same, in a far time zone; started and ended any number of times."""

    def __init__(self, directory: Path, sampling: str) -> None:
        self.data = directory / "data"
        (directory / "tmp").mkdir()
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = [listener.getsockname()[1] for listener in listeners]
        for listener in listeners:
            listener.close()
        self.grpc, self.http, self.api = (f"127.0.0.1:{port}" for port in ports)
        self._errors = directory / "stderr"
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("HEADGATE_")}
        self._environ |= {
            "TZ": "Asia/Kolkata",
            "TMPDIR": str(directory / "tmp"),
            "HEADGATE_SAMPLING": sampling,
        }
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and return at once."""
        command = [
            str(Path(sys.executable).with_name("headgate")),
            "serve",
            "--data",
            str(self.data),
        ]
        command += ["--otlp-grpc", self.grpc, "--otlp-http", self.http, "--api", self.api]
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                command, env=self._environ, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def wait_ready(self) -> None:
        """Return when it has said that it is ready."""
        said = self._process.stdout.readline()
        assert "ready" in said, self.errors()

    def end(self, how: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(how)
        code = self._process.wait(15)
        self._process.stdout.close()
        return code

    def errors(self) -> str:
        return self._errors.read_text()

    def segments(self) -> list[Path]:
        return sorted((self.data / "journal").glob("*.journal"))

    def read(self) -> dict[str, list]:
        """Return the answers of a store that no process owns."""
        done = subprocess.run(
            [sys.executable, "-c", READ, str(self.data)],
            check=False, input=json.dumps(QUERIES), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def collector(tmp_path, request):
    marker = request.node.get_closest_marker("sampling")
    made = Collector(tmp_path, marker.args[0] if marker else "{enabled: false}")
    yield made
    if made._process.poll() is None:
        made.end(signal.SIGKILL)


@pytest.fixture
def clients(collector):
    """Start the clients; return a function that lets them finish and returns what was acknowledged."""
    process = subprocess.Popen(
        [sys.executable, CLIENTS, collector.grpc, collector.http, str(EXPORT_TIMEOUT_S)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def finish():
        answer, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return json.loads(answer)

    yield finish
    process.kill()
    process.wait(10)
    process.stdout.close()


def check(collector: Collector, sent: dict) -> None:
    """Assert that the store has what was acknowledged, once and unchanged, and that its rollups and ledger agree."""
    found = collector.read()
    stored = [(span, start) for span, start in found["spans"]]
    assert len(stored) == len(set(stored)), "a span is stored twice"
    assert dict(stored) == sent["spans"]
    count = len(stored)
    assert found["events"] == [[count, count // 2]]
    assert found["event rows"] == [[count // 2]]
    assert found["rollups"] == [[count, count, count, count // 2, count // 2]]
    assert found["minutes"] == found["raw minutes"]
    ((received, kept, rejected, duplicate, sampled),) = found["ledger"]
    assert (kept, rejected, sampled) == (count, 0, 0)
    assert received == kept + duplicate
    assert not list((collector.data / "journal" / "quarantine").glob("*"))
    # Python says so, when the file that the client sends a block by meets a full disk a second time on closing.
    closing = collector.errors().count("Exception ignored in: <function _TemporaryFileCloser")
    assert collector.errors().count("Traceback") == closing


def _kill_it(collector: Collector, moments: random.Random) -> None:
    """Start and kill it again and again, and leave it running."""
    for kill in range(50 if LONG else 4):
        collector.start()
        if kill % 4 == 2:
            time.sleep(moments.uniform(0.2, 2.0))  # mostly before it is ready
        else:
            collector.wait_ready()
            time.sleep(moments.choice((0.05, 0.5, 3.0)) * moments.uniform(0.3, 1.5))
        assert collector.end(signal.SIGKILL) == -signal.SIGKILL
    collector.start()
    collector.wait_ready()


def check_sampled(collector: Collector, sent: dict) -> None:
    """Assert that all that was acknowledged is counted once, and that what was chosen of it is stored once."""
    found = collector.read()
    stored = [(span, start) for span, start in found["spans"]]
    assert len(stored) == len(set(stored)), "a span is stored twice"
    assert dict(stored).items() <= sent["spans"].items()
    count = len(sent["spans"])
    assert found["rollups"] == [[count, count, count, count // 2, count // 2]]
    minutes = Counter(start // 60_000_000_000 * 60 for start in sent["spans"].values())
    assert {minute: calls for minute, calls, _ in found["minutes"]} == minutes
    ((received, kept, rejected, duplicate, sampled),) = found["ledger"]
    assert (kept, sampled, rejected) == (len(stored), count - len(stored), 0)
    assert received == count + duplicate
    assert 0 < len(stored) < count / 2
    # What the plans have chosen, each of them noted once, is what is there.
    events, traces = found["history"]
    assert traces[:4] == ["traces", count, len(stored), count // 2]
    assert events[:4] == ["events", count // 2, found["event rows"][0][0], count // 2]
    assert traces[4] < 0.5
    assert events[4] < 1
    assert found["halves"] == [[0]], "a trace was kept in part"
    ((weight, variance, largest),) = found["weights"]
    assert largest > 1
    assert abs(weight - count / 2) <= 5 * variance**0.5
    assert not list((collector.data / "journal" / "quarantine").glob("*"))
    assert "Traceback" not in collector.errors()


@pytest.mark.slow
@pytest.mark.sampling("{traces: {low: 300, high: 3000, rate: 0.1}, events: {rows: 400}}")
@pytest.mark.timeout(1800 if LONG else 180)
def test_killed_at_random_moments_while_it_samples(collector, clients):
    """The ledger closes, rollups equal what was acknowledged, and the rows that were chosen are stored once."""
    _kill_it(collector, random.Random(SEED + 1))  # noqa: S311  # a test's choices
    time.sleep(1.0)
    sent = clients()
    assert collector.end(signal.SIGTERM) == 0, collector.errors()
    assert sent["again"] > 0, "no client ever noticed"
    assert collector.segments() == []
    check_sampled(collector, sent)


@pytest.mark.slow
@pytest.mark.timeout(1800 if LONG else 180)
def test_killed_at_random_moments(collector, clients, record_testsuite_property):
    """While it starts, takes up what was left, stores or releases; also again before a client came through."""
    _kill_it(collector, random.Random(SEED))  # noqa: S311  # a test's choices
    time.sleep(1.0)
    sent = clients()
    assert collector.end(signal.SIGTERM) == 0, collector.errors()
    assert sent["again"] > 0, "no client ever noticed"
    assert len(sent["spans"]) > 1000
    assert collector.segments() == []
    check(collector, sent)
    seconds = sorted(sent["seconds"])
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        record_testsuite_property(
            f"export_{name}_ms", round(1000 * seconds[int(share * len(seconds))], 1)
        )
    record_testsuite_property("spans", len(sent["spans"]))


@pytest.mark.slow
def test_told_to_end_under_load(collector, clients):
    """SIGTERM: what was acknowledged is stored before it ends with 0, within ten seconds; clients find the next one."""
    collector.start()
    collector.wait_ready()
    time.sleep(1.0)
    began = time.monotonic()
    assert collector.end(signal.SIGTERM) == 0, collector.errors()
    assert time.monotonic() - began < 10
    assert collector.segments() == []
    collector.start()
    collector.wait_ready()
    sent = clients()
    assert collector.end(signal.SIGTERM) == 0
    check(collector, sent)


@pytest.fixture
def small_disk(tmp_path):
    """Yield a disk of 320 MB for the whole data directory."""
    place = tmp_path / "data"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=320m", "none", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def finish(collector):
    """Let further starts store what a stop had no time for: it leaves with 0 when that waits in the journal."""
    for _ in range(5):
        if not collector.segments():
            return
        collector.start()
        collector.wait_ready()
        assert collector.end(signal.SIGTERM) == 0, collector.errors()


def fill(ballast, leave=0):
    """Let a file take what is left of its disk but `leave` bytes, at once."""
    with ballast.open("ab") as file:
        size = shutil.disk_usage(ballast.parent).free - leave
        while size >= 4096:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
            except OSError as error:  # somebody was faster
                assert error.errno == errno.ENOSPC  # noqa: PT017  # it is what we want
                size //= 2
            else:
                size = shutil.disk_usage(ballast.parent).free - leave


def fill_while_it_stores(collector, ballast, moments, seen):
    """Fill the disk to the last byte while a segment that was not seen before is inserted."""
    until = time.monotonic() + 60
    while not (plans := set((collector.data / "journal").glob("*.plan")) - seen):
        assert time.monotonic() < until, "nothing is stored any more"
        time.sleep(0.001)
    seen |= plans
    time.sleep(moments.uniform(0, 0.03))
    fill(ballast)


@pytest.mark.slow
@pytest.mark.timeout(1200 if LONG else 300)
def test_a_disk_that_fills_up_and_is_cleared(small_disk, collector, clients):
    """Clients are told to come back, the collector lives and stores again by itself once there is room."""
    collector.start()
    collector.wait_ready()
    time.sleep(1.0)
    ballast = small_disk / "ballast"
    moments, seen = random.Random(SEED), set()  # noqa: S311  # a test's choices
    for _ in range(TIMES_FULL):
        # As much as is taken at once, whatever was stored since.
        fill(small_disk / "most", leave=80 << 20)
        fill_while_it_stores(collector, ballast, moments, seen)
        time.sleep(0.05)
        ballast.unlink()
        (small_disk / "most").unlink()
    fill(ballast)
    answer = httpx.post(
        f"http://{collector.http}/v1/traces",
        content=b"\x0a\x00",
        headers={"content-type": "application/x-protobuf"},
    )
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 3
    # Longer than an exporter tries by itself: what it releases meanwhile is filled up again.
    full_until = time.monotonic() + EXPORT_TIMEOUT_S + 1.5
    while time.monotonic() < full_until:
        fill(ballast)
        time.sleep(0.05)
    ballast.unlink()
    time.sleep(1.0)
    sent = clients()
    assert collector.end(signal.SIGTERM) == 0, collector.errors()
    finish(collector)
    assert sent["again"] > 0
    check(collector, sent)


@pytest.mark.slow
@pytest.mark.timeout(1200 if LONG else 300)
def test_killed_on_a_full_disk(small_disk, collector, clients):
    """What the engine was writing then is found by the next start: all that was acknowledged is stored and counted."""
    moments, seen = random.Random(SEED), set()  # noqa: S311  # a test's choices
    for _ in range(30 if LONG else 3):
        collector.start()
        collector.wait_ready()
        fill(small_disk / "most", leave=80 << 20)
        fill_while_it_stores(collector, small_disk / "ballast", moments, seen)
        time.sleep(moments.uniform(0, 0.3))
        assert collector.end(signal.SIGKILL) == -signal.SIGKILL
        (small_disk / "most").unlink()
        (small_disk / "ballast").unlink()
    collector.start()
    collector.wait_ready()
    time.sleep(1.0)
    sent = clients()
    assert collector.end(signal.SIGTERM) == 0, collector.errors()
    finish(collector)
    found = collector.read()
    assert dict(found["spans"]) == sent["spans"]
    # A token that was torn off there may let a part be stored twice.
    least, count = found["rollups"][0], len(sent["spans"])
    assert all(a >= b for a, b in zip(least, (count,) * 3 + (count // 2,) * 2, strict=True))
    assert found["event rows"][0][0] >= count // 2
