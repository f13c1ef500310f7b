"""A report is answered from files of OTLP, without a server and without a store that stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from headgate.cli.children import HEADGATE

LIBRARY = """
from headgate.instrumentation import flush, track

@track
def solve(order):
    if order == 3:
        raise ValueError(f"order {order} is not possible")
    return order

for order in range(10):
    try:
        solve(order)
    except ValueError:
        pass
flush()
"""


def report(*arguments, name="usage"):
    return subprocess.run(
        [*HEADGATE, "report", name, "--format", "json", *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def telemetry(tmp_path_factory):
    """Leave on disk what a library's local telemetry leaves: a directory of OTLP/JSON lines."""
    home = tmp_path_factory.mktemp("state")
    environ = os.environ | {"XDG_STATE_HOME": str(home), "HEADGATE_TELEMETRY": "local"}
    environ.pop("DO_NOT_TRACK", None)
    subprocess.run([sys.executable, "-c", LIBRARY], env=environ, check=True, timeout=60)
    files = sorted(home.rglob("*.jsonl"))
    assert files
    return files[0].parent


@pytest.mark.slow
def test_local_telemetry_is_reported_without_a_server(telemetry):
    """A directory of a library's telemetry answers a report: every call and every failure is counted."""
    answer = report("--data", str(telemetry))
    assert answer.returncode == 0, answer.stderr
    (row,) = json.loads(answer.stdout)["rows"]
    assert row["calls"] == 10
    assert row["success_rate"] == 0.9
    assert row["operation"].endswith("solve")


@pytest.mark.slow
def test_files_may_be_several_and_damage_is_said(telemetry, tmp_path):
    """Files are named one by one; a damaged line is told on standard error and costs only itself."""
    (good,) = telemetry.glob("*.jsonl")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]}\n')
    answer = report("--data", str(good), "--data", str(bad))
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["summary"]["calls"] == 10
    assert "bad.jsonl" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_several_directories_without_files_are_refused(tmp_path):
    """Several --data that hold no files are one sentence and exit code 2."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    answer = report("--data", str(tmp_path / "a"), "--data", str(tmp_path / "b"))
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
