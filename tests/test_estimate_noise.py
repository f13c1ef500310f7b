"""Noise that SQL adds up says what the rows themselves say: how far a count, or a share, may be off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries.columns import Columns
from headgate.queries.estimate import covariance, mean, noise, rate, sums, variance
from headgate.queries.estimate.noise import BITS
from headgate.queries.uncertain import (
    counted,
    design_effect,
    draws_of,
    mean_of,
    people_of,
    share_of,
    variance_of,
)


def hashes(draw: np.ndarray, seed: int = 1) -> np.ndarray:
    """Return a well mixed hash for each draw."""
    every = np.random.default_rng(seed).integers(0, 2**64, int(draw.max(initial=0)) + 1, np.uint64)
    return every[draw]


def traffic(seed: int, traces: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    trace = np.repeat(np.arange(traces), random.geometric(0.3, traces))
    return trace, random.choice([1.0, 4.0, 10.0], traces)[trace], random.random(trace.size) < 0.2


def columns(trace: np.ndarray, weight: np.ndarray, **more: np.ndarray) -> Columns:
    found = noise(hashes(trace), weight)
    return Columns(
        {
            "calls": weight,
            "arrivals": np.ones(trace.size),
            "variance": weight * (weight - 1),
            "drawn": np.where(weight > 1, weight, 0.0),
            "noise": found,
            **more,
        }
    )


@given(st.integers(0, 10**6), st.integers(2, 50))
def test_noise_adds_up_over_any_groups(seed, groups):
    """However rows are grouped, the sums over groups have the same variance as the rows."""
    trace, weight, _ = traffic(seed, 50)
    rows = noise(hashes(trace), weight)
    place = np.random.default_rng(seed).integers(0, groups, trace.size)
    grouped = np.zeros((groups, BITS))
    np.add.at(grouped, place, rows)
    assert variance(grouped) == pytest.approx(variance(rows))
    assert variance(rows[:0]) == 0
    assert covariance(rows, rows[:0]) == 0


def test_noise_is_the_clustered_variance_on_average():
    """Over 300 hashes the mean is the exact clustered variance and covariance, and the scatter is sqrt(2/64)."""
    trace, weight, hit = traffic(3)
    exact = sums(trace, weight, hit.astype(float))
    found, common = [], []
    for seed in range(300):
        rows = noise(hashes(trace, seed), weight)
        found.append(variance(rows))
        common.append(covariance(rows, rows[hit]))
    expected, scatter = exact.covariance[0, 0], np.std(found) / np.mean(found)
    assert np.mean(found) == pytest.approx(expected, rel=4 * scatter / np.sqrt(300))
    assert np.mean(common) == pytest.approx(exact.covariance[0, 1], rel=0.06)
    assert scatter == pytest.approx(np.sqrt(2 / BITS), rel=0.15)


def test_different_weights_of_one_trace_are_never_underestimated():
    """Where a trace's rows have several weights, noise is at least the exact variance on average."""
    random = np.random.default_rng(4)
    trace = np.repeat(np.arange(300), 4)
    weight = random.choice([1.0, 2.0, 20.0], trace.size)
    exact = sums(trace, weight).covariance[0, 0]
    found = [variance(noise(hashes(trace, seed), weight)) for seed in range(200)]
    assert exact * 0.98 <= np.mean(found) <= exact * 1.3


def test_a_share_knows_that_hits_and_misses_share_traces():
    """The error of a share from noise is that of the exact sums, within the scatter of signs."""
    trace, weight, hit = traffic(5, 6000)
    exact = sums(trace, weight, hit.astype(float))
    v = exact.covariance
    rest = v[0, 0] - 2 * v[0, 1] + v[1, 1]
    truth = rate(exact.total[1], exact.total[0], v[1, 1], rest, v[0, 1] - v[1, 1], exact.draws)
    every = columns(trace, weight)
    found = share_of(every.chosen(hit), every.chosen(~hit))
    assert found.value == pytest.approx(truth.value)
    assert found.standard_error == pytest.approx(truth.standard_error, rel=0.3)


