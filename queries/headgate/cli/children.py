"""Processes that a command starts and must not leave behind.

Each has a process group of its own, so that a Ctrl-C in the terminal reaches only the command,
which then ends its children in order, and so that their own children end with them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from headgate.store import find_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from headgate.cli.ending import Stop

HEADGATE = (sys.executable, "-m", "headgate.cli")
"""The `headgate` command of this installation, wherever its script may lie."""

READY_S = 180.0
"""How long a child may take to be ready; kernels that are compiled for the first time take most."""

PATIENCE_S = 10.0
"""How long a child may take to end when asked to."""

_POLL_S = 0.1


class ChildFailed(Exception):
    """A child ended, or was not ready in time; the message ends with its last words."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running process; its output goes to `log`, and `stop_signal` asks it to end."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals

    def check(self) -> None:
        """Raise ChildFailed when it has ended with a failure."""
        code = self.process.poll()
        if code:
            raise ChildFailed(f"the {self.name} ended ({_ending(code)}){self.last_words()}")

    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self.process.poll() is None

    def last_words(self, count: int = 5) -> str:
        """Return the last lines of its output, ready to be put behind a sentence."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return "".join(f"\n  {line}" for line in lines[-count:]) or "; it said nothing"

    def stop(self, patience_s: float) -> int:
        """Ask it to end, kill its group when it has not within `patience_s`; return its code."""
        if self.running():
            self.process.send_signal(self.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        with contextlib.suppress(ProcessLookupError):  # it left no children
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()


class Children:
    """The processes of a command: all are gone when the context ends, last started first."""

    def __init__(self, directory: Path, stop: Stop) -> None:
        self._directory = directory
        self._stop = stop
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._children:
            self.stop(self._children[-1])

    def stop(self, child: Child) -> int:
        """End a process now and return its exit code."""
        self._children.remove(child)
        return child.stop(PATIENCE_S)

    def finish(self, child: Child) -> None:
        """End a process now; raises ChildFailed when it could not end well."""
        if code := self.stop(child):
            raise ChildFailed(f"the {child.name} ended ({_ending(code)}){child.last_words()}")

    def start(
        self,
        name: str,
        command: tuple[str, ...],
        environ: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> Child:
        """Start a process whose output goes to `<name>.log` in this command's directory."""
        log = self._directory / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # our own programs, no shell
                command,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(name, process, log, stop_signal)
        self._children.append(child)
        return child

    def wait(self, child: Child, what: str, ready: Callable[[], bool]) -> None:
        """Wait until `ready`, while every child lives; raises ChildFailed or Interrupted."""
        deadline = time.monotonic() + READY_S
        while not ready():
            self.check()
            if not child.running():
                raise ChildFailed(f"the {child.name} ended before it {what}{child.last_words()}")
            if time.monotonic() > deadline:
                late = f"the {child.name} has not {what} within {READY_S:.0f} s"
                raise ChildFailed(f"{late}{child.last_words()}")
            self._stop.sleep(_POLL_S)

    def run(self, command: tuple[str, ...]) -> int:
        """Run a short command whose output is ours, and return its exit code."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  # as above
        try:
            while process.poll() is None:
                self.check()
                self._stop.sleep(_POLL_S)
        finally:
            process.kill()
            process.wait()
        return process.returncode

    def check(self) -> None:
        """Raise ChildFailed when any child has failed."""
        for child in self._children:
            child.check()

    def start_collector(self, data: Path, *options: str) -> tuple[Child, dict[str, str]]:
        """Start `headgate serve` on free loopback ports and return it with its addresses."""
        addresses: dict[str, str] = {}

        def ready() -> bool:
            addresses.update(find_server(data) or {})
            return bool(addresses)

        free = "127.0.0.1:0"
        ports = ("--otlp-grpc", free, "--otlp-http", free, "--api", free)
        command = (*HEADGATE, "serve", "--data", str(data), *ports, *options)
        child = self.start("collector", command, os.environ)
        self.wait(child, "listened", ready)
        return child, addresses


def _ending(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
