"""Deliver a segment: process its requests, insert the blocks, and put aside what can never be delivered."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from headgate.collector.errors import Permanent, Retryable
from headgate.collector.ledger import Entry, minute_of
from headgate.collector.process import Request, process
from headgate.collector.writer import insert_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from headgate.collector.block import Block
    from headgate.store import Store

log = logging.getLogger(__name__)


class Delivery:
    """Inserts segments one at a time; `quarantined` counts the requests and blocks that were put aside."""

    def __init__(
        self, store: Store, quarantine: Path, retry_s: float = 0.2, retry_max_s: float = 5.0
    ) -> None:
        self._store = store
        self._quarantine = quarantine
        self._retry_s = retry_s
        self._retry_max_s = retry_max_s
        self._stopping = threading.Event()
        self.quarantined = 0

    def stop(self) -> None:
        """Do not try again from now on; a delivery that fails raises Retryable."""
        self._stopping.set()

    def deliver(
        self, segment_id: str, requests: Sequence[Request], entries: Sequence[Entry]
    ) -> None:
        """Return when everything is stored or put aside.

        The same arguments make the same blocks under the same tokens, so that a repeat after a crash doubles nothing.
        """
        for name, blocks in self._parts(segment_id, requests, entries):
            for number, block in enumerate(blocks):
                self._insert(f"{name}/{block.table}/{number}", block)

    def _parts(
        self, name: str, requests: Sequence[Request], entries: Sequence[Entry]
    ) -> Iterator[tuple[str, list[Block]]]:
        """Process the requests together; where that fails, halve them until the request at fault stands alone."""
        try:
            blocks = process(requests, entries)
        except Exception:
            log.exception("cannot process %d requests of segment %s", len(requests), name)
            if len(requests) > 1:
                middle = len(requests) // 2
                yield from self._parts(f"{name}a", requests[:middle], entries)
                yield from self._parts(f"{name}b", requests[middle:], ())
                return
            lost = [self._put_aside(name, request) for request in requests]
            blocks = process((), [*entries, *lost])
        yield name, blocks

    def _put_aside(self, name: str, request: Request) -> Entry:
        path = self._keep(f"{name}.{request.signal}.otlp", request.body)
        log.error(
            "a %s request of %d bytes cannot be processed; it is kept as %s",
            request.signal,
            len(request.body),
            path,
        )
        minute = minute_of(request.arrival_ns)
        return Entry(minute, request.signal, b"", "Rejected", request.items, len(request.body))

    def _insert(self, token: str, block: Block) -> None:
        pause_s = self._retry_s
        while True:
            try:
                insert_block(self._store, token, block)
            except Retryable as error:
                log.warning("%s; trying again in %.1f s", error, pause_s)
                if self._stopping.wait(pause_s):
                    raise
                pause_s = min(2 * pause_s, self._retry_max_s)
            except Permanent as error:
                path = self._keep(f"{token.replace('/', '-')}.native", block.data)
                log.error("%s; the rows are kept as %s", error, path)  # noqa: TRY400
                return
            else:
                return

    def _keep(self, name: str, data: bytes) -> Path:
        self._quarantine.mkdir(parents=True, exist_ok=True)
        path = self._quarantine / name
        path.write_bytes(data)
        self.quarantined += 1
        return path
