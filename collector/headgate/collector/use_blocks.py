"""Uses as blocks: `events` (sampled detail) and the exact rollups `usage_minute`, `user_hour`, `user_seen`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.block import Block, make_block
from headgate.collector.keyed import Keyed, encode_lowcardinality, encode_map, expand
from headgate.collector.native import (
    encode_array,
    encode_hex,
    encode_nullable,
    encode_numbers,
    encode_strings,
)
from headgate.collector.outcome import OUTCOMES
from headgate.collector.rollup import usage_rows, user_rows
from headgate.collector.span_block import encode_choice, encode_names, encode_text_names
from headgate.collector.times import NS_PER_SECOND, batches_by_day
from headgate.collector.uses import EVENT_KIND, KINDS, Uses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.heap import Heap

_EVENT_KINDS = ("span", "event")


def use_blocks(heap: Heap, uses: Uses, attributes: Keyed) -> list[Block]:
    """Encode what is counted and what is kept of `uses`; `attributes` are those of the signal's own rows."""
    if not len(uses):
        return []
    return [*_events(heap, uses, attributes), *_usage(heap, uses), *_users(heap, uses)]


def _take(time_s: NDArray[np.uint32]) -> list[NDArray[np.int64]]:
    """Return row numbers block by block (see batches_by_day)."""
    batches = batches_by_day(
        time_s.astype(np.int64) * NS_PER_SECOND, np.ones(time_s.size, np.int64)
    )
    return [np.arange(time_s.size) if batch is None else batch for batch in batches]


def _events(heap: Heap, uses: Uses, attributes: Keyed) -> list[Block]:
    entries = np.flatnonzero(uses.entry)
    if not entries.size:
        return []
    source = uses.source[entries]
    size = attributes.text.length
    size = np.concatenate([[0], np.cumsum(size)])
    size = size[attributes.first[source + 1]] - size[attributes.first[source]] + 200
    blocks = []
    for batch in batches_by_day(uses.time_ns[entries], size):
        rows = entries if batch is None else entries[batch]
        value = uses.value[rows]
        null = np.isnan(value)
        columns = {
            "Timestamp": encode_numbers(uses.time_ns[rows]),
            "Kind": encode_choice(uses.kind[rows] == EVENT_KIND, _EVENT_KINDS),
            "ServiceName": encode_names(heap, uses.service.take(rows)),
            "Operation": encode_names(heap, uses.operation.take(rows)),
            "Outcome": encode_choice(uses.outcome[rows], OUTCOMES),
            "Duration": encode_numbers(uses.duration_ns[rows]),
            "UserId": encode_strings(heap.buffer, uses.user.take(rows)),
            "UserHash": encode_numbers(uses.user_hash[rows]),
            "SessionId": encode_strings(heap.buffer, uses.session.take(rows)),
            "TraceId": encode_hex(heap.buffer, uses.trace_id.take(rows)),
            "SpanId": encode_hex(heap.buffer, uses.span_id.take(rows)),
            "Fingerprint": encode_numbers(uses.fingerprint[rows]),
            "ErrorType": encode_text_names(heap, uses.error_type.take(rows)),
            "ErrorMessage": encode_strings(heap.buffer, uses.error_message.take(rows)),
            "Value": encode_nullable(encode_numbers(np.where(null, 0.0, value)), null),
            "Attributes": encode_map(heap.buffer, attributes, uses.source[rows]),
            "Weight": encode_numbers(uses.adjusted[rows]),
            "UpstreamWeight": encode_numbers(uses.adjusted[rows]),
        }
        blocks.append(make_block("events", rows.size, columns))
    return blocks


def _usage(heap: Heap, uses: Uses) -> list[Block]:
    rows = usage_rows(uses)
    first = np.concatenate([[0], np.cumsum(rows.bucket_count)])
    blocks = []
    for index in _take(rows.time_s):
        cells, _ = expand(first, index)
        columns = {
            "Time": encode_numbers(rows.time_s[index]),
            "ServiceName": encode_lowcardinality(
                heap.buffer, rows.service[index], uses.service.distinct
            ),
            "Operation": encode_lowcardinality(
                heap.buffer, rows.operation[index], uses.operation.distinct
            ),
            "Kind": encode_choice(rows.kind[index], KINDS),
            "Entry": encode_numbers(rows.entry[index].astype(np.uint8)),
            "Outcome": encode_choice(rows.outcome[index], OUTCOMES),
            "Calls": encode_numbers(rows.calls[index]),
            "CallsAdjusted": encode_numbers(rows.calls_adjusted[index]),
            "DurationSum": encode_numbers(rows.duration_sum[index]),
            "DurationSumSquares": encode_numbers(rows.duration_sum_squares[index]),
            "DurationMin": encode_numbers(rows.duration_min[index]),
            "DurationMax": encode_numbers(rows.duration_max[index]),
            "DurationBuckets": encode_array(
                rows.bucket_count[index],
                encode_numbers(rows.bucket[cells]),
                encode_numbers(rows.bucket_calls[cells]),
            ),
        }
        blocks.append(make_block("usage_minute", index.size, columns))
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
            "ServiceName": encode_lowcardinality(
                heap.buffer, rows.service[index], uses.service.distinct
            ),
            "Operation": encode_lowcardinality(
                heap.buffer, rows.operation[index], uses.operation.distinct
            ),
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
