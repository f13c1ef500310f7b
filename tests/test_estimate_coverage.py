"""The promise of an interval: over many samples of one population, 95 % of them hold the truth.

Seeds are fixed. Bounds are 93 and 97 %, each with three standard errors of a share of so many samples. Where little was
kept, or a few rows decide, intervals may be wider than that (never narrower), or be refused; what is known to be
narrower is in the last test, with figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from headgate.queries import estimate

RUNS = 2000
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95}


@dataclass(frozen=True)
class Population:
    """Rows of traces: what each belongs to, its value, whether its trace failed, and each trace's probability."""

    trace: np.ndarray
    value: np.ndarray
    failed: np.ndarray
    probability: np.ndarray

    @classmethod
    def draw(cls, kind: str, traces: int, *, spread: float = 0.5) -> Population:
        """Draw traces of one row, or of about three alike (`clustered`), sampled alike, by outcome, or unequally."""
        random = np.random.default_rng([traces, len(kind)])
        size = random.geometric(0.3, traces) if "clustered" in kind else np.ones(traces, int)
        trace = np.repeat(np.arange(traces), size)
        own = random.normal(0, spread / 2, traces)
        value = np.exp(own[trace] + random.normal(0, spread, trace.size))
        failed = random.random(traces) < 0.08
        p = np.full(traces, 0.1)
        if "by outcome" in kind:
            p = np.where(failed, 1.0, 0.1)
        if "unequal" in kind:
            p = random.choice([0.05, 0.1, 0.3], traces)
        return cls(trace, value, failed[trace], p)

    def truth(self) -> dict[str, float]:
        """Count directly."""
        y = self.value
        found = {name: float(np.quantile(y, share)) for name, share in QUANTILES.items()}
        return found | {
            "count": y.size,
            "total": y.sum(),
            "mean": y.mean(),
            "rate": self.failed.mean(),
            "slow": (y > 1.5).mean(),
            "deviation": y.std(ddof=1),
        }

    def sampled(self, random: np.random.Generator) -> dict[str, estimate.Estimate]:
        """Keep traces and estimate everything from their rows."""
        kept = (random.random(self.probability.size) < self.probability)[self.trace]
        trace, y, w = self.trace[kept], self.value[kept], 1 / self.probability[self.trace[kept]]
        features = np.column_stack((y, y * y, self.failed[kept], y > 1.5))
        found = estimate.sums(trace, w, features)
        t, v, draws = found.total, found.covariance, found.draws

        def rate(i: int) -> estimate.Estimate:
            rest = v[0, 0] - 2 * v[0, i] + v[i, i]
            return estimate.rate(t[i], t[0], v[i, i], rest, v[0, i] - v[i, i], draws)

        cells = by_trace(trace, w, y)
        return {
            "count": estimate.count(t[0], v[0, 0], kept.sum(), draws),
            "total": estimate.total(t[1], v[1, 1], draws),
            "mean": estimate.mean(t[0], t[1], v[0, 0], v[0, 1], v[1, 1], draws),
            "rate": rate(3),
            "slow": rate(4),
            "deviation": estimate.standard_deviation(*t[:3], v[:3, :3], draws),
            **{
                name: estimate.quantile(*cells[:3], share, across=cells[3], draws=draws)
                for name, share in QUANTILES.items()
            },
        }


def by_trace(trace: np.ndarray, w: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return values in order with weights and what `quantile` takes as `within` and `across`."""
    order = np.lexsort((y, trace))
    arranged, factor = trace[order], (w * w - w)[order]
    start = np.flatnonzero(np.r_[True, arranged[1:] != arranged[:-1]])
    size = np.diff(np.r_[start, arranged.size])
    rank = np.arange(arranged.size) - np.repeat(start, size) + 1
    within, across = factor * (2 * rank - 1), factor * np.repeat(size, size)
    by_size = np.argsort(y[order], kind="stable")
    return tuple(c[by_size] for c in (y[order], w[order], within, across))


def covered(population: Population, runs: int = RUNS) -> tuple[dict[str, float], dict[str, float]]:
    """Return by statistic which share of samples had a two-sided interval, and which of those held the truth."""
    random = np.random.default_rng(2026)
    truth = population.truth()
    said, held = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(runs):
        for name, found in population.sampled(random).items():
            if found.low is not None and found.high is not None:
                said[name] += 1
                held[name] += found.low - 1e-9 <= truth[name] <= found.high + 1e-9
    return (
        {name: count / runs for name, count in said.items()},
        {name: held[name] / said[name] for name in truth if said[name]},
    )


def slack(runs: int = RUNS) -> float:
    """Return three standard errors of a coverage of 95 % seen in so many samples."""
    return 3 * math.sqrt(0.95 * 0.05 / runs)


@pytest.mark.parametrize(
    "kind", ["alike", "by outcome", "unequal", "clustered", "clustered unequal"]
)
def test_ordinary_intervals_hold(kind):
    """Some 200 and more draws: totals, means, rates and medians within 93 to 97 %, the rest no less."""
    said, held = covered(Population.draw(kind, 3000))
    for name, share in held.items():
        assert said[name] == 1, name
        assert share >= 0.93 - slack(), (name, share)
        if name in {"count", "total", "mean", "slow", "p50"}:
            assert share <= 0.97 + slack(), (name, share)


@pytest.mark.parametrize("kind", ["alike", "by outcome", "clustered"])
@pytest.mark.parametrize("traces", [120, 400])
def test_small_samples_are_widened_or_refused(kind, traces):
    """A dozen to forty draws: intervals that are given hold in at least 91 %, and tails are refused."""
    said, held = covered(Population.draw(kind, traces))
    for name, share in held.items():
        # Of few that were given, which ones were given is itself a choice by the sample.
        if said[name] > 0.9 and name != "deviation":
            assert share >= 0.91 - slack(), (name, share)
    assert said["p95"] < 0.1
    assert said["deviation"] < 0.1 or traces == 400


def test_rows_taken_for_draws_would_be_wrong():
    """Were rows of a trace taken for independent, the interval of a count would hold in under 80 %: it must not be."""
    population = Population.draw("clustered", 3000)
    random = np.random.default_rng(7)
    held = []
    for _ in range(RUNS):
        kept = (random.random(3000) < population.probability)[population.trace]
        n = kept.sum() * 10.0
        found = estimate.count(n, 9 * n, kept.sum())
        held.append(found.low <= population.trace.size <= found.high)
    assert np.mean(held) < 0.80


def test_what_is_known_to_hold_less():
    """Values of a very long tail (log-normal, sigma 1.7): means in 85 % at least, deviations in 70 %; docs say so."""
    said, held = covered(Population.draw("clustered", 3000, spread=1.5), 400)
    assert said["mean"] == 1
    assert held["mean"] >= 0.85
    assert held["deviation"] >= 0.70
    assert held["p50"] >= 0.93 - slack(400)
