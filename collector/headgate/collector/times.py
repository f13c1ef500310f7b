"""Times as ClickHouse holds them: int64 nanoseconds and uint32 seconds, UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.rules import Rules

NS_PER_SECOND = 1_000_000_000
MOST_DAYS = 10
"""Days in a block: a fifth of what an insert may have, since blocks are inserted together."""
_MAX_INT64 = np.uint64(2**63 - 1)


def first_set(fallback_ns: int, *candidates: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each row the first candidate that is set and fits int64, else the fallback."""
    result = np.full(candidates[0].size, fallback_ns, np.int64)
    for candidate in reversed(candidates):
        usable = (candidate > 0) & (candidate <= _MAX_INT64)
        result[usable] = candidate[usable].astype(np.int64)
    return result


def believed(
    arrival_ns: NDArray[np.int64], rules: Rules, *candidates: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for each row the first candidate that can be true, else its arrival; and which rows got their arrival.

    What has arrived cannot have happened much later, and what happened long before is a broken clock's: believed, such
    times would make a partition for every day that somebody invents.
    """
    time_ns = arrival_ns.copy()
    missing = np.ones(time_ns.size, bool)
    for candidate in reversed(candidates):
        known = (candidate > 0) & (candidate <= _MAX_INT64)
        ahead_ns = np.where(known, candidate, 0).astype(np.int64) - arrival_ns
        usable = known & (ahead_ns >= -rules.oldest_ns) & (ahead_ns <= rules.newest_ns)
        time_ns[usable] = candidate[usable].astype(np.int64)
        missing &= ~usable
    return time_ns, missing


def durations(
    rules: Rules, start: NDArray[np.uint64], end: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return how long each row took in ns: 0 without a start, when it ends before, or takes longer than is believed."""
    duration = np.where((start > 0) & (end > start), end - start, np.uint64(0))
    return np.where(duration <= rules.oldest_ns + rules.newest_ns, duration, np.uint64(0))


def seconds(time_ns: NDArray[np.int64], unit_s: int) -> NDArray[np.uint32]:
    """Return the start of each time's minute, hour or other unit, kept within what DateTime holds (1970 to 2106)."""
    start = time_ns // (unit_s * NS_PER_SECOND) * unit_s
    return np.clip(start, 0, 2**32 // unit_s * unit_s - unit_s).astype(np.uint32)


def batches_by_day(
    time_ns: NDArray[np.int64],
    size: NDArray[Any],
    max_days: int = MOST_DAYS,
    max_bytes: int = 64 << 20,
) -> list[NDArray[np.int64] | None]:
    """Return row numbers block by block, so that no block has too many partitions or bytes; None means all rows.

    A block is inserted as one part a day, and the deduplication window counts parts; more than 100 partitions in an
    insert is an error that no retry heals. `size` is each row's size in bytes, about.
    """
    day = time_ns // (86400 * NS_PER_SECOND)
    total = int(size.sum())
    days, number = np.unique(day, return_inverse=True)
    if days.size <= max_days and total <= max_bytes:
        return [None]
    order = np.argsort(number, kind="stable")
    block = number[order] // max_days
    filled = np.cumsum(size[order]) // max_bytes
    starts = np.flatnonzero((np.diff(block) != 0) | (np.diff(filled) != 0)) + 1
    return list(np.split(order, starts))
