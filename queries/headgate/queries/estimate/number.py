"""A number with its uncertainty, or with the reason why none can be given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its standard error (None: unknown) and its 95 % interval (None: no bound on that side).

    `reason` says why a bound is missing where one could be expected.
    """

    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    reason: str | None = None

    def __float__(self) -> float:
        return self.value

    @property
    def exact(self) -> bool:
        """Whether nothing was estimated."""
        return self.standard_error == 0 and self.low == self.high == self.value

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate in another unit; a negative factor swaps the bounds."""
        error, low, high = self.standard_error, self.low, self.high
        error = None if error is None else error * abs(factor)
        low = None if low is None else low * factor
        high = None if high is None else high * factor
        bounds = (low, high) if factor >= 0 else (high, low)
        return Estimate(self.value * factor, error, *bounds, self.reason)

    def rounded(self, digits: int) -> Estimate:
        """Return the estimate rounded to decimal digits."""
        if self.exact:
            return exactly(round(self.value, digits))
        error, low, high = self.standard_error, self.low, self.high
        return Estimate(
            round(self.value, digits),
            None if error is None else round(error, digits),
            None if low is None else round(low, digits),
            None if high is None else round(high, digits),
            self.reason,
        )


def exactly(value: float) -> Estimate:
    """Return a number that was counted, not estimated."""
    return Estimate(value, 0.0, value, value)


def at_least(value: float) -> Estimate:
    """Return a number of which sampling may have hidden a part: a distinct count, a maximum.

    Row weights cannot correct these: each part is hidden by a draw of its own, so there is a bound and no error.
    """
    return Estimate(value, None, value, None)


def at_most(value: float) -> Estimate:
    """Return a number that sampling may have kept too high: a minimum."""
    return Estimate(value, None, None, value)


def unsure(value: float, reason: str) -> Estimate:
    """Return a number of which nothing can be said beside it, and why."""
    return Estimate(value, None, None, None, reason)
