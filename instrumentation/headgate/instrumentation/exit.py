"""End of a process: deliver what is left, but never keep the program waiting longer than it allows.

The SDK alone waits up to 30 s for each signal when a collector hangs. Here all signals share one
deadline, retries stop at once, and what is not delivered by then is lost. Processes of
`multiprocessing` leave without atexit: they get a finalizer.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

from headgate.instrumentation.quiet import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Provider(Protocol):
    """What has to be shut down: a provider or a processor of the SDK."""

    def shutdown(self) -> None:
        """Deliver what is queued and stop."""
        ...

    def force_flush(self) -> object:
        """Deliver what is queued."""
        ...


class Ending:
    """What this process has to deliver before it ends."""

    def __init__(self) -> None:
        self._providers: list[Provider] = []
        self._exporters: list[object] = []
        self._timeout_s = 0.0
        self._installed = False
        self._multiprocessing = False

    def add(
        self, providers: Sequence[Provider], exporters: Sequence[object], timeout_s: float
    ) -> None:
        """Shut `providers` down at exit in place of their own handlers, in `timeout_s` together."""
        for provider in providers:
            atexit.unregister(provider.shutdown)
        self._providers.extend(providers)
        self._exporters.extend(exporters)
        self._timeout_s = timeout_s
        self.install()

    def install(self) -> None:
        """Run `finish` at exit; the earlier this is called, the more exit handlers can still record."""
        if not self._installed:
            self._installed = True
            atexit.register(self.finish)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(before=self._before_fork)

    def finish(self) -> None:
        """Deliver and stop; returns after the time allowed at the latest."""
        providers, self._providers = self._providers, []
        for exporter in self._exporters:
            _stop_retrying(exporter)
        self._together([provider.shutdown for provider in providers])

    def flush(self) -> None:
        """Deliver what is queued and go on; returns after the time allowed at the latest."""
        self._together([provider.force_flush for provider in self._providers])

    def _together(self, actions: Sequence[Callable[[], object]]) -> None:
        deadline = time.monotonic() + self._timeout_s
        threads = [
            threading.Thread(target=_attempt, args=(action,), daemon=True) for action in actions
        ]
        for thread in threads:
            _start(thread)
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _before_fork(self) -> None:
        if self._multiprocessing or "multiprocessing.util" not in sys.modules:
            return
        self._multiprocessing = True
        from multiprocessing import util  # loaded already, by the program itself

        util.register_after_fork(self, _finish_later)


def _finish_later(ending: Ending) -> None:
    from multiprocessing import util  # as above

    util.Finalize(None, ending.finish, exitpriority=-100)


def _start(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError:
        # Some interpreters start no thread this late.
        thread.run()


def _attempt(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001  # nobody is left to handle it
        problem("delivering at the end", error)


def _stop_retrying(exporter: object) -> None:
    # The SDK's exporters wait out their back-off unless this event is set; it is private, so it may
    # be absent.
    event = getattr(getattr(exporter, "_client", None), "_shutdown_event", None)
    if isinstance(event, threading.Event):
        event.set()


ending = Ending()
