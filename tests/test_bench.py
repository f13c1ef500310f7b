"""The benchmark sends what it says, measures a collector of its own from outside, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest
import twin_values

from headgate.cli.bench.ingest import CASES, Result, cpu_s, peak_rss_bytes
from headgate.cli.bench.traffic import Template
from headgate.cli.children import HEADGATE
from headgate.collector.check import examine
from headgate.collector.signals import Signal

NOW_NS = 1_700_000_000_000_000_000


@pytest.mark.parametrize("signal", list(Signal))
def test_fresh_requests(signal):
    """Every request of a template is valid, has its items, and differs from all before it in its ids only."""
    template = Template(signal, 16, 1, NOW_NS)
    rng = np.random.default_rng(1)
    bodies = [bytes(template.fresh(rng)) for _ in range(50)]
    assert len(set(bodies)) == 50
    assert all(examine(signal, body) == (16, True) for body in bodies)
    texts = [str(twin_values.LENIENT[signal].FromString(body)) for body in bodies]
    without = {"\n".join(line for line in text.split("\n") if "_id:" not in line) for text in texts}
    assert len(without) == 1


def test_families_stay_together():
    """Fresh ids leave the spans of a trace in one trace, under their own parents."""
    spans = twin_values.LENIENT[Signal.TRACES].FromString(
        bytes(Template(Signal.TRACES, 20, 1, NOW_NS).fresh(np.random.default_rng(1)))
    )
    found = spans.resource_spans[0].scope_spans[0].spans
    own = {span.span_id: span.trace_id for span in found}
    assert len(own) == 20
    assert len(set(own.values())) == 4
    assert all(own[s.parent_span_id] == s.trace_id for s in found if s.parent_span_id)


def test_time_and_memory_of_a_process():
    """CPU time and peak memory are those that the process itself finds."""
    code = (
        "import os, sys, time\n"
        "kept = b'x' * 50_000_000\n"
        "while time.process_time() < 0.5: pass\n"
        "print(time.process_time(), flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        own_s = float(process.stdout.readline())
        assert own_s - 0.05 <= cpu_s(process.pid) <= own_s + 0.5
        assert 50e6 < peak_rss_bytes(process.pid) < 200e6
        process.communicate("")


def test_ingest(tmp_path):
    """One object a case, with the figures that a reader needs to judge it; the load really arrived."""
    case = next(c for c in CASES if c.name == "http/drain/traces/50")
    began_s = time.monotonic()
    done = subprocess.run(
        [*HEADGATE, "bench", "ingest", "--only", case.name, "--seconds", "1", "--format", "json"],
        capture_output=True,
        check=True,
        text=True,
    )
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert list(found) == [field.name for field in fields(Result)]
    assert (found["protocol"], found["sink"], found["signal"]) == ("http", "drain", "traces")
    assert found["items"] % 50 == 0
    assert 0 < found["items"] <= found["wall_items_per_s"] * (time.monotonic() - began_s)
    assert found["items_per_cpu_s"] * found["cpu_us_per_item"] == pytest.approx(1e6)
    assert found["ratio_to_floor"] > 0
    assert found["ratio_to_obvious"] > 0
    assert found["ack_p99_ms"] >= found["ack_p50_ms"] > 0
    assert found["disk_bytes_per_item"] is None


def test_unknown_case():
    """A case that does not exist is refused before anything starts, with the names of those that do."""
    done = subprocess.run(
        [*HEADGATE, "bench", "ingest", "--only", "telnet"], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"telnet" in done.stderr
    assert b"http/drain/traces/512" in done.stderr
