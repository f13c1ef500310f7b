"""The section `sampling` of the settings, and the policy that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from headgate.collector.law import Law
from headgate.collector.policy import EVENT_ROWS, LAW, LOG_STRATA, TRACE_STRATA, Match, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable

_Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LawSettings(_Section):
    """Thresholds in requests a minute, the share kept far above them, and the budget of rows."""

    low: float = Field(
        default=LAW.low, gt=0, description="Up to so many requests a minute, all are kept."
    )
    high: float = Field(
        default=LAW.high,
        gt=0,
        description="From so many requests a minute on, `rate` of them are kept.",
    )
    rate: float = Field(
        default=LAW.rate,
        gt=0,
        le=1,
        description="The share of requests that is kept far above `high`.",
    )
    rows: float = Field(default=LAW.rows, gt=0, description="Most rows a minute that are stored.")

    @model_validator(mode="after")
    def _is_a_law(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high must be at least low ({self.low:g}), not {self.high:g}")
        return self


class EventSettings(_Section):
    """The budget of `events`, which is thinned by person."""

    rows: float = Field(default=EVENT_ROWS, gt=0, description="Most rows of `events` a minute.")


class StrataSettings(_Section):
    """Of what each combination gets a fair share of what is kept."""

    traces: _Names = Field(
        default=TRACE_STRATA,
        description="What strata of traces are made of: `service`, `operation`, `outcome` of entry spans,"
        " or any attribute.",
    )
    logs: _Names = Field(
        default=LOG_STRATA,
        description="What strata of log records are made of: `service`, `severity`, `scope`, or any attribute.",
    )


class RuleSettings(_Section):
    """An attribute of a row or of its resource, and the values that match."""

    attribute: str = Field(min_length=1)
    values: _Names


class SamplingSettings(_Section):
    """What of the detail is kept when it is busy; counts are always of everything."""

    enabled: bool = Field(
        default=True, description="Whether anything is sampled; `false` keeps everything."
    )
    traces: LawSettings = Field(default=LawSettings(), description="Spans, kept by trace.")
    logs: LawSettings = Field(
        default=LawSettings(), description="Log records without an event name."
    )
    events: EventSettings = Field(default=EventSettings(), description="Rows of `events`.")
    strata: StrataSettings = Field(default=StrataSettings(), description="Fair shares.")
    keep: tuple[RuleSettings, ...] = Field(
        default=(),
        description="Rules that keep a whole trace, whatever the rate: `{attribute: debug, values: ['*']}`.",
    )
    drop: tuple[RuleSettings, ...] = Field(
        default=(),
        description="Rules that drop a whole trace, or a log record; `keep` wins."
        " A value that ends with `*` matches what begins so.",
    )

    def policy(self) -> Policy:
        """Return what the collector is told."""
        return Policy(
            traces=Law(**self.traces.model_dump()),
            logs=Law(**self.logs.model_dump()),
            event_rows=self.events.rows,
            trace_strata=self.strata.traces,
            log_strata=self.strata.logs,
            keep=_matches(self.keep),
            drop=_matches(self.drop),
        )


def _matches(rules: Iterable[RuleSettings]) -> tuple[Match, ...]:
    return tuple(Match(rule.attribute, rule.values) for rule in rules)
