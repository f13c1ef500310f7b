"""Gaps are told from quiet periods: only what is as good as impossible counts as missing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries.gaps import LEAST_TYPICAL, missing


def test_a_hole_in_busy_traffic_is_missing() -> None:
    """Empty periods between and after busy ones are gaps; those before the first use are none."""
    calls = np.array([0, 0, 90, 80, 0, 0, 85, 100, 0.0])
    assert missing(calls).tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 1]


def test_quiet_traffic_has_no_gaps() -> None:
    """Where a typical period has few calls, an empty one is quiet; also when half of the day is busy."""
    assert not missing(np.array([3, 0, 5, 0, 4.0])).any()
    assert not missing(np.array([900, 800, 3, 0, 5, 0, 900, 2.0])).any()
    assert not missing(np.zeros(5)).any()
    assert not missing(np.array([500.0, 0, 0, 0])).any()
    assert not missing(np.empty(0)).any()


@given(st.lists(st.integers(0, 200), max_size=60), st.integers(1, 9))
def test_only_empty_periods_are_missing(drawn: list[int], factor: int) -> None:
    """A period with calls never is; more traffic can only make more gaps certain."""
    calls = np.array(drawn, float)
    found = missing(calls)
    assert not (found & (calls > 0)).any()
    assert not (found & ~missing(calls * factor)).any()


def test_steady_traffic_is_hardly_ever_missing() -> None:
    """The slow twin: in a million Poisson periods of LEAST_TYPICAL calls not one is empty."""
    calls = np.random.default_rng(5).poisson(LEAST_TYPICAL, 1_000_000).astype(float)
    assert not missing(calls).any()
