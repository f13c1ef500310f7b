"""What is usual equals a slow twin; medians and quantiles are NumPy's; odd blocks are found and nothing beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from headgate.queries.series.profile import LEAST_OTHERS, judged, odd, quantiles, usual

numbers = st.one_of(st.floats(-100, 100), st.just(np.nan))


@given(
    values=arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 12)), elements=numbers),
    share=st.floats(0, 1),
)
def test_quantiles_are_those_of_numpy(values: np.ndarray, share: float) -> None:
    """NaN is left out; a row of nothing has NaN."""
    found, known = quantiles(values, share)
    for row, value, count in zip(values, found, known, strict=True):
        rest = row[~np.isnan(row)]
        assert count == rest.size
        if rest.size:
            assert value == pytest.approx(np.quantile(rest, share), abs=1e-9)
        else:
            assert np.isnan(value)


@given(
    values=arrays(float, (2, 24), elements=numbers),
    slot=arrays(np.int64, 24, elements=st.integers(0, 5)),
)
def test_what_is_usual_is_the_median_of_the_others(values: np.ndarray, slot: np.ndarray) -> None:
    """Each period is compared with the others of its slot, then of the coarser slot, then with everything."""
    coarse = slot // 3
    found = usual(values, (slot, coarse))
    for series in range(2):
        for period in range(24):
            expected = np.nan
            for keys in (slot, coarse):
                others = (keys == keys[period]) & (np.arange(24) != period)
                rest = values[series, others & ~np.isnan(values[series])]
                if rest.size >= LEAST_OTHERS:
                    expected = np.median(rest)
                    break
            else:
                rest = values[series][~np.isnan(values[series])]
                if rest.size > LEAST_OTHERS:
                    expected = np.median(rest)
            assert found[series, period] == pytest.approx(expected, nan_ok=True)


def test_scores_have_the_spread_of_a_standard_normal() -> None:
    """For normal noise of any size over any profile, scores have deviation 1, and quiet and busy periods alike."""
    random = np.random.default_rng(2)
    week = np.tile(np.arange(168), 5)
    profile = np.sin(week / 168 * 2 * np.pi) * 10 + 20
    values = profile + random.normal(0, 1, (20, 840)) * profile / 10
    found = judged(values, np.ones(values.shape), (week, week % 24), 0.0, 168, np.ones(840, bool))
    assert np.std(found.score) == pytest.approx(1, abs=0.1)
    busy = profile > 25
    assert np.std(found.score[:, busy]) == pytest.approx(np.std(found.score[:, ~busy]), rel=0.15)


def test_a_spike_is_odd_alone_and_a_weak_stretch_together() -> None:
    """One period of 8 deviations does not make its neighbours odd; 20 periods of 2 deviations are odd as one block."""
    random = np.random.default_rng(3)
    score = random.normal(0, 1, (2, 600))
    score[0, 550] = 8
    score[1, 560:580] += 2.2
    found = odd(score, np.arange(600) >= 500, 4.0, (1, 6, 24))
    assert np.flatnonzero(found.side[0]).tolist() == [550]
    stretch = np.flatnonzero(found.side[1])
    assert stretch.size >= 15
    assert stretch.min() >= 554
    assert stretch.max() <= 583
    assert not found.side[:, :500].any()


def test_blocks_of_resembling_periods_count_for_less() -> None:
    """Where each period resembles the one before, long blocks vary more by chance, and are not odd for it."""
    random = np.random.default_rng(4)
    noise = random.normal(0, 1, (40, 900))
    score = noise.copy()
    for period in range(1, 900):
        score[:, period] = 0.8 * score[:, period - 1] + 0.6 * noise[:, period]
    found = odd(score, np.ones(900, bool), 4.5, (1, 6, 24))
    assert np.mean(found.side.any(axis=1)) < 0.2
