"""Read sampling randomness from trace states, and write the final sampling threshold into them.

`ot=th:T;rv:R;...` is one member of the list: `th` the threshold, `rv` exactly 14 digits of explicit randomness, other
sub-keys are other people's. Written is what the specifications ask for: the changed member goes to the front, has at
most 256 characters (`th` and `rv` first, then the others as long as they fit), and the list at most 32 members.
(W3C trace context 3.3.1.4; OpenTelemetry: tracestate handling)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.heap import Heap, intern
from headgate.collector.kernel import i64, kernel
from headgate.collector.memory import copy_bytes
from headgate.collector.references import Text
from headgate.collector.sampler.hashing import intern_pairs
from headgate.collector.threshold import hex_digit, parse_threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMMA, SEMICOLON, COLON = 44, 59, 58
MOST_VALUE = 256
MOST_MEMBERS = 32
_WRITTEN = 32  # more than what a threshold, its key and separators add to a trace state


@kernel
def is_blank(byte: int) -> bool:
    """Return whether a byte is what may stand around members: space or tab."""
    return byte == 32 or byte == 9  # noqa: PLR1714  # Numba compiles this, and no set


@kernel
def part_end(buffer: NDArray[np.uint8], start: int, stop: int, separator: int) -> int:
    """Return where the part that begins at `start` ends: at the next separator or at `stop`."""
    position = start
    while position < stop and buffer[position] != separator:
        position += 1
    return position


@kernel
def left_trim(buffer: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return where a part begins without the blanks before it."""
    while start < stop and is_blank(buffer[start]):
        start += 1
    return start


