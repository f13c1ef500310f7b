"""What is counted of uses, as blocks: usage_minute, dimension_quarter, user_hour and user_seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.block import Block, make_block
from headgate.collector.dimension import dimension_rows
from headgate.collector.keyed import encode_lowcardinality
from headgate.collector.native import encode_numbers
from headgate.collector.outcome import OUTCOMES
from headgate.collector.rollup import usage_rows, user_rows
from headgate.collector.span_block import encode_choice, encode_words
from headgate.collector.times import NS_PER_SECOND, batches_by_day
from headgate.collector.uses import KINDS, Uses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.dimension import Dimension
    from headgate.collector.heap import Heap
    from headgate.collector.native import Encoded


def rollup_blocks(heap: Heap, uses: Uses, dimensions: Sequence[Dimension]) -> list[Block]:
    """Count at least one use; `dimensions` are by entry, in the order of the entries among `uses`."""
    return [
        *_usage(heap, uses),
        *_dimensions(heap, uses, dimensions),
        *_users(heap, uses),
    ]


def _take(time_s: NDArray[np.uint32]) -> list[NDArray[np.int64]]:
    """Return row numbers block by block (see batches_by_day)."""
    batches = batches_by_day(
        time_s.astype(np.int64) * NS_PER_SECOND, np.ones(time_s.size, np.int64)
    )
    return [np.arange(time_s.size) if batch is None else batch for batch in batches]


def _place(
    heap: Heap, uses: Uses, service: NDArray[Any], operation: NDArray[Any]
) -> dict[str, Encoded]:
    return {
        "ServiceName": encode_lowcardinality(heap.buffer, service, uses.service.distinct),
        "Operation": encode_lowcardinality(heap.buffer, operation, uses.operation.distinct),
    }


def _usage(heap: Heap, uses: Uses) -> list[Block]:
    rows = usage_rows(uses)
    blocks = []
    for index in _take(rows.time_s):
        columns = {
            "Time": encode_numbers(rows.time_s[index]),
            **_place(heap, uses, rows.service[index], rows.operation[index]),
            "Kind": encode_choice(rows.kind[index], KINDS),
            "Entry": encode_numbers(rows.entry[index].astype(np.uint8)),
            "Outcome": encode_choice(rows.outcome[index], OUTCOMES),
            **rows.measures.take(index).columns(),
        }
        blocks.append(make_block("usage_minute", index.size, columns))
    return blocks


def _dimensions(heap: Heap, uses: Uses, dimensions: Sequence[Dimension]) -> list[Block]:
    if not dimensions:
        return []
    rows = dimension_rows(uses, dimensions)
    names = [dimension.name.encode() for dimension in dimensions]
    blocks = []
    for index in _take(rows.time_s):
        columns = {
            "Time": encode_numbers(rows.time_s[index]),
            "Dimension": encode_words(rows.dimension[index], names),
            "Value": encode_words(rows.value[index], rows.words),
            "ServiceName": encode_lowcardinality(
                heap.buffer, rows.service[index], uses.service.distinct
            ),
            "Kind": encode_choice(rows.kind[index], KINDS),
            "Outcome": encode_choice(rows.outcome[index], OUTCOMES),
            **rows.measures.take(index).columns(),
        }
        blocks.append(make_block("dimension_quarter", index.size, columns))
    return blocks


def _users(heap: Heap, uses: Uses) -> list[Block]:
    found = user_rows(uses)
    if found is None:
        return []
    rows, seen = found
    blocks = []
    for index in _take(rows.time_s):
        columns = {
            "Time": encode_numbers(rows.time_s[index]),
            **_place(heap, uses, rows.service[index], rows.operation[index]),
            "UserHash": encode_numbers(rows.user_hash[index]),
            "Calls": encode_numbers(rows.calls[index]),
            "Errors": encode_numbers(rows.errors[index]),
        }
        blocks.append(make_block("user_hour", index.size, columns))
    columns = {
        "UserHash": encode_numbers(seen.user_hash),
        "FirstSeen": encode_numbers(seen.first_s),
        "LastSeen": encode_numbers(seen.last_s),
    }
    return [*blocks, make_block("user_seen", seen.user_hash.size, columns)]
