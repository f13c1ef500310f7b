"""Intervals that stay honest when little was kept: score intervals, Student's t, and a refusal below a least size.

What decides how sure a number is, is not how many rows were kept but how many *independent draws* they came from: a
sampler keeps or drops a trace (or a person) as a whole. `Draws` describes those draws; the effective number is
Kish's (1965): (sum z)^2 / sum z^2 with z the weighted count of rows of each draw, which is their plain number when all
are alike and less the more they differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from headgate.queries.estimate.number import Estimate, exactly, unsure

Z95 = 1.959963984540054
LEAST_DRAWS = 5.0
"""Below this many effective draws no interval is given: simulation finds none that would hold."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws that may have gone the other way (those kept with p < 1), as sums that add up over different draws.

    `number` of them, `total` = sum z and `squares` = sum z^2, z being the weighted count of a draw's rows.
    """

    number: float
    total: float
    squares: float

    def __add__(self, other: Draws) -> Draws:
        return Draws(
            self.number + other.number, self.total + other.total, self.squares + other.squares
        )

    @property
    def effective(self) -> float:
        """Kish's effective number of draws, at most `number`."""
        return self.total**2 / self.squares if self.squares > 0 else 0.0

    @property
    def too_few(self) -> str | None:
        """Why no interval can be given, or None."""
        if self.effective >= LEAST_DRAWS * (1 - 1e-9):
            return None
        return f"kept from under {LEAST_DRAWS:.0f} traces or people: too few for an interval"

    def quantile(self, *, values: bool, least: float = math.inf) -> float:
        """Return how many standard errors the interval is wide on each side: Student's t.

        The variance is itself estimated. Its degrees of freedom are a third of the effective draws less one: the
        kurtosis of what is summed triples its variance, found by simulation with log-normal values. For counts
        (`values` false) they grow without bound as the draws become alike: their variance then is known. `least` is
        the effective number of a part that alone matters (hits that are rare, a tail), if less.
        """
        effective, unlike = self.effective, 1.0
        if not values:
            unlike = 1 - min(effective / self.number, 1.0) if self.number else 0.0
            if unlike <= 1e-9:
                return Z95
        return t95(max(min(effective, least) - 1, 1.0) / 3 / unlike)


def independent(total_weight: float, variance: float) -> Draws:
    """Return draws of one row each, all of one weight, that would explain N = sum w and sum w(w-1)."""
    weight = 1 + variance / total_weight if total_weight > 0 else 1.0
    number = total_weight / weight
    return Draws(number, total_weight, total_weight * weight)


def _expansion(z: float) -> tuple[float, float, float, float]:
    return (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )


_EXPANSION = _expansion(Z95)


def t95(freedom: float) -> float:
    """Return the 97.5 % point of Student's t, within 0.2 % from 3 degrees of freedom (1 is taken as the least).

    Cornish-Fisher expansion about the normal (Abramowitz and Stegun 26.7.5).
    """
    v = max(freedom, 1.0)
    first, second, third, fourth = _EXPANSION
    return Z95 + first / v + second / v**2 + third / v**3 + fourth / v**4


def normal(value: float, variance: float, draws: Draws) -> Estimate:
    """Return value +- t se."""
    if variance <= 0:
        return exactly(value)
    if draws.too_few:
        return unsure(value, draws.too_few)
    error = math.sqrt(variance)
    half = draws.quantile(values=True) * error
    return Estimate(value, error, value - half, value + half)


def score(
    value: float, part: float, variance: float, draws: Draws, *, values: bool, floor: float
) -> Estimate:
    """Return the interval of a total that cannot be negative, of which `part` was drawn and the rest is certain.

    Wilson's (1927) argument for counts: the variance is that of the hypothetical total, c = variance / part a unit, so
    the bounds solve (part - x)^2 = z^2 c x. Asymmetric, above zero, and right also for a handful of draws.
    """
    if variance <= 0:
        return exactly(value)
    if draws.too_few:
        return unsure(value, draws.too_few)
    z, unit = draws.quantile(values=values), variance / part
    centre = value + z * z * unit / 2
    half = z * math.sqrt(variance + (z * unit) ** 2 / 4)
    low, high = max(centre - half, floor, value - part), centre + half
    return Estimate(value, math.sqrt(variance), min(low, value), high)


def wilson(share: float, size: float, z: float = Z95) -> tuple[float, float]:
    """Return Wilson's (1927) interval of a share seen in `size` independent draws; it stays within 0 and 1."""
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z * math.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)
