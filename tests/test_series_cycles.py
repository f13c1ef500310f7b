"""Strength of cycles equals a decomposition by statsmodels; cycles are found where they are, and not in noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.tsa.seasonal import seasonal_decompose
from statsmodels.tsa.stattools import acf

from headgate.queries.series.cycles import (
    autocorrelation,
    centred_mean,
    cycles,
    rotation_test,
    strength,
)


@pytest.mark.parametrize("length", [7, 24])
@given(seed=st.integers(0, 999))
def test_strength_is_that_of_a_classical_decomposition(length: int, seed: int) -> None:
    """Trend, cycle and rest are those of statsmodels, and so is 1 - var(rest) / var(cycle + rest)."""
    random = np.random.default_rng(seed)
    slot = np.arange(length * 8) % length
    values = (
        random.normal(0, 1, slot.size) + np.sin(slot / length * 6.28) * (seed % 3) + slot.size / 50
    )
    parts = seasonal_decompose(values, period=length, model="additive")
    assert centred_mean(values[None], length)[0] == pytest.approx(parts.trend, nan_ok=True)
    known = ~np.isnan(parts.resid)
    expected = 1 - np.var(parts.resid[known]) / np.var((parts.seasonal + parts.resid)[known])
    assert strength(values[None], slot, length)[0] == pytest.approx(max(expected, 0), abs=1e-9)


def test_missing_periods_do_not_make_a_cycle() -> None:
    """Without a cycle the strength is near 0, with nothing but one near 1, gaps or not; too little has none."""
    random = np.random.default_rng(2)
    slot = np.arange(24 * 20) % 24
    values = np.vstack([random.normal(0, 1, slot.size), np.sin(slot / 24 * 6.28)])
    values[:, 100:130] = np.nan
    found = strength(values, slot, 24)
    assert found[0] < 0.15
    assert found[1] > 0.98
    assert np.isnan(strength(values[:, :40], slot[:40], 24)).all()


@given(seed=st.integers(0, 999))
def test_autocorrelation_is_that_of_statsmodels(seed: int) -> None:
    """By Fourier transform or by sums, the correlation at each lag is the same."""
    values = np.random.default_rng(seed).normal(0, 1, 50).cumsum()
    assert autocorrelation(values)[:20] == pytest.approx(acf(values, nlags=19, fft=False))


def test_the_rotation_test_keeps_its_promise() -> None:
    """Of 400 series of days whose hours resemble each other but follow no clock, 5 % or so have p below 0.05."""
    random = np.random.default_rng(3)
    noise = random.normal(0, 1, (400, 14 * 24 + 100))
    walk = noise.copy()
    for period in range(1, walk.shape[1]):
        walk[:, period] += 0.9 * walk[:, period - 1]
    table = walk[:, 100:].reshape(400, 14, 24)
    assert np.mean(rotation_test(table) <= 0.05) < 0.09
    shifted = table + 3 * np.sin(np.arange(24) / 24 * 6.28)
    assert np.mean(rotation_test(shifted) <= 0.05) > 0.95
    assert np.isnan(rotation_test(table[:, :3])).all()


def test_cycles_are_found_and_harmonics_are_not() -> None:
    """A day's bump, which has many harmonics, is one cycle of 24; a week upon it is another; so is an odd length."""
    random = np.random.default_rng(4)
    hour = np.arange(24 * 56)
    bump = np.exp(-(((hour % 24 - 14) / 4.0) ** 2))
    day = 10 * bump + random.normal(0, 1, hour.size)
    assert [cycle.length for cycle in cycles(day)] == [24]
    both = day + 4 * np.sin(hour / 168 * 2 * np.pi)
    assert sorted(cycle.length for cycle in cycles(both)) == [24, 168]
    odd = 3 * np.sin(hour / 37 * 2 * np.pi) + random.normal(0, 1, hour.size)
    assert [cycle.length for cycle in cycles(odd)] == [37]
    assert cycles(odd)[0].share == pytest.approx(0.8, abs=0.15)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_noise_has_no_cycles(memory: float) -> None:
    """White or red, 100 series of noise show at most four cycles at 1 %."""
    random = np.random.default_rng(5)
    found = 0
    for _ in range(100):
        values = random.normal(0, 1, 600)
        for period in range(1, 600):
            values[period] += memory * values[period - 1]
        found += bool(cycles(values))
    assert found <= 4


def test_nothing_and_constants_have_no_cycles() -> None:
    """Neither an empty, nor a constant, nor a straight series repeats."""
    assert cycles(np.empty(0)) == cycles(np.full(100, 7.0)) == cycles(np.arange(100.0)) == []
