"""Start the real `headgate serve` in a process of its own, and read what it stored once it has ended.

The embedded engine belongs to one process: rows are read through another child after the server has stopped.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from headgate.collector.vitals import FATES

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (str(Path(sys.executable).with_name("headgate")), "serve")
FREE = ("--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0")
ENVIRON = {key: value for key, value in os.environ.items() if not key.startswith("HEADGATE_")}

READ = """
import json, sys
from pathlib import Path
from headgate.store import embedded_store
data, queries = json.load(sys.stdin)
client = embedded_store(Path(data) / "clickhouse").client()
settings = {"output_format_json_quote_64bit_integers": 0, "output_format_json_quote_denormals": 1}
answers = {
    name: [json.loads(line) for line in client.raw_query(sql, fmt="JSONEachRow", settings=settings).splitlines()]
    for name, sql in queries.items()
}
json.dump(answers, sys.stdout)
"""


@dataclass(frozen=True)
class Server:
    """A running server; `grpc`, `http` and `api` are "host:port".

    `ready_s` is how long it took to be ready, in wall time or in processor time, whichever is less: other processes
    on a busy machine lengthen the first only.
    """

    process: subprocess.Popen[str]
    data: Path
    said: str
    ready_s: float
    grpc: str
    http: str
    api: str

    def url(self, signal: str) -> str:
        return f"http://{self.http}/v1/{signal}"

    def status(self) -> dict[str, Any]:
        """Return what /api/status counts: items by what became of them and by signal."""
        answer = httpx.get(f"http://{self.api}/api/status")
        assert answer.status_code == 200, answer.text
        return {fate: answer.json()[fate] for fate in FATES}

    def stop(self) -> int:
        """Ask it to end by SIGTERM and return its exit code; fails when it takes over ten seconds."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        self.process.kill()
        self.process.wait(10)

    def errors(self) -> str:
        """Return what it has written to standard error."""
        return Path(f"{self.data}.stderr").read_text()


def processor_s(pid: int) -> float:
    """Return how much processor time a process has taken; infinite where that is not told."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return float("inf")
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def launch() -> Iterator[Any]:
    """Yield a function that starts `headgate serve --data DATA ARGUMENTS`; what still runs is killed at the end.

    Standard error goes to DATA.stderr, a file beside the data directory.
    """
    running: list[subprocess.Popen[str]] = []

    def begin(data: Path, *arguments: str) -> subprocess.Popen[str]:
        with Path(f"{data}.stderr").open("w") as errors:
            process = subprocess.Popen(
                [*COMMAND, "--data", str(data), *arguments],
                env=ENVIRON,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="module")
def start(launch, tmp_path_factory):
    """Return a function that starts a server and returns it when it is ready.

    `start(*arguments, data=DIR, config={...})`; the data directory is a new one when not given.
    """

    def begin(*arguments: str, data: Path | None = None, config: dict[str, Any] | None = None):
        base = tmp_path_factory.mktemp("serve")
        data = data or base / "data"
        (base / "headgate.yaml").write_text(yaml.safe_dump(config or {}))
        began = time.monotonic()
        process = launch(data, "--config", str(base / "headgate.yaml"), *FREE, *arguments)
        said = process.stdout.readline()
        ready_s = min(time.monotonic() - began, processor_s(process.pid))
        if not said:
            pytest.fail(f"headgate serve ended: {Path(f'{data}.stderr').read_text()}")
        lock = json.loads((data / "headgate.lock").read_text())
        return Server(
            process, data, said, ready_s, lock["otlp_grpc"], lock["otlp_http"], lock["api"]
        )

    return begin


@pytest.fixture(scope="session")
def refused():
    """Return a function that runs `headgate serve ARGUMENTS`, which must end by itself, and returns how it ended."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            check=False,
            env={**ENVIRON, **(env or {})},
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


@pytest.fixture(scope="session")
def read():
    """Return a function: `read(data, name=sql, ...)` is {name: [row, ...]} of a store that no process owns."""

    def query(data: Path, **queries: str) -> dict[str, list[dict[str, Any]]]:
        done = subprocess.run(
            [sys.executable, "-c", READ],
            check=False,
            input=json.dumps([str(data), queries]),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return query
