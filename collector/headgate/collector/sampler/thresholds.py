"""Probabilities as consistent-sampling thresholds: kept is what has randomness R >= T, T = (1 - p) 2^56.

T is rounded to four significant hexadecimal digits behind its leading f's, the recommended precision: p is within
0.013 % of what was asked for, the trace state stays short, and few distinct thresholds compress well. The rounding
is part of the decision (weights come from T, never from p), so it biases nothing. At most seven digits are used, so
the least probability is 16^-7 and every threshold of ours fits 32 bits. T = 2^56 keeps nothing; it has no text.
(OpenTelemetry: tracestate handling, tracestate probability sampling)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE = 1 << 56  # how many values R has, and the threshold that nothing passes
DROP = WHOLE
DIGITS = 4
MOST_DIGITS = 7
_DROP_CODE = 0xFFFFFFFF


def threshold_of(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the thresholds nearest to these probabilities; below 16^-7 (0 too) the one for 16^-7."""
    passing = np.clip(probability, 16.0**-MOST_DIGITS, 1.0)
    leading = np.maximum(-np.frexp(passing)[1], 0) // 4
    digits = 4 * np.minimum(DIGITS + leading, MOST_DIGITS)
    steps = np.rint(np.ldexp(passing, digits)).astype(np.int64)
    threshold: NDArray[np.int64] = WHOLE - (steps << (56 - digits))
    return threshold


def probability_of(threshold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the exact probability of passing each threshold."""
    return (WHOLE - threshold).astype(np.float64) / float(WHOLE)


def weight_of(threshold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many each kept item stands for, 2^56 / (2^56 - T); 0 where nothing passes."""
    passing = (WHOLE - threshold).astype(np.float64)
    return np.divide(float(WHOLE), passing, out=np.zeros(passing.shape), where=passing > 0)


def pack(threshold: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return thresholds of ours in 32 bits."""
    return np.where(threshold >= DROP, _DROP_CODE, threshold >> 24).astype(np.uint32)


def unpack(code: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the thresholds that were packed."""
    return np.where(code == _DROP_CODE, DROP, code.astype(np.int64) << 24)


def threshold_text(threshold: int | np.integer[Any]) -> str:
    """Return T as `th` and `sampling.threshold` have it: hexadecimal digits without trailing zeros, "0" for all."""
    if not 0 <= threshold < WHOLE:
        raise ValueError(f"a threshold is at least 0 and below 2^56, not {threshold}")
    return f"{threshold:014x}".rstrip("0") or "0"
