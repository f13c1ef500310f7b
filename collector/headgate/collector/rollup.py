"""Count uses exactly, before anything is sampled: rows for usage_minute, user_hour and user_seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.grouping import group, packed, relative
from headgate.collector.measures import Measures, measures_of
from headgate.collector.outcome import OK, OUTCOMES
from headgate.collector.times import seconds
from headgate.collector.uses import KINDS, Uses

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class UsageRows:
    """Rows for usage_minute; `service` and `operation` are codes of the uses."""

    time_s: NDArray[np.uint32]
    service: NDArray[np.int64]
    operation: NDArray[np.int64]
    kind: NDArray[np.uint8]
    entry: NDArray[np.bool_]
    outcome: NDArray[np.uint8]
    measures: Measures


def usage_rows(uses: Uses) -> UsageRows:
    """Count uses by minute, service, operation, kind, entry and outcome; at least one use."""
    minute = seconds(uses.time_ns, 60)
    groups = group(
        packed(
            (uses.service.code, len(uses.service.distinct)),
            (uses.operation.code, len(uses.operation.distinct)),
            (uses.kind, len(KINDS)),
            (uses.entry, 2),
            (uses.outcome, len(OUTCOMES)),
            relative(minute),
        )
    )
    first = groups.first
    return UsageRows(
        time_s=minute[first],
        service=uses.service.code[first],
        operation=uses.operation.code[first],
        kind=uses.kind[first],
        entry=uses.entry[first],
        outcome=uses.outcome[first],
        measures=measures_of(uses).merged(groups),
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
    place = packed(
        (uses.service.code[known], len(uses.service.distinct)),
        (uses.operation.code[known], len(uses.operation.distinct)),
        relative(hour),
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
