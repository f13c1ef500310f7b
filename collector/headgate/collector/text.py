"""Write attribute values as text, the way the stock exporter fills its Map(String, String) columns.

Strings as they are; `true`, `false`; integers in decimal; doubles as the shortest decimal that reads back to the
same number, without exponent between 1e-6 and 1e21 (ECMAScript's Number::toString, which Go's JSON follows);
`NaN`, `Infinity`, `-Infinity`; bytes as base64; arrays and key/value lists as JSON.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.attributes import ARRAY, BOOL, BYTES, DOUBLE, INT, KVLIST, STRING, Values
from headgate.collector.composite import array_json, format_double, kvlist_json
from headgate.collector.heap import Heap, intern
from headgate.collector.kernel import i64, kernel
from headgate.collector.layout import Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_NUMBER_LENGTH = 26


@kernel
def put_decimal(value: int, out: NDArray[np.uint8], position: int) -> int:
    """Write a non-negative number; return the position after it."""
    digits = i64(1)
    bound = i64(10)
    while digits < 19 and value >= bound:
        digits += 1
        bound *= 10
    for i in range(digits):
        out[position + digits - 1 - i] = np.uint8(48 + value % 10)
        value //= 10
    return position + digits


@kernel
def put_double(value: float, out: NDArray[np.uint8], position: int) -> int:
    """Write a double that has at most six decimals and fifteen digits; return the position after it, or -1.

    d / 10^k is correctly rounded where d < 2^53 and k <= 22, and decimals of up to fifteen digits map to distinct
    doubles: the smallest such k therefore gives the shortest decimal that reads back.
    """
    magnitude = abs(value)
    if not magnitude < 1e15:
        return -1
    scale = i64(1)
    for k in range(7):
        scaled = np.floor(magnitude * scale + 0.5)
        if scaled >= 1e15:
            return -1
        if scaled / scale == magnitude:
            if value < 0:
                out[position] = 45
                position += 1
            whole = i64(scaled) // scale
            rest = i64(scaled) % scale
            position = put_decimal(whole, out, position)
            if k > 0:
                out[position] = 46
                for i in range(k):
                    out[position + k - i] = np.uint8(48 + rest % 10)
                    rest //= 10
                position += k + 1
            return position
        scale *= 10
    return -1


@kernel
def put_numbers(
    kind: NDArray[np.uint8],
    bits: NDArray[np.uint64],
    doubles: NDArray[np.float64],
    base: int,
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write bools, integers and simple doubles into `out` and point offset and length there; return bytes written.

    A double that needs the slow way gets length -1. Other kinds are left alone.
    """
    position = i64(0)
    for i in range(kind.size):
        start = position
        if kind[i] == 3:
            value = i64(bits[i])
            if value == i64(-9223372036854775808):
                length[i] = -1
                continue
            if value < 0:
                out[position] = 45
                position += 1
                value = -value
            position = put_decimal(value, out, position)
        elif kind[i] == 2:
            word = b"true" if bits[i] != 0 else b"false"
            for j in range(len(word)):
                out[position + j] = word[j]
            position += len(word)
        elif kind[i] == 4:
            after = put_double(doubles[i], out, position)
            if after < 0:
                length[i] = -1
                continue
            position = after
        else:
            continue
        offset[i] = base + start
        length[i] = position - start
    return position


def value_text(heap: Heap, values: Values) -> Text:
    """Return every value as text, adding to the heap what is not there yet; unset values are empty strings."""
    kind = values.kind
    offset, length = values.text.offset.copy(), values.text.length.copy()
    numbers = np.flatnonzero((kind == INT) | (kind == BOOL) | (kind == DOUBLE))
    if numbers.size:
        out = np.empty(numbers.size * _MAX_NUMBER_LENGTH, np.uint8)
        bits = values.bits[numbers]
        o, n = offset[numbers], length[numbers]
        base = heap.add(np.empty(0, np.uint8))
        used = put_numbers(kind[numbers], bits, bits.view(np.float64), base, o, n, out)
        heap.add(out[:used].copy())
        offset[numbers], length[numbers] = o, n
        slow = numbers[n < 0]
        if slow.size:
            distinct, codes = np.unique(
                np.rec.fromarrays([kind[slow], values.bits[slow]]), return_inverse=True
            )
            texts = heap.add_texts([_slow_number(int(k), int(b)) for k, b in distinct.tolist()])
            offset[slow], length[slow] = texts.offset[codes], texts.length[codes]
    for special, render in ((ARRAY, array_json), (KVLIST, kvlist_json), (BYTES, base64.b64encode)):
        index = np.flatnonzero(kind == special)
        if index.size:
            code, raw = intern(heap, values.text.take(index))
            texts = heap.add_texts([render(value) for value in heap.read(raw)])
            offset[index], length[index] = texts.offset[code], texts.length[code]
    unset = (kind < STRING) | (kind > BYTES)
    length[unset] = 0
    return Text(offset, length)


def _slow_number(kind: int, bits: int) -> bytes:
    raw = np.array([bits], np.uint64)
    if kind == INT:
        return str(int(raw.view(np.int64)[0])).encode()
    return format_double(float(raw.view(np.float64)[0])).encode()
