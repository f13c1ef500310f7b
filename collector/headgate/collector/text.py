"""Write attribute values as text, the way the stock exporter fills its Map(String, String) columns.

Strings as they are; `true`, `false`; integers in decimal; doubles as the shortest decimal that reads back to the
same number, without exponent between 1e-6 and 1e21 (ECMAScript's Number::toString, which Go's JSON follows);
`NaN`, `Infinity`, `-Infinity`; bytes as base64; arrays and key/value lists as JSON.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.attributes import ARRAY, BYTES, INT, KVLIST, Values
from headgate.collector.composite import array_json, format_double, kvlist_json
from headgate.collector.heap import Heap, intern
from headgate.collector.kernel import i64, inlined, kernel
from headgate.collector.memory import address, byte_at, store8, store64
from headgate.collector.references import Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_NUMBER_LENGTH = 32
"""Room that a number's text takes at most, as it is written here."""

# How a value is written: not at all, as the text it refers to, or by the kernels below; a double by its decimals.
NOTHING, AS_TEXT, AS_BOOL, AS_INT, AS_DOUBLE = 0, 1, 2, 3, 16
_RENDERED = 255  # none of them: it becomes text first


@dataclass(frozen=True, slots=True)
class Written:
    """How each value is written, and where those lie that are texts."""

    how: NDArray[np.uint8]
    text: Text

    def take(self, index: NDArray[Any]) -> Written:
        """Return the values at `index`."""
        return Written(self.how[index], self.text.take(index))


@inlined
def put_decimal(value: int, out: int, position: int) -> int:
    """Write a non-negative number; return the position after it. The caller has made room for it."""
    digits = i64(1)
    bound = i64(10)
    while digits < 19 and value >= bound:
        digits += 1
        bound *= 10
    rest = np.uint64(value)  # whose division by a constant is a multiplication
    for i in range(digits):
        tenth = rest // np.uint64(10)
        store8(out, position + digits - 1 - i, i64(rest - tenth * np.uint64(10)) + 48)
        rest = tenth
    return position + digits


@inlined
def decimals_of(value: float) -> int:
    """Return the decimals of a double that has at most six, and fifteen digits in all; else -1.

    d / 10^k is correctly rounded where d < 2^53 and k <= 22, and decimals of up to fifteen digits map to distinct
    doubles: the smallest such k therefore gives the shortest decimal that reads back.
    """
    magnitude = abs(value)
    if not magnitude < 1e15:
        return -1
    scale = 1.0
    for k in range(7):
        scaled = np.floor(magnitude * scale + 0.5)
        if scaled >= 1e15:
            return -1
        if scaled / scale == magnitude:
            return k
        scale *= 10.0
    return -1


@inlined
def put_double(value: float, decimals: int, out: int, position: int) -> int:
    """Write a double of so many decimals; return the position after it. The caller has made room for it."""
    scale = i64(1)
    for _ in range(decimals):
        scale *= 10
    scaled = i64(np.floor(abs(value) * scale + 0.5))
    if value < 0:
        store8(out, position, 45)
        position += 1
    begin = position
    position = put_decimal(scaled + scale if scaled < scale else scaled, out, position)
    if decimals > 0:
        # The digits behind the point, moved by one; a number below 1 was given a leading 1 for its zeros.
        for i in range(decimals):
            store8(out, position - i, byte_at(out, position - i - 1))
        store8(out, position - decimals, 46)
        position += 1
    if scaled < scale:
        store8(out, begin, 48)
    return position


@inlined
def put_number(how: int, bits: np.uint64, value: float, out: int, position: int) -> int:
    """Write a bool, an integer or a double of few decimals; return the position after it.

    The caller has made room for MAX_NUMBER_LENGTH.
    """
    if how == 3:
        number = i64(bits)
        if number < 0:
            store8(out, position, 45)
            return put_decimal(-number, out, position + 1)
        return put_decimal(number, out, position)
    if how == 2:
        store64(out, position, np.uint64(0x65757274 if bits != 0 else 0x65736C6166))  # true, false
        return position + (4 if bits != 0 else 5)
    return put_double(value, how - 16, out, position)


