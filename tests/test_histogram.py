"""Duration buckets: exact bounds over all of uint64, and the promised relative error."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.store.histogram import (
    LARGEST_NS,
    RELATIVE_ERROR,
    ZERO_BUCKET,
    bucket_index,
    bucket_value_ns,
)

# Every magnitude, and the neighbourhood of every power of two and of every bucket's bound.
DURATIONS = (
    st.integers(0, 2**64 - 1)
    | st.integers(0, 64).flatmap(lambda e: st.integers(-3, 3).map(lambda d: 2**e + d))
    | st.integers(0, 2048).flatmap(
        lambda k: st.integers(-2, 2).map(lambda d: int(LARGEST_NS[k]) + d)
    )
    | st.integers(0, 63).flatmap(lambda e: st.integers(0, 2**e))
).map(lambda d: min(max(d, 0), 2**64 - 1))


def bucket(duration_ns: int) -> int:
    return int(bucket_index(np.array([duration_ns], dtype=np.uint64))[0])


@given(DURATIONS)
@example(1)
@example(2)
@example(2**53)
@example(2**53 + 1)
@example(2**63 - 1)
@example(2**63)
@example(2**63 + 1)
@example(2**64 - 1)
def test_bounds_hold_exactly(duration_ns):
    """The inclusive upper bound holds for every integer: i < 32 log2(d) <= i + 1, in integers."""
    if duration_ns == 0:
        assert bucket(0) == ZERO_BUCKET
        return
    index = bucket(duration_ns)
    assert -1 <= index <= 2047
    assert 2 ** (index + 1) >= duration_ns**32
    assert index == -1 or 2**index < duration_ns**32


@given(DURATIONS)
def test_centre_is_within_the_promised_error(duration_ns):
    """A bucket's value is within 1.083 % of each duration in it."""
    value = float(bucket_value_ns(np.array([bucket(duration_ns)], dtype=np.int16))[0])
    assert abs(value - duration_ns) <= RELATIVE_ERROR * duration_ns * (1 + 1e-9)
    assert RELATIVE_ERROR < 0.01084


@given(st.lists(DURATIONS, min_size=1, max_size=20))
def test_order_is_kept_and_arrays_are_elementwise(durations):
    """A longer duration is never in a lower bucket, and an array is its elements."""
    ordered = np.array(sorted(durations), dtype=np.uint64)
    index = bucket_index(ordered)
    assert index.dtype == np.int16
    assert np.all(np.diff(index.astype(np.int32)) >= 0)
    assert index.tolist() == [bucket(d) for d in ordered.tolist()]


def test_empty_array():
    """No durations, no buckets."""
    assert bucket_index(np.empty(0, dtype=np.uint64)).shape == (0,)
