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
        error, low, high = (
            None if part is None else part * factor
            for part in (self.standard_error, self.low, self.high)
        )
        if factor < 0:
            low, high = high, low
        return Estimate(
            self.value * factor, None if error is None else abs(error), low, high, self.reason
        )

    def rounded(self, digits: int) -> Estimate:
        """Return the estimate rounded to decimal digits."""
        error, low, high = (
            None if part is None else round(part, digits)
            for part in (self.standard_error, self.low, self.high)
        )
        return Estimate(round(self.value, digits), error, low, high, self.reason)


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
