"""Quantiles of many groups of cells at once are those of each group alone, and those of a plain twin."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries import estimate
from headgate.queries.estimate import Draws, Estimate, Quantiles, exactly, unsure
from headgate.queries.estimate.interval import Z95, independent
from headgate.queries.estimate.quantiles import LEAST_BEYOND

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARES = (0.0, 0.25, 0.5, 0.95, 0.99, 1.0)

# A cell: how much larger its value is than the one before (0: a tie), its rows, their weight, what more `across` has.
cell = st.tuples(
    st.sampled_from([0.0, 0.5, 1.0, 1e6]),
    st.integers(0, 300) | st.just(10**7),
    st.sampled_from([1.0, 1.5, 10.0, 1 / 0.3]),
    st.sampled_from([1.0, 0.5]),
)
draws = st.none() | st.builds(
    lambda kept, weight, unlike: Draws(kept, kept * weight, kept * weight**2 * unlike),
    st.integers(0, 2000),
    st.floats(1, 20),
    st.floats(1, 4),
)
group = st.tuples(st.lists(cell, max_size=30), draws)


def arrays(cells: Sequence[tuple[float, int, float, float]]) -> tuple[np.ndarray, ...]:
    """Return values, weights, `within` and `across` of cells."""
    step, rows, weight, part = np.array(cells, float).reshape(-1, 4).T
    within = rows * weight * (weight - 1)
    return np.cumsum(step), rows * weight, within, within * part


def plain(
    cells: tuple[np.ndarray, ...], share: float, known: Draws | None, *, clustered: bool
) -> Estimate | None:
    """Return one quantile of one group, step by step as `Quantiles` defines it."""
    values, weights = (part.tolist() for part in cells[:2])
    ends, within, across = ([*itertools.accumulate(part.tolist())] for part in cells[1:])
    if not any(weights):
        return None
    size, whole, last = ends[-1], within[-1], max(i for i, held in enumerate(weights) if held)

    def at(rank: float) -> int:
        return min(sum(end <= rank for end in ends), last)

    rank = share * max(size - 1, 0)
    first, second, part = at(math.floor(rank)), at(math.floor(rank) + 1), rank - math.floor(rank)
    value = values[first] + (values[second] - values[first]) * part
    if whole <= 0:
        return exactly(value)
    known = known or independent(size, whole)
    if known.too_few:
        return unsure(value, known.too_few)
    if min(share, 1 - share) * known.effective < LEAST_BEYOND:
        return unsure(value, "too extreme a quantile for what was kept")
    below = sum(one <= value for one in values) - 1
    a, b = within[below], (across if clustered else within)[below]
    error = math.sqrt(max(a - 2 * share * b + share * share * whole, 0)) / size
    tails = (
        ends[first] ** 2 / a if a > 0 else math.inf,
        (size - ends[first]) ** 2 / max(whole - 2 * b + a, 1e-300),
    )
    half = known.quantile(values=False, least=min(tails)) * error + 0.5 / known.effective

    def reached(part: float) -> float:
        return float(values[sum(end < part * size for end in ends)])

    low = min(reached(share - half), value) if share > half else None
    high = max(reached(share + half), value) if share + half < 1 else None
    if low is None or high is None:
        side = "below" if low is None else "above"
        return Estimate(value, None, low, high, f"too few rows were kept {side} it")
    return Estimate(value, (high - low) / (2 * Z95) if high > low else None, low, high)


def found_at_once(
    groups: Sequence[tuple[Any, Draws | None]], *, clustered: bool = False, unit: float = 1.0
) -> list[list[Estimate] | None]:
    """Return the quantiles of all groups, their cells in one array each."""
    parts = [arrays(cells) for cells, _ in groups]
    values, weights, within, across = map(np.concatenate, zip(*parts, strict=True))
    bounds = np.r_[0, np.cumsum([len(part[0]) for part in parts])].tolist()
    quantiles = Quantiles(values, weights, bounds, SHARES)
    known = [draws for _, draws in groups]
    return quantiles.judged(within, across=across if clustered else None, draws=known, unit=unit)


@given(groups=st.lists(group, min_size=1, max_size=6), clustered=st.booleans())
def test_many_groups_at_once_are_each_alone(*, groups: list[Any], clustered: bool) -> None:
    """Whatever lies beside a group changes no digit: none, one or many cells, ties, weights, draws, empty groups."""
    together = found_at_once(groups, clustered=clustered)
    assert len(together) == len(groups)
    for found, one in zip(together, groups, strict=True):
        assert [found] == found_at_once([one], clustered=clustered)
        values, weights, within, across = arrays(one[0])
        for number, share in enumerate(SHARES):
            given = {"across": across if clustered else None, "draws": one[1]}
            if found is None:
                with pytest.raises(ValueError, match="at least one row"):
                    estimate.quantile(values, weights, within, share, **given)
            else:
                assert found[number] == estimate.quantile(values, weights, within, share, **given)


@given(groups=st.lists(group, min_size=1, max_size=4), clustered=st.booleans())
def test_quantiles_are_those_of_a_plain_twin(*, groups: list[Any], clustered: bool) -> None:
    """Values, errors, bounds and reasons are those of the definition, written with loops over the cells."""
    for found, (cells, known) in zip(
        found_at_once(groups, clustered=clustered), groups, strict=True
    ):
        expected = [plain(arrays(cells), share, known, clustered=clustered) for share in SHARES]
        assert (found or [None] * len(SHARES)) == expected


def test_one_variance_beside_another() -> None:
    """Quantiles found once are judged by as many variances as are asked; units scale every number."""
    rows = [(1.0, 20, 1.0, 1.0)] * 100
    values, weights, within, _ = arrays(rows)
    quantiles = Quantiles(values, weights, (0, 100), (0.5,))
    ((exact,),) = quantiles.judged(within)
    ((sampled,),) = quantiles.judged(within + weights)
    ((scaled,),) = quantiles.judged(within + weights, unit=1e-6)
    assert exact == exactly(sampled.value)
    # Of 2000 equal ones: se of a share is sqrt(s (1 - s) / n), and a cell holds a hundredth.
    assert sampled.standard_error == pytest.approx(math.sqrt(0.25 / 2000) * 100, rel=0.3)
    assert scaled == sampled.scaled(1e-6)


def test_no_groups_have_no_quantiles() -> None:
    """Of no groups there is an empty list, of empty ones None each."""
    none = np.empty(0)
    assert Quantiles(none, none, (0,), SHARES).judged(none) == []
    assert Quantiles(none, none, (0, 0, 0), SHARES).judged(none) == [None, None]
