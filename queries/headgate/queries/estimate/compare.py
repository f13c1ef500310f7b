"""Differences and ratios of two estimates, such as this week against the last, or one version against another.

Independent when no trace or person is in both. Those that overlap have a covariance: that of `draws.sums` for features
of the same rows, the variance of the common part for windows that overlap, and Var(part) for a part and its whole.
Intervals are recovered from those of the two (MOVER; Zou and Donner 2008), so they keep the shape of asymmetric ones:
with a, b, distances a - l, u - a to their bounds and the correlation r,

    a - b:  low = a - b - sqrt((a - la)^2 + (ub - b)^2 - 2 r (a - la)(ub - b)), high with the other bounds
    a / b:  the same with logarithms
"""

from __future__ import annotations

import math

from headgate.queries.estimate.number import Estimate, exactly, unsure

_MOST_LOG = 700.0  # about where exp leaves the range of a float
_UNKNOWN = "one of the two has no interval"


def difference(a: Estimate, b: Estimate, covariance: float = 0.0) -> Estimate:
    """Estimate a - b; variance Var a + Var b - 2 cov."""
    value = a.value - b.value
    if a.exact and b.exact:
        return exactly(value)
    if None in (a.standard_error, b.standard_error):
        return unsure(value, a.reason or b.reason or _UNKNOWN)
    error_a, error_b = a.standard_error or 0.0, b.standard_error or 0.0
    r = _correlation(error_a, error_b, covariance)
    error = math.sqrt(max(error_a**2 + error_b**2 - 2 * r * error_a * error_b, 0.0))
    down_a, up_a = _distances(a.value, a.low, a.high)
    down_b, up_b = _distances(b.value, b.low, b.high)
    down, up = _joined(down_a, up_b, r), _joined(up_a, down_b, r)
    return _bounded(value, error, value - down, value + up, a.reason or b.reason)


def ratio(a: Estimate, b: Estimate, covariance: float = 0.0) -> Estimate:
    """Estimate R = a / b of two numbers that cannot be negative; variance (Var a + R^2 Var b - 2 R cov) / b^2.

    By linearisation. No upper bound where b may be 0; refused where b is 0.
    """
    if b.value <= 0 or a.value < 0:
        return unsure(math.nan, "a ratio needs a number above 0 to divide by")
    value = a.value / b.value
    if a.exact and b.exact:
        return exactly(value)
    if None in (a.standard_error, b.standard_error):
        return unsure(value, a.reason or b.reason or _UNKNOWN)
    error_a, error_b = a.standard_error or 0.0, b.standard_error or 0.0
    r = _correlation(error_a, error_b, covariance)
    variance = error_a**2 + (value * error_b) ** 2 - 2 * value * r * error_a * error_b
    error = math.sqrt(max(variance, 0.0)) / b.value
    down_b, up_b = _distances(math.log(b.value), _log(b.low), _log(b.high))
    if a.value == 0:
        high = None if a.high is None or b.low is None or b.low <= 0 else a.high / b.low
        return Estimate(value, error, 0.0, high, None if high is not None else _UNKNOWN)
    down_a, up_a = _distances(math.log(a.value), _log(a.low), _log(a.high))
    down, up = _joined(down_a, up_b, r), _joined(up_a, down_b, r)
    high = math.inf if up > _MOST_LOG else value * math.exp(up)
    return _bounded(value, error, value * math.exp(-down), high, a.reason or b.reason)


def _correlation(error_a: float, error_b: float, covariance: float) -> float:
    if covariance == 0 or error_a == 0 or error_b == 0:
        return 0.0
    return min(max(covariance / (error_a * error_b), -1.0), 1.0)


def _distances(value: float, low: float | None, high: float | None) -> tuple[float, float]:
    return (
        math.inf if low is None else max(value - low, 0.0),
        math.inf if high is None else max(high - value, 0.0),
    )


def _log(bound: float | None) -> float | None:
    if bound is None:
        return None
    return math.log(bound) if bound > 0 else -math.inf


def _joined(one: float, other: float, r: float) -> float:
    if math.isinf(one) or math.isinf(other):
        return math.inf
    return math.sqrt(max(one**2 + other**2 - 2 * r * one * other, 0.0))


def _bounded(value: float, error: float, low: float, high: float, reason: str | None) -> Estimate:
    known = (None if math.isinf(low) else low, None if math.isinf(high) else high)
    return Estimate(value, error, *known, reason)
