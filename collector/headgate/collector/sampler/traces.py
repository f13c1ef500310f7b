"""Group the spans of a segment into traces, the units that are kept or dropped whole.

Rules that hold here:
- A row without a trace id (a log record outside any trace) is a trace of its own.
- R of a trace is the first explicit randomness (`rv`) among its rows, else the low 56 bits of its id, else a keyed hash
  of the segment's id and the row's position: nobody outside can foresee it, and the same segment draws it again. Of a
  row that has passed an upstream threshold T with an R that is not known here, that hash is drawn from T..2^56.
- An upstream threshold T that its own R does not pass was not used with R. It says nothing then, so it is taken for
  absent and is to be erased from the row (OpenTelemetry: tracestate handling).
- Requests are entry rows, plus one for each trace without any; traces that a rule drops have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel, unchecked
from headgate.collector.memory import AHEAD, address, big_endian, load64, prefetch
from headgate.collector.sampler.hashing import mix64, mix_pair, room

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.layout import Text

MASK56 = np.uint64((1 << 56) - 1)
KEEP, DROP_RULE = 1, 2


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The spans or log records of one segment, one a row, in the order of the segment.

    `stratum` indexes `strata`, or is -1 for a row of no stratum of its own; only the strata of requests count.
    `strata` are keys that last beyond the segment: hashes of what names a stratum. `upstream` and `randomness` are T
    and R as the row brought them, -1 where it brought none. `keep` and `drop` mark what an always-keep or always-drop
    rule matched: one such row decides for its trace, and keep wins. `segment` is the segment's id as two 64-bit
    numbers.
    """

    trace_hi: NDArray[np.uint64]
    trace_lo: NDArray[np.uint64]
    arrival_ns: NDArray[np.int64]
    entry: NDArray[np.bool_]
    stratum: NDArray[np.int64]
    strata: NDArray[np.uint64]
    upstream: NDArray[np.int64]
    randomness: NDArray[np.int64]
    keep: NDArray[np.bool_]
    drop: NDArray[np.bool_]
    segment: tuple[int, int]

    def __len__(self) -> int:
        return int(self.trace_hi.size)


@dataclass(frozen=True, slots=True)
class Traces:
    """The traces of a segment, numbered in order of first appearance; `trace` is the number of each row's.

    `identity` is a keyed hash of the id, 0 for a row without one; `slots` is the hash table that finds traces by it.
    `upstream` is the greatest consistent upstream threshold of each trace (0: none), `row_upstream` that of each row
    (-1: none); `entries` and `rows` count rows; `rule` is 0, KEEP or DROP_RULE.
    """

    trace: NDArray[np.int64]
    slots: NDArray[np.int32]
    identity: NDArray[np.uint64]
    first: NDArray[np.int64]
    randomness: NDArray[np.int64]
    upstream: NDArray[np.int64]
    row_upstream: NDArray[np.int64]
    entries: NDArray[np.int64]
    rows: NDArray[np.int64]
    rule: NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.identity.size)


@kernel
def _number(
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    key: np.uint64,
    slots: NDArray[np.int32],
    trace: NDArray[np.int64],
    identity: NDArray[np.uint64],
    first: NDArray[np.int64],
) -> int:
    """Give each trace a number; return how many there are."""
    mask = np.uint64(slots.size - 1)
    count = i64(0)
    for i in range(high.size):
        if high[i] == 0 and low[i] == 0:
            identity[count] = np.uint64(0)
            first[count] = i
            trace[i] = count
            count += 1
            continue
        if i > 0 and high[i] == high[i - 1] and low[i] == low[i - 1]:
            trace[i] = trace[i - 1]
            continue
        name = mix_pair(high[i], low[i], key)
        if name == 0:
            name = np.uint64(1)
        slot = name & mask
        while True:
            found = slots[i64(slot)]
            if found < 0:
                slots[i64(slot)] = count
                identity[count] = name
                first[count] = i
                trace[i] = count
                count += 1
                break
            if high[first[found]] == high[i] and low[first[found]] == low[i]:
                trace[i] = found
                break
            slot = (slot + np.uint64(1)) & mask
    return count


