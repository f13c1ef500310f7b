"""What the collector works out about each span or log record before it is counted and stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.heap import Heap, intern
from headgate.collector.keyed import Keyed, find, text_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.layout import Text

SPAN_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
EVENT_KIND = len(SPAN_KINDS)
KINDS = (*SPAN_KINDS, "Event")


@dataclass(frozen=True, slots=True)
class Names:
    """Strings with few distinct values: `code[i]` indexes `distinct`."""

    code: NDArray[Any]
    distinct: Text

    def take(self, index: NDArray[Any] | slice) -> Names:
        """Return the names at `index`."""
        return Names(self.code[index], self.distinct)


@dataclass(frozen=True, slots=True)
class Uses:
    """Calls to be counted, one row each; used for spans and for named log events.

    `entry` marks uses (entry spans, tracked calls, named events), the rows of the `events` table; `kind` indexes
    KINDS, `outcome` OUTCOMES; `timed` says whether there is a duration; `adjusted` is the upstream adjusted count;
    `user_hash` is 0 for nobody. `source` is the row in the signal's own table.
    """

    source: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    service: Names
    operation: Names
    kind: NDArray[np.uint8]
    entry: NDArray[np.bool_]
    outcome: NDArray[np.uint8]
    timed: bool
    duration_ns: NDArray[np.uint64]
    adjusted: NDArray[np.float64]
    user: Text
    user_hash: NDArray[np.uint64]
    session: Text
    trace_id: Text
    span_id: Text
    fingerprint: NDArray[np.uint64]
    error_type: Text
    error_message: Text
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.time_ns.size)


def name_of(heap: Heap, text: Text) -> Names:
    """Intern strings that have few distinct values."""
    return Names(*intern(heap, text))


def service_names(heap: Heap, resource: Keyed) -> Names:
    """Return the service of each resource (`service.name`), empty where it does not say."""
    return name_of(heap, text_at(heap, resource, find(resource, ["service.name"])[:, 0]))


def first_present(index: NDArray[np.int64], columns: tuple[int, ...]) -> NDArray[np.int64]:
    """Return for each row the first of the given columns of a `find` that is there, else -1."""
    result = index[:, columns[-1]]
    for column in reversed(columns[:-1]):
        result = np.where(index[:, column] >= 0, index[:, column], result)
    return result


def integer_at(keyed: Keyed, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the integer attribute at each index, -1 where there is none or it is no integer."""
    if not len(keyed.value):
        return np.full(index.size, -1, np.int64)
    is_integer = (index >= 0) & (keyed.value.kind[index] == 3)
    return np.where(is_integer, keyed.value.bits[index].view(np.int64), -1)
