"""The other workers of a server: asked to store what they hold before a report, and how they are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx

from headgate.collector.vitals import Vitals, together
from headgate.store import find_server
from headgate.store.server import server_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)
_FLUSH_S = 40.0
_LOOK_S = 5.0


class Siblings:
    """Workers by their data directories; one that does not answer is left out, which is logged."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = directories

    def flushing(self, own: Callable[[], bool]) -> Callable[[], bool]:
        """Return what flushes this worker and all others, and tells whether all of it was stored."""

        def flush() -> bool:
            stored = own()
            for client in self._clients(_FLUSH_S):
                said = _said(client, "POST", "/api/flush")
                stored = stored and said is not None and bool(said["stored"])
            return stored

        return flush if self._directories else own

    def looking(self, own: Callable[[], Vitals]) -> Callable[[], Vitals]:
        """Return what looks at this worker and all others as one."""

        def look() -> Vitals:
            found = [own()]
            for client in self._clients(_LOOK_S):
                said = _said(client, "GET", "/api/vitals")
                if said is not None:
                    found.append(Vitals(**said))
            return together(found)

        return look if self._directories else own

    def _clients(self, timeout_s: float) -> Iterator[httpx.Client]:
        for directory in self._directories:
            server = find_server(directory)
            if server is None:
                _log.warning("the worker of %s does not run", directory)
                continue
            with server_client(server, timeout_s=timeout_s) as client:
                yield client


def siblings_of(directory: Path, workers: int, worker: int | None) -> Siblings:
    """Return the others of the first worker, whose data directory this is; nobody's for all others."""
    others = range(1, workers) if worker == 0 else ()
    return Siblings([directory.parent / str(number) for number in others])


def _said(client: httpx.Client, method: str, path: str) -> dict[str, Any] | None:
    try:
        answer = client.request(method, path)
        answer.raise_for_status()
        said: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        _log.warning("a worker does not answer: %s", error)
        return None
    return said
