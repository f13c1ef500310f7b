"""Opt-in telemetry: off until asked, local files that any OTLP reader takes, status, purge, and what wins over what."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from headgate.instrumentation import event, flush, purge, session, status, telemetry, track
from headgate.instrumentation.declared import SETTINGS
from headgate.instrumentation.files import SUFFIX, Limits, Lines, listing, prune
from headgate.instrumentation.otlp_json import line
from headgate.instrumentation.settings import LOCAL, OFF, OTEL, read, telemetry_mode
from headgate.instrumentation.switch import decide


@track
def call(number=1):
    """Do nothing, trackedly."""
    return number


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Turn local telemetry on, into a directory of the test's own."""
    monkeypatch.setenv("HEADGATE_TELEMETRY_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    assert telemetry.enable().on
    yield tmp_path / "state"
    telemetry.disable()


def lines(directory, signal):
    """Return the documents of a signal's files."""
    files = sorted(directory.glob(f"{signal}-*{SUFFIX}"))
    return [json.loads(each) for file in files for each in file.read_text().splitlines()]


DECISIONS = [
    ({}, OFF),
    ({"HEADGATE_TELEMETRY": "local"}, LOCAL),
    ({"HEADGATE_TELEMETRY": "1"}, LOCAL),
    ({"HEADGATE_TELEMETRY": "otel"}, OTEL),
    ({"HEADGATE_TELEMETRY": "https://collector.example:4318"}, "https://collector.example:4318"),
    ({"HEADGATE_TELEMETRY": "off"}, OFF),
    ({"HEADGATE_TELEMETRY": "collector.example"}, OFF),
    ({"HEADGATE_TELEMETRY": "local", "DO_NOT_TRACK": "1"}, OFF),
    ({"HEADGATE_TELEMETRY": "local", "DO_NOT_TRACK": "true"}, OFF),
    ({"HEADGATE_TELEMETRY": "local", "DO_NOT_TRACK": "0"}, LOCAL),
    ({"HEADGATE_TELEMETRY": "local", "OTEL_SDK_DISABLED": "true"}, OFF),
]


@pytest.mark.parametrize(("environ", "mode"), DECISIONS)
def test_what_the_environment_decides(environ, mode):
    """Off unless asked; what is not understood is not consent; DO_NOT_TRACK wins."""
    decided = decide(environ)
    assert decided.mode == mode
    assert decided.on == (mode != OFF)


@pytest.mark.parametrize("mode", ["local", "otel", "http://127.0.0.1:1"])
def test_do_not_track_wins_over_the_program(monkeypatch, mode):
    """With DO_NOT_TRACK=1 not even `enable()` records anything, and the status says why."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    got = telemetry.enable(mode)
    assert not got.on
    assert "DO_NOT_TRACK" in str(got)


def test_calls_and_events_are_otlp_files(local):
    """A line is one OTLP/JSON request; the library is the service, and nothing names the machine."""
    call()
    with session(user="u1"):
        call(2)
        event("report.made", value=3)
    assert flush()
    (traces,) = lines(local, "traces")
    (logs,) = lines(local, "logs")
    spans = traces["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [span["name"] for span in spans] == [f"{__name__}.call"] * 2
    assert all(len(span["traceId"]) == 32 and len(span["spanId"]) == 16 for span in spans)
    assert int(spans[0]["traceId"], 16)
    assert spans[0]["kind"] == 1
    assert isinstance(spans[0]["startTimeUnixNano"], str)
    records = logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert [record["eventName"] for record in records] == [
        "session.start",
        "report.made",
        "session.end",
    ]
    text = json.dumps([traces, logs])
    assert os.uname().nodename not in text
    assert str(Path.cwd()) not in text
    resource = {
        pair["key"]: pair["value"]["stringValue"]
        for pair in traces["resourceSpans"][0]["resource"]["attributes"]
    }
    # No version: the tests are in no installed package.
    assert all(resource.values())
    assert set(resource) == {
        "service.name",
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "process.runtime.name",
        "process.runtime.version",
        "os.type",
    }


def test_one_run_is_one_session(local):
    """Calls outside any session share one session id, the run's."""
    for _ in range(3):
        call()
    flush()
    spans = lines(local, "traces")[0]["resourceSpans"][0]["scopeSpans"][0]["spans"]
    found = {
        pair["value"]["stringValue"]
        for span in spans
        for pair in span["attributes"]
        if pair["key"] == "session.id"
    }
    assert len(found) == 1


@given(
    st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.text(), st.binary()
)
def test_lines_are_what_protobuf_says(trace_id, span_id, name, data):
    """An OTLP/JSON line holds exactly the message: ids in hexadecimal, bytes in base64, enums as numbers."""
    import base64

    message = TracesData()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name, span.kind = trace_id, span_id, name, 2
    span.links.add().trace_id = trace_id
    pair = span.attributes.add()
    pair.key, pair.value.bytes_value = "traceId", data
    written = line(message)
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    got = json.loads(written)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert bytes.fromhex(got["traceId"]) == trace_id
    assert bytes.fromhex(got["links"][0]["traceId"]) == trace_id
    assert bytes.fromhex(got["spanId"]) == span_id
    assert got.get("name", "") == name
    assert got["kind"] == 2
    value = got["attributes"][0]
    assert value["key"] == "traceId"
    assert base64.b64decode(value["value"].get("bytesValue", "")) == data


def test_files_are_the_users_own(local):
    """Nobody else may read the files."""
    call()
    flush()
    assert stat.S_IMODE(local.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.path.stat().st_mode) for file in listing(local)} == {0o600}


