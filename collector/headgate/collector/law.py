"""How likely a request is to be kept, given how busy it is: surely up to `low`, at `rate` from `high` on.

Between them p(N) = (N / low)^-g with g = ln(1 / rate) / ln(high / low), so that p is continuous. The defaults make it
clip(10 000 / N, 0.1, 1). (REQ-CAP-20)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Law:
    """Thresholds in requests a minute, the probability far above them, and the budget in stored rows a minute."""

    low: float = 10_000.0
    high: float = 100_000.0
    rate: float = 0.10
    rows: float = 2_000_000.0

    def __post_init__(self) -> None:
        """Refuse thresholds that make no law."""
        if not 0 < self.low < math.inf:
            raise ValueError(f"low must be a number of requests a minute above 0, not {self.low}")
        if not self.low <= self.high < math.inf:
            raise ValueError(f"high must be at least low ({self.low}), not {self.high}")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must be a probability above 0 and at most 1, not {self.rate}")
        if not self.rows > 0:
            raise ValueError(f"rows must be a number of rows a minute above 0, not {self.rows}")

    @property
    def exponent(self) -> float:
        """Return g, infinite where low and high are the same and the law is a step."""
        if self.rate == 1:
            return 0.0
        if self.high == self.low:
            return math.inf
        return -math.log(self.rate) / math.log(self.high / self.low)

    def probability(self, requests: float) -> float:
        """Return p for this many requests in the last 60 seconds."""
        if requests <= self.low:
            return 1.0
        if requests >= self.high:
            return self.rate
        return max(self.rate, math.pow(requests / self.low, -self.exponent))

    def rows_probability(self, rows: float) -> float:
        """Return the share of this many rows in the last 60 seconds that the budget of rows allows."""
        return 1.0 if rows <= self.rows else self.rows / rows

    def most_kept(self, requests: float) -> float:
        """Return the most requests of any 60 seconds that may be expected to be kept, however they are bunched.

        The integral of p from 0 to N: each segment is given the p of a count that includes all of its own requests and
        all earlier ones of the window, and p falls. With the defaults 3.3 times the budget, at N = high. Requests of
        always-keep rules and of traces that were remembered come on top.
        """
        total = min(requests, self.low)
        between = min(requests, self.high)
        if between > self.low and self.exponent < math.inf:
            ratio, power = between / self.low, 1 - self.exponent
            total += self.low * (
                math.log(ratio) if abs(power) < 1e-12 else (ratio**power - 1) / power
            )
        return total + self.rate * max(0.0, requests - self.high)

    def share(self, collectors: int) -> Law:
        """Return the law of one of several collectors that divide the traffic between them."""
        if collectors < 1:
            raise ValueError(f"collectors must be at least 1, not {collectors}")
        return replace(
            self,
            low=self.low / collectors,
            high=self.high / collectors,
            rows=self.rows / collectors,
        )
