"""The exponential histogram in which durations are counted: OpenTelemetry's base-2 buckets at scale 5.

Bucket i holds durations d (ns) with 2^(i/32) < d <= 2^((i+1)/32); zero durations have a bucket of their own.
Reading a bucket as the harmonic centre of its bounds is off by at most (b - 1)/(b + 1) = 1.083 % of the value,
b = 2^(1/32) (OpenTelemetry metrics data model, "Exponential Buckets").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE = 5
BUCKETS_PER_DOUBLING = 1 << SCALE
ZERO_BUCKET = -32768
RELATIVE_ERROR = (2 ** (1 / BUCKETS_PER_DOUBLING) - 1) / (2 ** (1 / BUCKETS_PER_DOUBLING) + 1)


def bucket_index(duration_ns: NDArray[np.uint64]) -> NDArray[np.int16]:
    """Return the bucket of each duration."""
    with np.errstate(divide="ignore"):
        exact = np.log2(duration_ns.astype(np.float64)) * BUCKETS_PER_DOUBLING
    index = np.ceil(np.where(np.isfinite(exact), exact, 0.0)) - 1
    return np.where(duration_ns == 0, ZERO_BUCKET, index).astype(np.int16)


def bucket_value_ns(index: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the duration that stands for each bucket: the harmonic centre, within RELATIVE_ERROR of every member."""
    lower = np.exp2(index.astype(np.float64) / BUCKETS_PER_DOUBLING)
    upper = np.exp2((index.astype(np.float64) + 1) / BUCKETS_PER_DOUBLING)
    return np.where(index == ZERO_BUCKET, 0.0, 2 * lower * upper / (lower + upper))