def test_status_and_purge(local):
    """Status tells how much lies where and what is collected; purge deletes it, queued calls included."""
    call()
    flush()
    got = status()
    assert (got.on, got.mode, got.files) == (True, "local", 1)
    assert got.bytes > 0
    assert str(local) in str(got)
    assert "headgate.track" in str(got)
    call()
    stranger = local / "keep.txt"
    stranger.write_text("not ours")
    assert len(purge()) == 1
    assert status().files == 0
    assert stranger.exists()


def test_the_directory_is_bounded(tmp_path):
    """Whatever is written, the files together stay under the cap, and the newest lines survive."""
    limits = Limits(max_bytes=8000, max_age_s=1e9)
    clock = iter(range(10**6))
    written = Lines(tmp_path, "traces", limits, clock=lambda: float(next(clock)))
    for number in range(500):
        assert written.write(f"{number:099d}\n".encode(), 1)
        assert sum(file.size for file in listing(tmp_path)) <= 8000
    kept = sorted(int(each) for file in listing(tmp_path) for each in file.path.read_text().split())
    assert kept == list(range(kept[0], 500))
    assert len(kept) > 50


def test_old_files_go(tmp_path):
    """A file past its age is deleted, a young one and a stranger's stay."""
    for name, age in (("traces-old", 100), ("traces-new", 1)):
        file = tmp_path / (name + SUFFIX)
        file.write_text("{}\n")
        os.utime(file, (1000 - age, 1000 - age))
    (tmp_path / "notes.txt").write_text("mine")
    prune(tmp_path, Limits(10**6, 50), 1000)
    assert {file.name for file in tmp_path.iterdir()} == {"traces-new" + SUFFIX, "notes.txt"}


def test_threads_write_whole_lines(tmp_path):
    """Lines written by many threads never mix."""
    target = Lines(tmp_path, "traces", Limits(10**9, 1e9))

    def work(letter):
        for _ in range(200):
            target.write((letter * 500 + "\n").encode(), 1)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [each for file in listing(tmp_path) for each in file.path.read_text().splitlines()]
    assert len(got) == 1600
    assert all(len(each) == 500 and len(set(each)) == 1 for each in got)


def test_a_full_disk_costs_data_and_nothing_else(tmp_path):
    """On a device without space nothing raises, no torn line remains, and the loss is counted."""
    target = Lines(tmp_path, "traces", Limits(10**9, 1e9))
    assert target.write(b"first\n", 1)
    # The same limit that a full disk sets: the file may not grow past 100 bytes.
    code = """
import resource, signal, sys
from pathlib import Path
from headgate.instrumentation.files import Limits, Lines
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
target = Lines(Path(sys.argv[1]), "logs", Limits(10**9, 1e9))
print([target.write(b"x" * 59 + b"\\n", 7) for _ in range(3)], target.dropped)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "[True, False, True] 7"
    assert done.stderr.count("\n") <= 1
    for file in tmp_path.glob("logs*"):
        assert file.read_text() == "x" * 59 + "\n"


def test_an_unwritable_directory_costs_nothing_but_data(tmp_path, monkeypatch):
    """A state directory that cannot be made does not disturb a call."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HEADGATE_TELEMETRY_DIR", str(tmp_path / "file" / "state"))
    telemetry.enable()
    assert call(5) == 5
    flush()
    assert status().dropped == 1
    telemetry.disable()
    assert purge() == ()


@given(st.dictionaries(st.sampled_from([each.name for each in SETTINGS]), st.text()))
def test_no_setting_can_do_harm(environ):
    """Any text in any variable gives settings in their bounds."""
    got = read(environ)
    assert got.exit_timeout_s >= 0
    assert got.max_bytes >= 0
    assert got.max_days >= 0
    assert got.mode in (OFF, LOCAL, OTEL) or got.mode.lower().startswith("http")


def test_modes_are_consent():
    """Only the documented words turn telemetry on."""
    assert [telemetry_mode(text) for text in ("yes please", "of", "0", "ftp://x", "")] == [OFF] * 5
    assert telemetry_mode(" LOCAL ") == LOCAL
