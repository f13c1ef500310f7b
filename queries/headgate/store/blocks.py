"""One Arrow stream of the many that the embedded engine answers with, one a block.

Read as it comes, a result is never in memory as a whole. Source: Arrow's columnar format, IPC streaming: a message is
four bytes of ones, four of its metadata's length, metadata, body; a schema has no body; a stream ends with length 0.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEAD = 8
_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class Blocks(io.RawIOBase):
    """Reads streams of one schema as one; `close` tells the engine that nobody reads on."""

    def __init__(self, first: bytes, streams: Iterator[bytes], close: Callable[[], object]) -> None:
        super().__init__()
        self._rest = memoryview(first)[: -len(_END)]
        self._streams = streams
        self._close = close

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int | None = -1) -> memoryview:
        """Return a view of `size` bytes; fewer only at the end of a block, beyond which no reader asks."""
        if not self._rest:
            self._rest = self._next()
        end = len(self._rest) if size is None or size < 0 else size
        piece, self._rest = self._rest[:end], self._rest[end:]
        return piece

    def close(self) -> None:
        """Stop the statement."""
        if not self.closed:
            self._close()
        super().close()

    def _next(self) -> memoryview:
        for stream in self._streams:
            schema = int.from_bytes(stream[4:_HEAD], "little")
            if batches := memoryview(stream)[_HEAD + schema : -len(_END)]:
                return batches
        return memoryview(b"")
