"""How a command that runs for a while ends: by a failure in words, or because somebody asked.

Ctrl-C and SIGTERM are a question asked between steps, never an exception in the middle of one. So a
process cannot be lost between its start and the note that it was started, and cleaning up is not
cut short by a second Ctrl-C.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator


INTERRUPTED = 130
"""The exit code of a program that an interrupt ended (128 + SIGINT)."""


def fail(message: str) -> NoReturn:
    """End the command with a sentence on standard error and exit code 2."""
    typer.echo(f"headgate: {message}", err=True)
    raise typer.Exit(2)


class Interrupted(Exception):
    """Somebody asked the command to end."""


class Stop:
    """Whether somebody asked the command to end; made by `stop_on_signals`."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """Ask the command to end."""
        self._asked.set()

    def check(self) -> None:
        """Raise Interrupted when asked to end."""
        self.sleep(0)

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond being asked to end, which raises Interrupted."""
        if self._asked.wait(seconds):
            raise Interrupted


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into questions to a Stop while this lasts; main thread only."""
    stop = Stop()
    before = {
        number: signal.signal(number, lambda _number, _frame: stop.ask())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
