"""The exponential histogram in which durations are counted: OpenTelemetry's buckets at scale 5.

Bucket i holds durations d (ns) with 2^(i/32) < d <= 2^((i+1)/32), i from -1 to 2047; zero has a
bucket of its own. This holds exactly for every uint64: a duration is compared with the largest
integer of each bucket, never with a rounded logarithm. Reading a bucket as the harmonic centre of
its bounds is off by at most (b - 1)/(b + 1) = 1.083 % of the value, b = 2^(1/32)
(OpenTelemetry metrics data model, "Exponential Buckets").
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE = 5
BUCKETS_PER_DOUBLING = 1 << SCALE
ZERO_BUCKET = -32768
RELATIVE_ERROR = (2 ** (1 / BUCKETS_PER_DOUBLING) - 1) / (2 ** (1 / BUCKETS_PER_DOUBLING) + 1)


def _root(n: int) -> int:
    """Return the largest integer whose 32nd power is at most n."""
    for _ in range(SCALE):
        n = isqrt(n)
    return n


LARGEST_NS: NDArray[np.uint64] = np.array(
    [min(_root(1 << k), 2**64 - 1) for k in range(64 * BUCKETS_PER_DOUBLING + 1)], dtype=np.uint64
)
"""The largest duration of each bucket; element k belongs to bucket k - 1. For kernels: a duration's
bucket is the first element that is not smaller."""


def bucket_index(duration_ns: NDArray[np.uint64]) -> NDArray[np.int16]:
    """Return the bucket of each duration."""
    index = np.searchsorted(LARGEST_NS, duration_ns).astype(np.int16) - np.int16(1)
    return np.where(duration_ns == 0, np.int16(ZERO_BUCKET), index)


def _centres() -> NDArray[np.float64]:
    """Return 0 for the bucket of zeros, then the harmonic centre of each bucket's bounds, from -1 on."""
    lower = np.exp2(np.arange(-1, LARGEST_NS.size, dtype=np.float64) / BUCKETS_PER_DOUBLING)
    upper = np.exp2(np.arange(0, LARGEST_NS.size + 1, dtype=np.float64) / BUCKETS_PER_DOUBLING)
    return np.insert(2 * lower * upper / (lower + upper), 0, 0.0)


_CENTRES = _centres()


def bucket_value_ns(index: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the duration that stands for each bucket, within RELATIVE_ERROR of each member."""
    return _CENTRES[np.maximum(index, -2).astype(np.int64) + 2]