@kernel
def right_trim(buffer: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return where a part ends without the blanks behind it."""
    while stop > start and is_blank(buffer[stop - 1]):
        stop -= 1
    return stop


@kernel
def has_key(
    buffer: NDArray[np.uint8], start: int, stop: int, first: int, second: int, mark: int
) -> bool:
    """Return whether a part begins with a key of two letters and the mark behind it."""
    return (
        stop - start >= 3
        and buffer[start] == first
        and buffer[start + 1] == second
        and buffer[start + 2] == mark
    )


@kernel
def find_ot(buffer: NDArray[np.uint8], start: int, stop: int) -> tuple[int, int]:
    """Return where the value of the first `ot` member begins and ends, (stop, stop) where there is none."""
    position = start
    while position < stop:
        end = part_end(buffer, position, stop, COMMA)
        member = left_trim(buffer, position, end)
        if has_key(buffer, member, end, 111, 116, 61):
            return member + 3, right_trim(buffer, member + 3, end)
        position = end + 1
    return stop, stop


@kernel
def parse_randomness(buffer: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return R of the value of an `ot` member, or -1 where there is none or it is not 14 digits."""
    position = start
    while position < stop:
        end = part_end(buffer, position, stop, SEMICOLON)
        if has_key(buffer, position, end, 114, 118, COLON):
            if end - position != 17:
                return -1
            value = i64(0)
            for i in range(14):
                digit = hex_digit(i64(buffer[position + 3 + i]))
                if digit < 0:
                    return -1
                value = value * 16 + digit
            return value
        position = end + 1
    return -1


@kernel
def _read(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    threshold: NDArray[np.int64],
    randomness: NDArray[np.int64],
) -> None:
    for i in range(offset.size):
        threshold[i] = -1
        randomness[i] = -1
        if length[i] > 0:
            threshold[i] = parse_threshold(buffer, offset[i], length[i])
            start, stop = find_ot(buffer, offset[i], offset[i] + length[i])
            randomness[i] = parse_randomness(buffer, start, stop)


def read(
    buffer: NDArray[np.uint8], trace_state: Text
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return T and R of each trace state, -1 where it has none or not a well-formed one."""
    threshold, randomness = (
        np.empty(len(trace_state), np.int64),
        np.empty(len(trace_state), np.int64),
    )
    _read(buffer, trace_state.offset, trace_state.length, threshold, randomness)
    return threshold, randomness


@kernel
def write_threshold(threshold: int, out: NDArray[np.uint8], position: int) -> int:
    """Write `th:` and the digits of T without trailing zeros; return where they end."""
    out[position] = 116
    out[position + 1] = 104
    out[position + 2] = COLON
    position += 3
    left = threshold
    while True:
        digit = (left >> 52) & 15
        out[position] = 48 + digit if digit < 10 else 87 + digit
        position += 1
        left = (left << 4) & 0xFFFFFFFFFFFFFF
        if left == 0:
            return position


@kernel
def write_value(
    buffer: NDArray[np.uint8],
    start: int,
    stop: int,
    threshold: int,
    out: NDArray[np.uint8],
    position: int,
) -> int:
    """Write the value of an `ot` member with a new threshold (0: none); return where it ends."""
    begin = position
    if threshold > 0:
        position = write_threshold(threshold, out, position)
    for others in range(2):
        seen = False
        part = start
        while part < stop:
            end = part_end(buffer, part, stop, SEMICOLON)
            size = end - part
            is_randomness = not seen and has_key(buffer, part, end, 114, 118, COLON)
            seen = seen or is_randomness
            if (
                size > 0
                and is_randomness == (others == 0)
                and not has_key(buffer, part, end, 116, 104, COLON)
                and position - begin + size + (1 if position > begin else 0) <= MOST_VALUE
            ):
                if position > begin:
                    out[position] = SEMICOLON
                    position += 1
                copy_bytes(buffer, part, out, position, size)
                position += size
            part = end + 1
    return position


@kernel
def write_state(
    buffer: NDArray[np.uint8],
    offset: int,
    length: int,
    threshold: int,
    out: NDArray[np.uint8],
    position: int,
) -> int:
    """Write a trace state with a new threshold (0: none); return where it ends."""
    begin = position
    stop = offset + length
    ot_start, ot_stop = find_ot(buffer, offset, stop)
    out[position] = 111
    out[position + 1] = 116
    out[position + 2] = 61
    ended = write_value(buffer, ot_start, ot_stop, threshold, out, position + 3)
    members = 0
    if ended > position + 3:
        position = ended
        members = 1
    part = offset
    while part < stop:
        end = part_end(buffer, part, stop, COMMA)
        first = left_trim(buffer, part, end)
        size = right_trim(buffer, first, end) - first
        if size > 0 and members < MOST_MEMBERS and not has_key(buffer, first, end, 111, 116, 61):
            if position > begin:
                out[position] = COMMA
                position += 1
            copy_bytes(buffer, first, out, position, size)
            position += size
            members += 1
        part = end + 1
    return position


@kernel
def _write(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    threshold: NDArray[np.int64],
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    position = i64(0)
    for i in range(offset.size):
        start[i] = position
        position = write_state(buffer, offset[i], length[i], threshold[i], out, position)
        size[i] = position - start[i]
    return position


def write(
    heap: Heap, trace_state: Text, given: NDArray[np.int64], threshold: NDArray[np.int64]
) -> Text:
    """Return the trace states with final thresholds, adding bytes to the heap; `given` is T as it was read.

    Nothing changes where a row came with the threshold that it ends with, nor where everything was kept of what came
    without one: we cannot say that it had not been sampled before. A threshold above 0 is written; where it is 0
    although another was given, which its own randomness contradicts, `th` is erased.
    """
    changed = np.flatnonzero(np.maximum(given, 0) != threshold)
    if not changed.size:
        return trace_state
    code, distinct = intern(heap, trace_state.take(changed))
    pair, first = intern_pairs(code.astype(np.uint64), threshold[changed].astype(np.uint64))
    chosen = distinct.take(code[first])
    start, size = np.empty(first.size, np.int64), np.empty(first.size, np.int64)
    out = np.empty(int(chosen.length.sum()) + _WRITTEN * first.size, np.uint8)
    used = _write(
        heap.buffer, chosen.offset, chosen.length, threshold[changed[first]], start, size, out
    )
    base = heap.add(out[:used])
    offset, length = trace_state.offset.copy(), trace_state.length.copy()
    offset[changed], length[changed] = base + start[pair], size[pair]
    return Text(offset, length)
