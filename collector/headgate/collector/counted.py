"""What is counted by name, within the limits: uses and dimensions with `__other__` in place of names beyond them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from headgate.collector.cardinality import OTHER, Guard, mixed
from headgate.collector.references import Text
from headgate.collector.uses import Names
from headgate.collector.xxh import xxh64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.dimension import Dimension
    from headgate.collector.heap import Heap
    from headgate.collector.rules import NameLimits
    from headgate.collector.uses import Uses

_OTHER_HASH = np.uint64(xxhash.xxh64_intdigest(OTHER))
_SERVICES, _OPERATIONS = np.uint64(1), np.uint64(2)
_DENSE = 1 << 22


@dataclass(frozen=True, slots=True)
class Counted:
    """Uses and dimensions as they are counted; `other` says which uses have `__other__` in place of some name."""

    uses: Uses
    dimensions: list[Dimension]
    other: NDArray[np.bool_]


def counted_services(
    heap: Heap, services: Names, items: NDArray[np.int64], guard: Guard, limits: NameLimits
) -> tuple[Names, NDArray[np.bool_]]:
    """Return the services of resources as they are counted, and which resources' are refused; `items` are their own."""
    calls = np.bincount(services.code, weights=items, minlength=len(services.distinct))
    key = xxh64(heap.buffer, services.distinct)
    refused = guard.judge(
        mixed(_SERVICES, key), np.full(key.size, _SERVICES), calls, limits.services
    )
    if not refused.any():
        return services, np.zeros(services.code.size, bool)
    return _with_other(heap, services, refused[services.code], key), refused[services.code]


def counted(
    heap: Heap,
    uses: Uses,
    dimensions: Sequence[Dimension],
    services: Names,
    guard: Guard,
    limits: NameLimits,
) -> Counted:
    """Return uses as they are counted; `services` are theirs from `counted_services`."""
    hashes = xxh64(heap.buffer, services.distinct)
    nameless = hashes[services.code] == _OTHER_HASH
    refused = _refused_operations(heap, uses, services, hashes, nameless, guard, limits)
    other = nameless | refused
    operation = uses.operation
    if other.any():
        keys = xxh64(heap.buffer, operation.distinct)
        operation = _with_other(heap, operation, other, keys)
    entries = np.flatnonzero(uses.entry)
    found = []
    for dimension in dimensions:
        bad = _refused_values(dimension, services.code[entries], hashes, guard, limits)
        found.append(_dimension_with_other(dimension, bad) if bad.any() else dimension)
        other[entries[bad]] = True
    return Counted(replace(uses, service=services, operation=operation), found, other)


def _refused_operations(
    heap: Heap,
    uses: Uses,
    services: Names,
    hashes: NDArray[np.uint64],
    nameless: NDArray[np.bool_],
    guard: Guard,
    limits: NameLimits,
) -> NDArray[np.bool_]:
    names = uses.operation
    pair = services.code.astype(np.int64) * len(names.distinct) + names.code
    distinct, count = _distinct(pair[~nameless], len(services.distinct) * len(names.distinct))
    service, operation = np.divmod(distinct, max(1, len(names.distinct)))
    parent = mixed(_OPERATIONS, hashes[service])
    key = mixed(parent, xxh64(heap.buffer, names.distinct)[operation])
    refused = guard.judge(key, parent, count, limits.operations)
    return _among(pair, distinct[refused]) & ~nameless


def _refused_values(
    dimension: Dimension,
    service: NDArray[Any],
    hashes: NDArray[np.uint64],
    guard: Guard,
    limits: NameLimits,
) -> NDArray[np.bool_]:
    words = np.array([xxhash.xxh64_intdigest(word) for word in dimension.words], np.uint64)
    there = np.flatnonzero(dimension.code >= 0)
    pair = service[there].astype(np.int64) * words.size + dimension.code[there]
    distinct, count = _distinct(pair, hashes.size * words.size)
    owner, value = np.divmod(distinct, words.size)
    own = words[value] != _OTHER_HASH
    parent = mixed(np.uint64(xxhash.xxh64_intdigest(dimension.name.encode())), hashes[owner[own]])
    refused = guard.judge(
        mixed(parent, words[value[own]]), parent, count[own], limits.dimension_values
    )
    bad = np.zeros(dimension.code.size, bool)
    bad[there] = _among(pair, distinct[own][refused])
    return bad


def _distinct(values: NDArray[np.int64], bound: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct values in ascending order, and how many there are of each; values are below `bound`."""
    if bound <= _DENSE:
        count = np.bincount(values)
        found = np.flatnonzero(count)
        return found, count[found]
    found, count = np.unique(values, return_counts=True)
    return found, count


def _among(values: NDArray[np.int64], few: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.isin(values, few) if few.size else np.zeros(values.size, bool)


def _with_other(
    heap: Heap, names: Names, refused: NDArray[np.bool_], hashes: NDArray[np.uint64]
) -> Names:
    """Put `__other__` in place of the names that are refused, row by row; `hashes` are those of the distinct ones."""
    distinct = names.distinct
    there = np.flatnonzero(hashes == _OTHER_HASH)
    code = int(there[0]) if there.size else len(distinct)
    if not there.size:
        added = heap.add_texts([OTHER])
        distinct = Text(
            np.append(distinct.offset, added.offset), np.append(distinct.length, added.length)
        )
    return Names(np.where(refused, code, names.code), distinct)


def _dimension_with_other(dimension: Dimension, refused: NDArray[np.bool_]) -> Dimension:
    words = dimension.words
    if OTHER not in words:
        words = [*words, OTHER]
    return replace(
        dimension, code=np.where(refused, words.index(OTHER), dimension.code), words=words
    )
