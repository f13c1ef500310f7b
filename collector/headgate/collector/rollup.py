"""Count uses exactly, before anything is sampled: rows for usage_minute, user_hour and user_seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.outcome import OK, OUTCOMES
from headgate.collector.times import seconds
from headgate.collector.uses import KINDS, Uses
from headgate.store.histogram import bucket_index

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows that share a key: rows order[start[g]:start[g + 1]] are group g; `first` is one row of each."""

    order: NDArray[np.int64]
    start: NDArray[np.int64]

    @property
    def first(self) -> NDArray[np.int64]:
        """One row of each group."""
        return self.order[self.start]

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sum of each group."""
        return np.add.reduceat(values[self.order], self.start)

    def min(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the least of each group."""
        return np.minimum.reduceat(values[self.order], self.start)

    def max(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the greatest of each group."""
        return np.maximum.reduceat(values[self.order], self.start)

    def count(self) -> NDArray[np.uint64]:
        """Return the size of each group."""
        return np.diff(np.append(self.start, self.order.size)).astype(np.uint64)


def group(*keys: NDArray[Any]) -> Groups:
    """Group rows by equal keys, the first key the most significant; keys are integers, at least one row."""
    order = np.lexsort(keys[::-1]) if len(keys) > 1 else np.argsort(keys[0], kind="stable")
    changed = np.zeros(order.size, bool)
    for key in keys:
        in_order = key[order]
        changed[1:] |= in_order[1:] != in_order[:-1]
    changed[0] = True
    return Groups(order, np.flatnonzero(changed))


def _packed(*keys: tuple[NDArray[Any], int]) -> NDArray[np.int64]:
    """Combine small integer keys (values, number of values) into one integer key."""
    packed = np.zeros(keys[0][0].size, np.int64)
    for values, cardinality in keys:
        packed = packed * cardinality + values
    return packed


def _relative(values: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Replace wide values by their rank among the distinct ones."""
    distinct, rank = np.unique(values, return_inverse=True)
    return rank.astype(np.int64), int(distinct.size)


@dataclass(frozen=True, slots=True)
class UsageRows:
    """Rows for usage_minute; `service` and `operation` are codes of the uses, buckets are ragged by `bucket_count`."""

    time_s: NDArray[np.uint32]
    service: NDArray[np.int64]
    operation: NDArray[np.int64]
    kind: NDArray[np.uint8]
    entry: NDArray[np.bool_]
    outcome: NDArray[np.uint8]
    calls: NDArray[np.uint64]
    calls_adjusted: NDArray[np.float64]
    duration_sum: NDArray[np.float64]
    duration_sum_squares: NDArray[np.float64]
    duration_min: NDArray[np.uint64]
    duration_max: NDArray[np.uint64]
    bucket_count: NDArray[np.int64]
    bucket: NDArray[np.int16]
    bucket_calls: NDArray[np.uint64]


def usage_rows(uses: Uses) -> UsageRows:
    """Count uses by minute, service, operation, kind, entry and outcome; at least one use."""
    minute = seconds(uses.time_ns, 60)
    key = _packed(
        (uses.service.code, len(uses.service.distinct)),
        (uses.operation.code, len(uses.operation.distinct)),
        (uses.kind, len(KINDS)),
        (uses.entry, 2),
        (uses.outcome, len(OUTCOMES)),
        _relative(minute),
    )
    groups = group(key)
    duration = uses.duration_ns.astype(np.float64)
    count = groups.count()
    bucket_count = np.zeros(count.size, np.int64)
    bucket, bucket_calls = np.empty(0, np.int16), np.empty(0, np.uint64)
    if uses.timed:
        index = bucket_index(uses.duration_ns)
        number = np.empty(key.size, np.int64)
        number[groups.order] = np.repeat(np.arange(count.size), count.astype(np.int64))
        cells = group(number * 65536 + index)
        bucket, bucket_calls = index[cells.first], cells.count()
        bucket_count = np.bincount(number[cells.first], minlength=count.size)
    first = groups.first
    return UsageRows(
        time_s=minute[first],
        service=uses.service.code[first],
        operation=uses.operation.code[first],
        kind=uses.kind[first],
        entry=uses.entry[first],
        outcome=uses.outcome[first],
        calls=count,
        calls_adjusted=groups.sum(uses.adjusted),
        duration_sum=groups.sum(duration),
        duration_sum_squares=groups.sum(duration * duration),
        duration_min=groups.min(uses.duration_ns),
        duration_max=groups.max(uses.duration_ns),
        bucket_count=bucket_count,
        bucket=bucket,
        bucket_calls=bucket_calls,
    )


@dataclass(frozen=True, slots=True)
class UserRows:
    """Rows for user_hour; `service` and `operation` are codes of the uses."""

    time_s: NDArray[np.uint32]
    service: NDArray[np.int64]
    operation: NDArray[np.int64]
    user_hash: NDArray[np.uint64]
    calls: NDArray[np.uint64]
    errors: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class SeenRows:
    """Rows for user_seen."""

    user_hash: NDArray[np.uint64]
    first_s: NDArray[np.uint32]
    last_s: NDArray[np.uint32]


def user_rows(uses: Uses) -> tuple[UserRows, SeenRows] | None:
    """Count the uses of known users by hour, service and operation; None when there are none."""
    known = np.flatnonzero(uses.entry & (uses.user_hash != 0))
    if not known.size:
        return None
    hour = seconds(uses.time_ns[known], 3600)
    user = uses.user_hash[known]
    place = _packed(
        (uses.service.code[known], len(uses.service.distinct)),
        (uses.operation.code[known], len(uses.operation.distinct)),
        _relative(hour),
    )
    groups = group(place, user)
    rows = known[groups.first]
    failed = (uses.outcome[known] != OK).astype(np.uint64)
    second = seconds(uses.time_ns[known], 1)
    people = group(user)
    return (
        UserRows(
            time_s=hour[groups.first],
            service=uses.service.code[rows],
            operation=uses.operation.code[rows],
            user_hash=user[groups.first],
            calls=groups.count(),
            errors=groups.sum(failed),
        ),
        SeenRows(user[people.first], people.min(second), people.max(second)),
    )
