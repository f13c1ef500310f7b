"""Exponential smoothing is that of statsmodels, other methods are their slow twins, intervals hold what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from headgate.queries.series.backtest import forecast, long_enough, origins_for
from headgate.queries.series.smoothing import PHI, State, drift, same_before, start, states


@pytest.mark.parametrize("parameters", [(0.3, 0.1, 0.2), (0.1, 0.0, 0.4), (0.6, 0.2, 0.05)])
@pytest.mark.parametrize("season", [4, 7])
def test_smoothing_is_that_of_statsmodels(
    parameters: tuple[float, float, float], season: int
) -> None:
    """From the same state and parameters, errors and forecasts are those of statsmodels' damped additive model."""
    random = np.random.default_rng(season)
    slot = np.arange(60) % season
    values = 50 + 5 * np.sin(slot) + np.arange(60) * 0.3 + random.normal(0, 1, 60)
    begin = start(values[None, : 2 * season], slot[: 2 * season], [parameters])
    alpha, beta, gamma = parameters
    model = ExponentialSmoothing(
        values,
        trend="add",
        damped_trend=True,
        seasonal="add",
        seasonal_periods=season,
        initialization_method="known",
        initial_level=begin.level[0, 0],
        initial_trend=0.0,
        initial_seasonal=begin.season[0, 0],
    )
    fitted = model.fit(
        smoothing_level=alpha,
        smoothing_trend=beta,
        smoothing_seasonal=gamma,
        damping_trend=PHI,
        optimized=False,
    )
    (end,) = states(values[None], slot, begin, [60], [parameters])
    assert end.squares[0, 0] == pytest.approx(fitted.sse, rel=1e-9)
    future = np.arange(60, 75) % season
    # statsmodels forecasts the season's last slot without its last update; the others tell.
    others = future != season - 1 if 60 % season == 0 else future != (59 % season)
    assert end.forecast(future)[0][others] == pytest.approx(fitted.forecast(15)[others], rel=1e-9)


def test_origins_do_not_know_the_future() -> None:
    """The state at an origin is the same whatever comes after it."""
    random = np.random.default_rng(1)
    slot = np.arange(80) % 7
    values = random.normal(10, 1, (2, 80))
    changed = values.copy()
    changed[:, 50:] += 100
    begin = start(values[:, :14], slot[:14], [(0.3, 0.1, 0.2)])
    for one, other in zip(
        states(values, slot, begin, [30, 50], [(0.3, 0.1, 0.2)]),
        states(changed, slot, begin, [30, 50], [(0.3, 0.1, 0.2)]),
        strict=True,
    ):
        assert np.array_equal(one.level, other.level)
        assert np.array_equal(one.season, other.season)


def test_missing_values_change_nothing_but_the_trend() -> None:
    """A gap leaves level and season as they were forecast; without a trend, as they were."""
    slot = np.arange(30) % 3
    values = np.tile([1.0, 2.0, 3.0], 10)[None].copy()
    begin = start(values[:, :6], slot[:6], [(0.3, 0.0, 0.2)])
    values[:, 20:26] = np.nan
    found = states(values, slot, begin, [20, 26], [(0.3, 0.0, 0.2)])
    assert found[1].level == pytest.approx(found[0].level)
    assert isinstance(found[1], State)


@given(
    values=arrays(float, (2, 15), elements=st.one_of(st.floats(0, 9), st.just(np.nan))),
    slot=arrays(np.int64, 15, elements=st.integers(0, 3)),
)
def test_the_simple_methods_are_their_slow_twins(values: np.ndarray, slot: np.ndarray) -> None:
    """The same hour before is the last known value of the slot; drift is the line through first and last."""
    future = np.array([0, 1, 2, 3, 0])
    found, line = same_before(values, slot, future), drift(values, 5)
    for series in range(2):
        for place, wanted in enumerate(future):
            known = [v for v, s in zip(values[series], slot, strict=True) if s == wanted and v == v]  # noqa: PLR0124
            expected = known[-1] if known else np.nan
            assert found[series, place] == pytest.approx(expected, nan_ok=True)
        places = np.flatnonzero(~np.isnan(values[series]))
        if places.size > 1:
            a, b = places[0], places[-1]
            slope = (values[series, b] - values[series, a]) / (b - a)
            expected = values[series, b] + slope * (15 + np.arange(5) - b)
            assert line[series] == pytest.approx(expected)


def test_intervals_hold_what_they_say() -> None:
    """Of 40 random seasonal series, 90 to 98 % of what comes lies within the 95 % intervals, and so say the trials."""
    random = np.random.default_rng(12)
    slot = np.arange(63) % 7
    level = np.cumsum(random.normal(0, 0.3, (40, 63)), axis=1)
    values = 50 + 8 * np.sin(slot) + level + random.normal(0, 2, (40, 63))
    found = forecast(values[:, :56], slot[:56], slot[56:], 7, np.zeros(40, np.int64))
    held = (values[:, 56:] >= found.low) & (values[:, 56:] <= found.high)
    assert 0.90 <= held.mean() <= 0.98
    assert 0.88 <= found.coverage.mean() <= 0.98


def test_the_method_that_erred_least_is_chosen() -> None:
    """Neither lines nor noise are forecast by the hour before, which errs twice over; lines go on."""
    random = np.random.default_rng(13)
    slot = np.arange(63) % 7
    lines = np.arange(63) * 2.0 + random.normal(0, 0.1, (5, 63))
    noise = random.normal(50, 5, (5, 63))
    found = forecast(
        np.vstack([lines, noise])[:, :56], slot[:56], slot[56:], 7, np.zeros(10, np.int64)
    )
    assert set(found.method.tolist()) <= {0, 2}
    assert found.middle[:5] == pytest.approx(lines[:, 56:], rel=0.01)


def test_too_few_origins_are_no_forecast() -> None:
    """Two seasons before the first of four origins are needed."""
    assert origins_for(56, 7, 14) == [16, 19, 22, 25, 28, 31, 34, 37, 40, 43, 46, 49]
    begins = np.arange(40)
    for periods in (29, 30, 56):
        tried = [len(origins_for(periods, 7, 14 + begin)) for begin in begins]
        assert long_enough(begins, periods, 7, 7).tolist() == [n >= 4 for n in tried]


@given(seed=st.integers(0, 999), begins=st.lists(st.integers(0, 26), min_size=1, max_size=4))
def test_each_series_is_forecast_as_if_it_were_alone(seed: int, begins: list[int]) -> None:
    """Series that begin later, with gaps, are forecast as by themselves from there, and change no other."""
    random = np.random.default_rng(seed)
    slot, starts = np.arange(63) % 7, np.array([0, *begins])
    values = random.normal(50, 4, (starts.size, 56)) + 9 * np.sin(slot[:56])
    values[:, 40:43] = np.nan
    together = forecast(
        np.where(np.arange(56) < starts[:, None], np.nan, values), slot[:56], slot[56:], 7, starts
    )
    for number, begin in enumerate(starts):
        alone = forecast(
            values[[number], begin:], slot[begin:56], slot[56:], 7, np.zeros(1, np.int64)
        )
        for name in ("middle", "low", "high", "method", "coverage"):
            assert getattr(together, name)[number] == pytest.approx(getattr(alone, name)[0]), name
        trials = alone.errors.shape[1]
        mine = together.errors[number]
        assert mine[-trials:] == pytest.approx(alone.errors[0], nan_ok=True)
        assert np.isnan(mine[:-trials]).all()
