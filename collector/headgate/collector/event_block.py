"""Uses as blocks of `events`, thinned by person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.block import Block, make_block
from headgate.collector.keyed import Keyed, encode_map, text_sizes
from headgate.collector.native import (
    encode_hex,
    encode_nullable,
    encode_numbers,
    encode_strings,
)
from headgate.collector.outcome import OUTCOMES
from headgate.collector.sampler.people import persons_kept
from headgate.collector.sampler.thresholds import weight_of
from headgate.collector.span_block import encode_choice, encode_names, encode_text_names
from headgate.collector.times import batches_by_day
from headgate.collector.uses import EVENT_KIND, Uses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.heap import Heap

_EVENT_KINDS = ("span", "event")


def event_blocks(
    heap: Heap, uses: Uses, attributes: Keyed, person: NDArray[np.uint64], threshold: int
) -> list[Block]:
    """Encode the entries of `uses` whose person passes a threshold; `person` is by entry.

    `attributes` are those of the signal's own rows.
    """
    entries = np.flatnonzero(uses.entry)
    if threshold:
        entries = entries[persons_kept(person, threshold)]
    if not entries.size:
        return []
    thinned = float(weight_of(np.array([threshold]))[0])
    source = uses.source[entries]
    size = text_sizes(attributes, source) + 200
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
            "Weight": encode_numbers(uses.adjusted[rows] * thinned),
            "UpstreamWeight": encode_numbers(uses.adjusted[rows]),
        }
        blocks.append(make_block("events", rows.size, columns))
    return blocks
