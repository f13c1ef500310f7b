"""Head sampling that the collector understands: consistent, with its threshold in `ot=th`.

Off by default: the collector counts everything exactly only if everything reaches it.
OTEL_TRACES_SAMPLER=headgate_ratio with OTEL_TRACES_SAMPLER_ARG=0.1 keeps a tenth of the traces;
headgate_adaptive with ARG=50 keeps about 50 traces a second of this process, whatever the load. A
span with a parent follows its parent. Nothing that sets a probability depends on a trace's
randomness, so 1/p stays an unbiased weight.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace._sampling_experimental import (
    ComposableSampler,
    SamplingIntent,
    composable_parent_threshold,
    composable_traceid_ratio_based,
    composite_sampler,
)
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.util.types import Attributes

_SPACE = 1 << 56


class Consistent(Sampler):
    """A parent-based consistent sampler around a composable one that decides for roots."""

    def __init__(self, root: ComposableSampler) -> None:
        self._sampler = composite_sampler(composable_parent_threshold(root))

    def should_sample(  # the interface's
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """As the composite sampler decides, once it is given the parent's trace state."""
        if trace_state is None:
            # The SDK's tracer passes none, and without it the parent's threshold would be lost.
            trace_state = get_current_span(parent_context).get_span_context().trace_state
        result = self._sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        # The composite returns only the intent's attributes: the span would lose its own.
        kept = {**(attributes or {}), **(result.attributes or {})}
        return SamplingResult(result.decision, kept, result.trace_state)

    def get_description(self) -> str:
        """Names the sampler inside."""
        return f"HeadgateConsistent{{{self._sampler.get_description()}}}"


@dataclass(slots=True)
class Rate:
    """The probability that keeps about `target` arrivals a second, from counts and the clock only."""

    target: float
    began: float
    count: int = 0
    before: float = 0.0

    def arrive(self, now: float) -> float:
        """Count one arrival at `now` (seconds) and return the probability that applies to it."""
        elapsed = now - self.began
        if elapsed >= 1.0:
            # Half of the past decays each second; a second without arrivals counts as such.
            self.before = (
                (self.before * 0.5 + self.count / elapsed * 0.5)
                if elapsed < 2.0
                else self.count / elapsed
            )
            self.began, self.count = now, 0
        self.count += 1
        # A burst counts at once, not only when its second is over.
        rate = max(self.before, float(self.count))
        return min(1.0, self.target / rate)


class Adaptive(ComposableSampler):
    """Keeps about a number of root spans a second."""

    def __init__(self, target: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = Rate(target, clock())

    def sampling_intent(  # the interface's
        self,
        parent_ctx: Context | None,  # noqa: ARG002
        name: str,  # noqa: ARG002
        span_kind: SpanKind | None,  # noqa: ARG002
        attributes: Attributes,  # noqa: ARG002
        links: Sequence[Link] | None,  # noqa: ARG002
        trace_state: TraceState | None = None,  # noqa: ARG002
    ) -> SamplingIntent:
        """Return the threshold for a root span that begins now."""
        # Races between threads lose a count now and then, which a rate does not notice.
        probability = self._rate.arrive(self._clock())
        return SamplingIntent(threshold=min(_SPACE - 1, _SPACE - round(probability * _SPACE)))

    def get_description(self) -> str:
        """Names the target."""
        return f"Adaptive{{target={self._rate.target}/s}}"


def ratio(argument: str | None) -> Sampler:
    """Return the sampler `headgate_ratio`; the argument is the probability, 1 if it makes no sense."""
    probability = _number(argument, 1.0)
    return Consistent(composable_traceid_ratio_based(min(1.0, max(0.0, probability))))


def adaptive(argument: str | None) -> Sampler:
    """Return the sampler `headgate_adaptive`; the argument is traces a second, 100 if it makes no sense."""
    target = _number(argument, 100.0)
    return Consistent(Adaptive(target if target > 0 else 100.0))


def _number(text: str | None, default: float) -> float:
    try:
        value = float(text or default)
    except ValueError:
        return default
    return value if value == value else default  # noqa: PLR0124  # NaN