@kernel
def choose(
    kind: NDArray[np.uint8],
    bits: NDArray[np.uint64],
    doubles: NDArray[np.float64],
    how: NDArray[np.uint8],
) -> int:
    """Fill `how`; return how many are to be rendered first."""
    rendered = 0
    for i in range(kind.size):
        choice = i64(kind[i])
        if choice == 4:
            decimals = decimals_of(doubles[i])
            choice = 16 + decimals if decimals >= 0 else i64(255)
        elif choice == 3:
            if i64(bits[i]) == i64(-9223372036854775808):
                choice = i64(255)
        elif choice > 4:
            choice = i64(255) if choice < 8 else i64(0)
        how[i] = choice
        rendered += choice == 255
    return rendered


@kernel
def put_numbers(
    how: NDArray[np.uint8],
    bits: NDArray[np.uint64],
    doubles: NDArray[np.float64],
    base: int,
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write numbers into `out`, MAX_NUMBER_LENGTH each, and point offset and length there; return bytes written."""
    position = i64(0)
    for i in range(how.size):
        if out.size - position < 32:
            break
        after = put_number(i64(how[i]), bits[i], doubles[i], address(out), position)
        offset[i] = base + position
        length[i] = after - position
        position = after
    return position


def write_values(heap: Heap, values: Values) -> Written:
    """Return how the values are written, having rendered those as text that no kernel writes."""
    how = np.empty(len(values), np.uint8)
    bits = values.bits
    if not choose(values.kind, bits, bits.view(np.float64), how):
        return Written(how, values.text)
    offset, length = values.text.offset.copy(), values.text.length.copy()
    chosen = np.flatnonzero(how == _RENDERED)
    how[chosen] = AS_TEXT
    kind = values.kind[chosen]
    for special, text_of in ((ARRAY, array_json), (KVLIST, kvlist_json), (BYTES, base64.b64encode)):
        index = chosen[kind == special]
        if index.size:
            code, raw = intern(heap, values.text.take(index))
            texts = heap.add_texts(map(text_of, heap.each(raw)))
            offset[index], length[index] = texts.offset[code], texts.length[code]
    slow = chosen[kind < ARRAY]
    if slow.size:
        distinct, codes = np.unique(
            np.rec.fromarrays([values.kind[slow], bits[slow]]), return_inverse=True
        )
        texts = heap.add_texts([_slow_number(int(k), int(b)) for k, b in distinct.tolist()])
        offset[slow], length[slow] = texts.offset[codes], texts.length[codes]
    return Written(how, Text(offset, length))


def render(heap: Heap, written: Written, bits: NDArray[np.uint64]) -> Text:
    """Return every value as text, adding numbers to the heap; unset values are empty strings."""
    unset = written.how == NOTHING
    numbers = np.flatnonzero(written.how > AS_TEXT)
    if not numbers.size and not unset.any():
        return written.text
    offset, length = written.text.offset.copy(), written.text.length.copy()
    length[unset] = 0
    if numbers.size:
        out = np.empty(numbers.size * MAX_NUMBER_LENGTH, np.uint8)
        base = heap.add(out[:0])
        n, o = np.empty((2, numbers.size), np.int64)
        chosen = bits[numbers]
        used = put_numbers(written.how[numbers], chosen, chosen.view(np.float64), base, o, n, out)
        heap.add(out[:used])
        offset[numbers], length[numbers] = o, n
    return Text(offset, length)


def value_text(heap: Heap, values: Values) -> Text:
    """Return every value as text, adding to the heap what is not there yet; unset values are empty strings."""
    return render(heap, write_values(heap, values), values.bits)


def _slow_number(kind: int, bits: int) -> bytes:
    raw = np.array([bits], np.uint64)
    if kind == INT:
        return str(int(raw.view(np.int64)[0])).encode()
    return format_double(float(raw.view(np.float64)[0])).encode()
