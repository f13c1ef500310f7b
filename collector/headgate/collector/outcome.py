"""How a use ended: `ok`, `error` or `timeout`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.heap import Heap, intern

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.layout import Text

OUTCOMES = ("ok", "error", "timeout")
OK, ERROR, TIMEOUT = 0, 1, 2
_HTTP_TIMEOUTS = (408, 504)
_GRPC_DEADLINE_EXCEEDED = 4


def outcomes(
    heap: Heap,
    failed: NDArray[np.bool_],
    error_type: Text,
    http_status: NDArray[np.int64],
    grpc_status: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Return each row's outcome (an index into OUTCOMES); statuses are -1 where unknown.

    A failure is a timeout when the name of its error says so, or its HTTP (408, 504) or gRPC (DEADLINE_EXCEEDED)
    status does.
    """
    codes, distinct = intern(heap, error_type)
    named = np.array(
        [b"timeout" in name.lower() or b"deadline" in name.lower() for name in heap.read(distinct)],
        bool,
    )
    late = named[codes] if named.size else np.zeros(failed.size, bool)
    late |= np.isin(http_status, _HTTP_TIMEOUTS) | (grpc_status == _GRPC_DEADLINE_EXCEEDED)
    return np.where(failed, np.where(late, TIMEOUT, ERROR), OK).astype(np.uint8)