def test_a_count_holds():
    """Of 600 samples of clustered traces, noise gives intervals that hold the count in 93 to 97 %."""
    random = np.random.default_rng(6)
    trace = np.repeat(np.arange(3000), random.geometric(0.3, 3000))
    held = 0
    for seed in range(600):
        kept = (random.random(3000) < 0.1)[trace]
        rows = noise(hashes(trace, seed)[kept], np.full(kept.sum(), 10.0))
        counts = {"calls": np.full(kept.sum(), 10.0), "arrivals": np.ones(kept.sum())}
        found = counted(Columns({**counts, "drawn": counts["calls"], "noise": rows}))
        held += found.low <= trace.size <= found.high
    slack = 3 * np.sqrt(0.95 * 0.05 / 600)
    assert 0.93 - slack <= held / 600 <= 0.97 + slack


def test_without_noise_rows_are_taken_for_draws():
    """A statement without noise, or with none because nothing could be told apart, falls back to its variance."""
    trace, weight, hit = traffic(7)
    full = columns(trace, weight)
    assert design_effect(full) > 1.5
    assert draws_of(full).total == weight[weight > 1].sum()
    for bare in (
        full.replaced("noise", np.zeros((trace.size, 0))),
        Columns({name: full[name] for name in ("calls", "arrivals", "variance")}),
    ):
        assert variance_of(bare) == full.sum("variance")
        assert design_effect(bare) == 1
        alone, together = (share_of(c.chosen(hit), c.chosen(~hit)) for c in (bare, full))
        assert alone.standard_error < together.standard_error * 1.2
    assert draws_of(Columns({"calls": weight})) is None


def test_nothing_drawn_is_exact():
    """Rows of weight 1 make an exact count and an exact share; no rows make an exact nothing."""
    ones = np.ones(10)
    exact = columns(np.arange(10), ones)
    assert counted(exact).exact
    assert share_of(exact.chosen(slice(3)), exact.chosen(slice(3, 10))).exact
    assert counted(Columns({})).value == 0
    assert share_of(Columns({}), Columns({})) is None


def test_a_mean_is_as_unsure_as_what_its_rows_may_have_in_common():
    """The error of a mean is never below the exact one of traces, if values of one are alike; no values, no mean."""
    trace, weight, _ = traffic(8)
    y = np.random.default_rng(8).lognormal(0, 1, trace.max() + 1)[trace]
    spread = weight * (weight - 1)
    of = {"n": weight, "t": weight * y, "s0": spread, "s1": spread * y, "s2": spread * y * y}
    rows = Columns({f"size_{name}": part for name, part in of.items()})
    alone = mean_of(rows, "size")
    together = mean_of(Columns({**rows, "size_noise": noise(hashes(trace), weight)}), "size")
    exact = sums(trace, weight, y)
    v = exact.covariance
    truth = mean(*exact.total, v[0, 0], v[0, 1], v[1, 1], exact.draws)
    assert alone.value == together.value == pytest.approx(truth.value)
    assert alone.standard_error < 0.8 * truth.standard_error < together.standard_error
    assert mean_of(Columns({}), "size") is None


def test_people_are_counted_where_people_were_sampled():
    """Everybody is exact; a sample of people is scaled; what was also sampled by trace has a lower bound only."""
    rows = Columns({"uses": np.array([8.0]), "arrivals": np.array([4])})
    assert people_of(4, Columns({}), "uses", 1.0).exact
    assert people_of(4, rows, "uses", 0.5).value == 8
    assert people_of(4, rows, "uses", 0.5).high is not None
    assert (people_of(4, rows, "uses", 1.0).low, people_of(4, rows, "uses", 1.0).high) == (4, None)
    both = people_of(4, rows, "uses", 0.9)
    assert both.low is not None
    assert both.high is None
