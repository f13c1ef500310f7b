"""Read the sampling threshold that an upstream sampler left in the trace state (`ot=th:...`).

T is given as 1 to 14 hexadecimal digits, trailing zeros dropped; the adjusted count is 2^56 / (2^56 - T); without a
threshold it is unknown and counted as 1. (OpenTelemetry: tracestate probability sampling)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import i64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.layout import Text

MAX_THRESHOLD = 1 << 56


@kernel
def hex_digit(byte: int) -> int:
    """Return the value of a lower-case hexadecimal digit, or -1."""
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    return -1


@kernel
def parse_threshold(buffer: NDArray[np.uint8], offset: int, length: int) -> int:
    """Return T of one trace state, or -1 where there is none or it is not well formed."""
    position = offset
    end = offset + length
    while position < end:
        while position < end and (buffer[position] == 32 or buffer[position] == 9):
            position += 1
        member = position
        while position < end and buffer[position] != 44:
            position += 1
        stop = position
        position += 1
        if (
            stop - member < 3
            or buffer[member] != 111
            or buffer[member + 1] != 116
            or buffer[member + 2] != 61
        ):
            continue
        key = member + 3
        while key < stop:
            after = key
            while after < stop and buffer[after] != 59:
                after += 1
            if (
                after - key >= 4
                and buffer[key] == 116
                and buffer[key + 1] == 104
                and buffer[key + 2] == 58
            ):
                last = after
                while last > key + 3 and (buffer[last - 1] == 32 or buffer[last - 1] == 9):
                    last -= 1
                digits = last - key - 3
                if digits < 1 or digits > 14:
                    return -1
                value = i64(0)
                for i in range(14):
                    digit = hex_digit(i64(buffer[key + 3 + i])) if i < digits else i64(0)
                    if digit < 0:
                        return -1
                    value = value * 16 + digit
                return value
            key = after + 1
        return -1
    return -1


@kernel
def adjusted_count_kernel(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Set out to the adjusted count of each trace state, 1 where unknown."""
    for i in range(offset.size):
        out[i] = 1.0
        if length[i] > 0:
            threshold = parse_threshold(buffer, offset[i], length[i])
            if threshold >= 0:
                # The difference of integers: the largest threshold is 2^56 as a double.
                out[i] = 72057594037927936.0 / np.float64(i64(72057594037927936) - threshold)


def adjusted_count(buffer: NDArray[np.uint8], trace_state: Text) -> NDArray[np.float64]:
    """Return how many spans each span stands for by what was sampled before it came to us."""
    out = np.empty(len(trace_state), np.float64)
    adjusted_count_kernel(buffer, trace_state.offset, trace_state.length, out)
    return out
