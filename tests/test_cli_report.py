"""`headgate report` as people run it: real processes, with a server that owns the data directory and without one."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from headgate.queries import entry, names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADGATE = [sys.executable, "-m", "headgate.cli"]

# Rows of the last hour, made in a process of its own, since a process can have one engine only.
FILL = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from headgate.store import acquire, embedded_store, migrate
directory = acquire(Path(sys.argv[1]), "test")
store = embedded_store(directory.engine_path)
migrate(store)
at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
columns = ["Time", "ServiceName", "Operation", "Kind", "Entry", "Outcome", "Calls", "CallsAdjusted", "DurationSum",
    "DurationSumSquares", "DurationMin", "DurationMax", "DurationBuckets"]
row = [at, "shop", "buy", "Server", True, "ok", 3, 3.0, 3e6, 3e12, 10**6, 10**6, {637: 3}]
store.client().insert("usage_minute", [row], column_names=columns)
columns = ["Timestamp", "ServiceName", "SpanName", "SpanKind", "SpanAttributes"]
row = [at, "shop", "buy", "Server", {"color": "red"}]
store.client().insert("otel_traces", [row], column_names=columns)
store.close()
directory.close()
"""

# What `headgate serve` does with its data directory and the API; its flush stores one more row.
SERVE = """
import socket, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import uvicorn
from headgate.store import acquire, embedded_store, migrate
from headgate.web import create_app
directory = acquire(Path(sys.argv[1]), "server")
store = embedded_store(directory.engine_path)
migrate(store)
def flush():
    at = datetime.now(UTC) - timedelta(minutes=5)
    columns = ["Time", "ServiceName", "Operation", "Kind", "Entry", "Outcome", "Calls", "CallsAdjusted"]
    row = [at, "shop", "waiting", "Server", True, "ok", 1, 1.0]
    store.client().insert("usage_minute", [row], column_names=columns)
app = create_app(store, flush=flush, clock=lambda: datetime.now(UTC))
listener = socket.create_server(("127.0.0.1", 0))
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        directory.announce({"api": "127.0.0.1:%d" % listener.getsockname()[1]})
        print("ready", flush=True)
Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
store.close()
directory.close()
"""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def headgate(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADGATE, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"COLUMNS": "80"} | environ,
    )


