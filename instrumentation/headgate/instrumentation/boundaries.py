"""Context across threads and processes: whoever acts in one also acts in what it starts.

Python carries context into async tasks only. This adds threads, thread pools, `multiprocessing` and
process pools as the instrumentation `headgate_boundaries`; for other programs, `carry` gives the
environment to start them with. Daemon threads are left alone: they serve the whole process and must
not act for the request that happened to start them.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry import propagate
from opentelemetry.context import Context, attach, get_current
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]  # untyped there
    BaseInstrumentor,
)
from opentelemetry.instrumentation.utils import unwrap

from headgate.instrumentation.detach import detach
from headgate.instrumentation.quiet import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_CARRIER = "_headgate_carrier"
_HEADERS = ("traceparent", "tracestate", "baggage")


def carry(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment for a child process that continues the current trace, user and session.

    The child must run under `opentelemetry-instrument` with this package, or read TRACEPARENT and
    BAGGAGE itself.
    """
    added = {name.upper(): value for name, value in _carrier().items() if name in _HEADERS}
    kept = {name: value for name, value in environ.items() if name.lower() not in _HEADERS}
    return {**kept, **added, "HEADGATE_INHERIT_CONTEXT": "1"}


def inherit(environ: Mapping[str, str]) -> None:
    """Enter the context that the environment describes; for the start of a process."""
    carrier = {name: environ[name.upper()] for name in _HEADERS if name.upper() in environ}
    attach(propagate.extract(carrier))


class BoundaryInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # as above
    """Starts threads and processes with the context of whoever starts them."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing but the standard library."""
        return ()

    def _instrument(self, **_: Any) -> None:
        # Only what the program imports is touched, when it imports it.
        for module, name, wrapper in _WRAPPED:
            wrapt.register_post_import_hook(partial(_wrap, name=name, wrapper=wrapper), module)

    def _uninstrument(self, **_: Any) -> None:
        import concurrent.futures.process  # loaded for this only
        import concurrent.futures.thread
        import multiprocessing.process
        import threading

        unwrap(threading.Thread, "start")
        unwrap(concurrent.futures.thread.ThreadPoolExecutor, "submit")
        unwrap(concurrent.futures.process.ProcessPoolExecutor, "submit")
        unwrap(multiprocessing.process.BaseProcess, "start")
        unwrap(multiprocessing.process.BaseProcess, "_bootstrap")


def run_in(context: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `function` inside `context`."""
    token = attach(context)
    try:
        return function(*args, **kwargs)
    finally:
        detach(token)


def run_with(
    carrier: Mapping[str, str], function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Call `function` inside the context that `carrier` describes, as a process pool's worker does."""
    return run_in(propagate.extract(carrier, Context()), function, *args, **kwargs)


def _carrier() -> dict[str, str]:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def _wrap(module: Any, name: str, wrapper: Callable[..., Any]) -> None:
    try:
        wrapt.wrap_function_wrapper(module, name, wrapper)
    except (AttributeError, ImportError) as error:
        # Another Python may lack what this one has.
        problem(f"instrumenting {name}", error)


def _start_thread(wrapped: Any, thread: Any, args: Any, kwargs: Any) -> Any:
    context = get_current()
    if context and not thread.daemon and not thread.ident:
        run = thread.run

        def inside() -> None:
            # Undone at once: the thread and this function would keep each other alive.
            thread.__dict__.pop("run", None)
            run_in(context, run)

        thread.run = inside
    return wrapped(*args, **kwargs)


def _submit_thread(wrapped: Any, _pool: Any, args: Any, kwargs: Any) -> Any:
    # Also when the context is empty, because the pool's thread was started in somebody's.
    return wrapped(run_in, get_current(), *args, **kwargs)


def _submit_process(wrapped: Any, _pool: Any, args: Any, kwargs: Any) -> Any:
    carrier = _carrier()
    return wrapped(run_with, carrier, *args, **kwargs) if carrier else wrapped(*args, **kwargs)


def _start_process(wrapped: Any, process: Any, args: Any, kwargs: Any) -> Any:
    if carrier := _carrier():
        setattr(process, _CARRIER, carrier)
    return wrapped(*args, **kwargs)


def _bootstrap(wrapped: Any, process: Any, args: Any, kwargs: Any) -> Any:
    carrier = process.__dict__.pop(_CARRIER, None)
    if not carrier or get_current():
        # Forked: the context is here already.
        return wrapped(*args, **kwargs)
    return run_with(carrier, wrapped, *args, **kwargs)


_WRAPPED: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("threading", "Thread.start", _start_thread),
    ("concurrent.futures.thread", "ThreadPoolExecutor.submit", _submit_thread),
    ("concurrent.futures.process", "ProcessPoolExecutor.submit", _submit_process),
    ("multiprocessing.process", "BaseProcess.start", _start_process),
    ("multiprocessing.process", "BaseProcess._bootstrap", _bootstrap),
)
