"""Several receiving processes on one machine, for a ClickHouse server: they share the ports, the kernel divides.

Each worker is a whole collector with a journal of its own under `workers/` of the data directory; this process starts
them, starts one again that dies (its journal tells what is left to do), and ends them. The first worker answers the
API, for all of them. A request that is sent again may come to another worker, which does not know it: connections
stay with their worker, so exactly once holds for a client that keeps its connection, at least once otherwise.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import typer

from headgate.cli.address import join_address, split_address
from headgate.cli.children import HEADGATE, PATIENCE_S, READY_S
from headgate.cli.listening import announce, bind_shared, listen
from headgate.cli.settings import ConfigurationError
from headgate.store import (
    StoreError,
    acquire,
    default_data_directory,
    find_server,
    migrate,
    server_store,
)
from headgate.web.tokens import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.cli.settings import ServeSettings

_POLL_S = 0.2
_AGAIN_S = 1.0
_PR_SET_PDEATHSIG = 1


def worker_directory(data: Path, number: int) -> Path:
    """Return where worker `number`, from 0, keeps its journal."""
    return data / "workers" / str(number)


def run_workers(settings: ServeSettings, config: Path | None) -> int:
    """Run until told to stop; return the exit code. Raises StoreError."""
    if settings.store is None:
        raise ConfigurationError(
            f"workers {settings.workers} need a ClickHouse server, since the embedded store belongs to one process;"
            " name one with --store URL, or leave workers out"
        )
    data = settings.data or default_data_directory(os.environ)
    directory = acquire(data, "server", wait_s=10.0)
    held = []
    try:
        store = server_store(settings.store)
        migrate(store)  # once, before all of them would
        store.close()
        addresses = {}
        for name in ("otlp_grpc", "otlp_http"):
            reserved = bind_shared(getattr(settings, name), name)
            held.append(reserved)
            addresses[name] = join_address(*reserved.getsockname()[:2])
        api = listen(settings.api, "api")
        addresses["api"] = join_address(*api.getsockname()[:2])
        api.close()
        crew = _Crew(settings, config, data, addresses)
        try:
            crew.start()
            first = find_server(worker_directory(data, 0)) or {}
            announce(
                directory,
                addresses,
                {k: first[k] for k in ("token", "tls", "socket") if k in first},
            )
            return crew.watch()
        finally:
            crew.stop()
    finally:
        for reserved in held:
            reserved.close()
        directory.close()


class _Crew:
    """The worker processes."""

    def __init__(
        self, settings: ServeSettings, config: Path | None, data: Path, addresses: dict[str, str]
    ) -> None:
        self._settings = settings
        self._config = config
        self._data = data
        self._addresses = addresses
        self._stopping = False
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all and wait until they are ready; raises StoreError when one cannot be."""
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, self._told_to_stop)
        signal.signal(signal.SIGHUP, lambda *_: self._tell(signal.SIGHUP))
        self._processes = [self._begin(place) for place in range(self._settings.workers)]
        deadline = time.monotonic() + READY_S
        for number, process in enumerate(self._processes):
            while find_server(worker_directory(self._data, number)) is None:
                if self._stopping:
                    return
                if process.poll() is not None or time.monotonic() > deadline:
                    raise StoreError(
                        f"worker {number} could not start; what it said stands above, see also --help"
                    )
                time.sleep(_POLL_S)

    def watch(self) -> int:
        """Start again what dies, until told to stop; return 0, or 1 when something was not stored in time."""
        while not self._stopping:
            for number, process in enumerate(self._processes):
                code = process.poll()
                if code is not None and not self._stopping:
                    typer.echo(
                        f"ERROR worker {number} ended with {code}; it is started again", err=True
                    )
                    time.sleep(_AGAIN_S)
                    self._processes[number] = self._begin(number)
            time.sleep(_POLL_S)
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        codes = [_wait(process, deadline) for process in self._processes]
        return 0 if not any(codes) else 1

    def stop(self) -> None:
        """Leave nothing behind."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            _wait(process, time.monotonic() + PATIENCE_S)

    def _told_to_stop(self, *_: object) -> None:
        self._stopping = True

    def _tell(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)

    def _begin(self, number: int) -> subprocess.Popen[bytes]:
        count = self._settings.workers
        place = worker_directory(self._data, number)
        place.mkdir(parents=True, exist_ok=True)
        host = split_address(self._addresses["api"])[0]
        options = {
            "--data": place,
            "--store": self._settings.store,
            "--otlp-grpc": self._addresses["otlp_grpc"],
            "--otlp-http": self._addresses["otlp_http"],
            "--api": self._addresses["api"] if number == 0 else join_address(_loopback(host), 0),
            "--worker": number,
            **({"--config": self._config} if self._config else {}),
        }
        command = [*HEADGATE, "serve", *(str(part) for pair in options.items() for part in pair)]
        if self._settings.allow_anonymous:
            command.append("--allow-anonymous")
        environ = {
            **os.environ,
            "HEADGATE_WORKERS": str(count),
            "HEADGATE_MEMORY_BYTES": str(self._settings.memory_bytes // count),
            "HEADGATE_JOURNAL_BYTES": str(self._settings.journal_bytes // count),
            "HEADGATE_TOKENS": str(self._settings.tokens or self._data / FILE_NAME),
        }
        return subprocess.Popen(  # noqa: S603  # ourselves
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the ready line is ours to print
            start_new_session=True,  # a Ctrl-C reaches us only, and we pass it on
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # one thread here
        )


def _end_with_parent() -> None:
    """Let the kernel end a worker whose starter is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _loopback(host: str) -> str:
    return "::1" if ":" in host else "127.0.0.1"


def _wait(process: subprocess.Popen[bytes], deadline: float) -> int:
    try:
        return process.wait(max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait() or 1