def said(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence of a failure."""
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    subprocess.run(python(FILL, path), check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("served")
    subprocess.run(python(FILL, path), check=True, timeout=60)
    with subprocess.Popen(python(SERVE, path), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield path
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def test_help_is_quick_and_names_every_command() -> None:
    """`headgate --help` loads no engine and no numbers: under half a second on an idle machine."""
    result = headgate("--help")
    assert result.returncode == 0
    for command in ("serve", "report", "reports", "demo", "import"):
        assert re.search(rf"^  {command} ", result.stdout, re.MULTILINE), command
    loaded = subprocess.run(
        python("import sys, headgate.cli; print(*sys.modules)"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"numpy", "numba", "scipy", "chdb", "clickhouse_connect", "pydantic", "starlette"}
    assert not heavy & set(loaded)


def test_the_version_is_the_distributions() -> None:
    """`headgate --version` says what is installed."""
    assert re.fullmatch(r"headgate \d+\.\d+\.\d+\n", headgate("--version").stdout)


def test_reports_are_listed_with_their_questions() -> None:
    """`headgate reports` has one line a report."""
    lines = headgate("reports").stdout.splitlines()
    assert [line.split()[0] for line in lines] == names()
    for line, name in zip(lines, names(), strict=True):
        assert line.endswith(entry(name).report.question)


@pytest.mark.parametrize("name", names())
def test_a_report_without_a_server(data: Path, name: str) -> None:
    """With none running the directory is opened in-process, read without migrating, and given back."""
    text = headgate("report", name, "--data", data)
    assert text.returncode == 0
    assert text.stderr == ""
    assert "exact, from usage_minute" in text.stdout
    found = json.loads(headgate("report", name, "--data", data, "--format", "json").stdout)
    assert found["report"] == name
    assert found["summary"]["calls"] == 3
    assert (data / "headgate.lock").read_text() == ""


def test_a_report_from_a_server(served: Path) -> None:
    """A server that owns the directory is asked; it flushes first, and table, JSON and CSV look the same as without."""
    found = json.loads(headgate("report", "usage", "--data", served, "--format", "json").stdout)
    first = found["summary"]["calls"]
    assert first >= 4
    assert {row["operation"] for row in found["rows"]} == {"buy", "waiting"}
    table = headgate("report", "usage", "--since", "2h", HEADGATE_DATA=str(served))
    assert table.returncode == 0
    assert "waiting" in table.stdout
    rows = headgate(
        "report", "usage", "--data", served, "--format", "csv", "--operation", "waiting"
    )
    assert [row["operation"] for row in csv.DictReader(rows.stdout.splitlines())] == ["waiting"]
    where = headgate(
        "report", "usage", "--data", served, "--where", "color=red", "--format", "json"
    )
    assert json.loads(where.stdout)["summary"]["calls"] == 1
    assert json.loads(where.stdout)["params"]["where"] == {"color": "red"}
    assert "did you mean 'shop'?" in said(
        headgate("report", "usage", "--data", served, "--service", "shp")
    )
    assert "limit 'x' is not possible" in said(
        headgate("report", "errors", "--data", served, "--set", "limit=x")
    )


def test_output_goes_to_a_file(data: Path, tmp_path: Path) -> None:
    """--output writes what would have been printed, and says why when it cannot."""
    target = tmp_path / "usage.csv"
    arguments = ("report", "usage", "--data", data, "--format", "csv", "--output")
    result = headgate(*arguments, target)
    assert (result.returncode, result.stdout) == (0, "")
    assert target.read_text().startswith("service,operation,")
    assert "cannot write" in said(headgate(*arguments, tmp_path / "no" / "such" / "place"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["usag"], "there is no report 'usag', did you mean 'usage'?"),
        (["usage", "--since", "soon"], "since 'soon' is not a time"),
        (["usage", "--since", "1h", "--until", "2h"], "is not before until"),
        (["usage", "--service", "shp"], "did you mean 'shop'? there are: shop"),
        (["usage", "--operation", "by"], "no operation 'by' was used"),
        (["usage", "--where", "color"], "--where 'color' is not possible"),
        (["usage", "--set", "limit=3"], "no parameter 'limit'"),
        (["usage", "--set", "now=3"], "--set now is not possible"),
        (["usage", "--output", "x.doc"], "a file that ends in .doc is not possible; choose one of"),
        (["usage", "--format", "csv", "--table", "days"], "table 'days' is not possible"),
        (
            ["usage", "--store", "http://127.0.0.1:1"],
            "--data, --store and --server name several places",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(data: Path, arguments: list[str], says: str) -> None:
    """Failures are one sentence on standard error and exit code 2."""
    assert says in said(headgate("report", *arguments, "--data", data))


def test_an_export_refuses_an_ending_that_it_cannot_write(data: Path, tmp_path: Path) -> None:
    """No CSV in a file that is called PDF: the endings there are, and no file."""
    text = said(headgate("export", "events", "--output", tmp_path / "n.pdf", "--data", data))
    assert "a file that ends in .pdf is not possible; choose one of" in text
    assert not list(tmp_path.iterdir())


def test_no_data_is_one_sentence_and_makes_nothing(tmp_path: Path) -> None:
    """A directory that never held data is not made by asking; the sentence says how to get data there."""
    place = tmp_path / "nowhere"
    text = said(headgate("report", "usage", HEADGATE_DATA=str(place)))
    assert f"there is no data in {place}" in text
    assert "headgate serve" in text
    assert not place.exists()


def test_an_unreachable_store_is_one_sentence() -> None:
    """A ClickHouse server that does not answer is named."""
    text = said(headgate("report", "usage", "--store", "http://127.0.0.1:1/headgate"))
    assert "ClickHouse at http://127.0.0.1:1" in text


def test_a_window_without_anything_is_no_failure(data: Path) -> None:
    """An empty result is an empty result: exit code 0 and a sentence."""
    arguments = (
        "report",
        "usage",
        "--data",
        data,
        "--since",
        "2020-01-01",
        "--until",
        "2020-02-01",
    )
    assert "Nothing was recorded in this window" in headgate(*arguments).stdout
    found = json.loads(headgate(*arguments, "--format", "json").stdout)
    assert found["rows"] == []


def test_two_readers_take_turns(data: Path) -> None:
    """A second report waits for the first to give the directory back."""
    commands = [[*HEADGATE, "report", name, "--data", str(data)] for name in ("usage", "errors")]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait(60) for process in running] == [0] * len(commands)


def test_a_server_that_is_just_starting_is_waited_for(data: Path) -> None:
    """A directory owned by a server that has no address yet is asked again until it has one, or is free."""
    hold = """
import sys, time
from pathlib import Path
from headgate.store import acquire
directory = acquire(Path(sys.argv[1]), "server")
print("held", flush=True)
sys.stdin.readline()
directory.close()
"""
    with subprocess.Popen(
        python(hold, data), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdin is not None
        assert owner.stdout.readline() == "held\n"
        with subprocess.Popen(
            [*HEADGATE, "report", "usage", "--data", str(data)], stdout=subprocess.PIPE, text=True
        ) as report:
            time.sleep(1.5)  # past its start: it must be waiting now
            assert report.poll() is None
            owner.stdin.write("\n")
            owner.stdin.flush()
            output, _ = report.communicate(timeout=60)
            assert report.returncode == 0
            assert "exact" in output