@kernel
def _describe(
    low: NDArray[np.uint64],
    entry: NDArray[np.bool_],
    given: NDArray[np.int64],
    passed: NDArray[np.int64],
    keep: NDArray[np.bool_],
    drop: NDArray[np.bool_],
    segment_hi: np.uint64,
    segment_lo: np.uint64,
    trace: NDArray[np.int64],
    identity: NDArray[np.uint64],
    first: NDArray[np.int64],
    randomness: NDArray[np.int64],
    entries: NDArray[np.int64],
    rows: NDArray[np.int64],
    rule: NDArray[np.uint8],
) -> None:
    """Set what each trace is: counts, rules and R; `randomness` comes in as -1, the others as 0."""
    for i in range(trace.size):
        t = trace[i]
        rows[t] += 1
        if entry[i]:
            entries[t] += 1
        if given[i] >= 0 and randomness[t] < 0:
            randomness[t] = given[i]
        if keep[i]:
            rule[t] = KEEP
        elif drop[i] and rule[t] == 0:
            rule[t] = DROP_RULE
    for t in range(first.size):
        if randomness[t] < 0:
            drawn = low[first[t]]
            if identity[t] == 0:
                place = mix64(np.uint64(first[t]) ^ segment_hi)
                drawn = mix64(place + segment_lo)
            randomness[t] = i64(drawn & MASK56)
            if identity[t] == 0 and passed[first[t]] > 0:
                room_above = 72057594037927936 - passed[first[t]]
                randomness[t] = passed[first[t]] + randomness[t] % room_above


@kernel
def _accept_upstream(
    given: NDArray[np.int64],
    trace: NDArray[np.int64],
    randomness: NDArray[np.int64],
    row_upstream: NDArray[np.int64],
    upstream: NDArray[np.int64],
) -> None:
    """Take over the upstream thresholds that R passes; `row_upstream` comes in as -1, `upstream` as 0."""
    for i in range(trace.size):
        t = trace[i]
        if 0 <= given[i] <= randomness[t]:
            row_upstream[i] = given[i]
            upstream[t] = max(upstream[t], given[i])


def group_traces(arrivals: Arrivals, key: int) -> Traces:
    """Group rows by trace; `key` is the sampler's own, so that nobody can choose ids that hash alike."""
    size = len(arrivals)
    slots = np.full(room(size), -1, np.int32)
    trace, first = np.empty(size, np.int64), np.empty(size, np.int64)
    identity = np.empty(size, np.uint64)
    count = _number(
        arrivals.trace_hi, arrivals.trace_lo, np.uint64(key), slots, trace, identity, first
    )
    identity, first = identity[:count].copy(), first[:count].copy()
    randomness = np.full(count, -1, np.int64)
    entries, rows = np.zeros(count, np.int64), np.zeros(count, np.int64)
    rule = np.zeros(count, np.uint8)
    _describe(
        arrivals.trace_lo,
        arrivals.entry,
        arrivals.randomness,
        arrivals.upstream,
        arrivals.keep,
        arrivals.drop,
        np.uint64(arrivals.segment[0]),
        np.uint64(arrivals.segment[1]),
        trace,
        identity,
        first,
        randomness,
        entries,
        rows,
        rule,
    )
    upstream, row_upstream = np.zeros(count, np.int64), np.full(size, -1, np.int64)
    _accept_upstream(arrivals.upstream, trace, randomness, row_upstream, upstream)
    return Traces(
        trace, slots, identity, first, randomness, upstream, row_upstream, entries, rows, rule
    )


@unchecked
def _read_ids(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
) -> None:
    base = address(buffer)
    for i in range(offset.size):
        high[i] = np.uint64(0)
        low[i] = np.uint64(0)
        if i + AHEAD < offset.size:
            prefetch(base, offset[i + AHEAD])
        if length[i] == 16 and 0 <= offset[i] <= buffer.size - 16:
            high[i] = big_endian(load64(base, offset[i]))
            low[i] = big_endian(load64(base, offset[i] + 8))


def read_ids(
    buffer: NDArray[np.uint8], trace_id: Text
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return trace ids of 16 bytes as pairs of numbers, (0, 0) for any other length."""
    high, low = np.empty(len(trace_id), np.uint64), np.empty(len(trace_id), np.uint64)
    _read_ids(buffer, trace_id.offset, trace_id.length, high, low)
    return high, low
