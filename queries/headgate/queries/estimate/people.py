"""What can be said of people from a sample of people: every row of whoever was kept, and no row of anybody else.

A person is kept iff the low 56 bits of his hash are at least T, so with probability p = (2^56 - T) / 2^56, whatever he
did. Thresholds nest: a window in which T changed, thinned to the largest T, is an exact Bernoulli sample of people.
For a total over people of anything (1: how many; 1 if he did so: how many did), t = sum x over the kept people:

    T = t / p,      Var T = (1 - p) / p^2 * sum x^2         (Horvitz and Thompson 1952)

so counts of people need nothing but the number seen, also distinct counts, steps of a funnel, cells of a retention
table; weights of rows kept by trace can give none of these.
"""

from __future__ import annotations

import math

from headgate.queries.estimate.interval import Z95, Draws, wilson
from headgate.queries.estimate.number import Estimate, exactly
from headgate.queries.estimate.totals import count, mean

WHOLE = 1 << 56


def probability(threshold: int) -> float:
    """Return p of a threshold T from 0 to 2^56 - 1; ValueError outside."""
    if not 0 <= threshold < WHOLE:
        raise ValueError(f"a threshold is from 0 to 2^56 - 1, not {threshold}")
    return (WHOLE - threshold) / WHOLE


def distinct(seen: float, p: float) -> Estimate:
    """Estimate how many different people there were: D = d/p, standard error sqrt(d (1 - p)) / p.

    Interval: score (Wilson 1927), never below the number seen; it holds for any number seen, none included.
    """
    _check(p)
    if p == 1:
        return exactly(seen)
    value, error = seen / p, math.sqrt(seen * (1 - p)) / p
    unit = (1 - p) / p
    centre = value + Z95**2 * unit / 2
    half = Z95 * math.sqrt(error**2 + (Z95 * unit) ** 2 / 4)
    return Estimate(value, error, min(max(centre - half, seen), value), centre + half)


def people_total(total: float, squares: float, people: int, p: float) -> Estimate:
    """Estimate a total over people: calls, sessions. t/p, standard error sqrt((1 - p) sum x^2) / p.

    `total`, `squares` are sum x and sum x^2 over the `people` that were kept.
    """
    _check(p)
    if p == 1:
        return exactly(total)
    draws = Draws(people, total / p, squares / p**2)
    return count(total / p, (1 - p) * squares / p**2, total, draws)


def people_mean(total: float, squares: float, people: int, p: float) -> Estimate:
    """Estimate a mean over people, such as calls a person: t/d, variance (1-p) sum (x - m)^2 / d^2 (a ratio)."""
    _check(p)
    unit = (1 - p) / p**2
    draws = Draws(people, people / p, people / p**2)
    return mean(people / p, total / p, unit * people, unit * total, unit * squares, draws)


def conversion(reached: int, entered: int, p: float) -> Estimate | None:
    """Estimate which share of those who entered went on to reach: k/n of nested counts; None when nobody entered.

    Both are counts of the same kept people, so the ratio r has variance (1 - p) r (1 - r) / n: the share of n draws,
    less what is certain. Interval: Wilson's with the size n / (1 - p).
    """
    _check(p)
    if not 0 <= reached <= entered:
        raise ValueError(
            f"{reached} of {entered} cannot have reached: steps of a funnel are nested"
        )
    if not entered:
        return None
    value = reached / entered
    if p == 1:
        return exactly(value)
    size = entered / (1 - p)
    low, high = wilson(value, size)
    return Estimate(value, math.sqrt(value * (1 - value) / size), low, high)


def funnel(reached: list[int], p: float) -> tuple[tuple[Estimate, Estimate | None], ...]:
    """Return each step's people and its conversion from the step before (None for the first).

    `reached` are the kept people who reached at least each step; ValueError where a step has more than the one before.
    """
    return tuple(
        (distinct(people, p), conversion(people, before, p) if step else None)
        for step, (before, people) in enumerate(
            zip([*reached[:1], *reached], reached, strict=False)
        )
    )


def _check(p: float) -> None:
    if not 0 < p <= 1:
        raise ValueError(f"a probability of keeping a person is above 0 and at most 1, not {p}")
