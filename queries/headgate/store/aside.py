"""Threads that answer beside the one that asks: a statement is planned on one core, while others have nothing to do."""

from __future__ import annotations

import contextlib
import functools
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

THREADS = 2
T = TypeVar("T")
K = TypeVar("K")


class Aside:
    """A few threads, started when they are first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    @contextlib.contextmanager
    def begun(self, calls: Mapping[K, Callable[[], T]]) -> Iterator[Mapping[K, Callable[[], T]]]:
        """Begin calls in other threads, and yield what returns or raises what each of them does.

        A call that no thread has come to is made by whoever wants its result, so that none waits for a thread. None is
        running afterwards.
        """
        futures: dict[K, Future[T]] = {}
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="headgate-store")
            # It is refused when the main thread has ended: from then on no thread begins any more.
            with contextlib.suppress(RuntimeError):
                for key, call in calls.items():
                    futures[key] = self._threads.submit(call)

        def result(key: K) -> T:
            future = futures.get(key)
            return calls[key]() if future is None or future.cancel() else future.result()

        try:
            yield {key: functools.partial(result, key) for key in calls}
        finally:
            wait([future for future in futures.values() if not future.cancel()])

    def close(self) -> None:
        """End the threads, after what they are doing; what they have not come to is made by whoever wants it."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(cancel_futures=True)
