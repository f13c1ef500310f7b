"""What sampling is told: the laws of traces and logs, the budget of events, what strata are made of, rules."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headgate.collector.sampler.law import Law

TRACE_STRATA = ("service", "operation", "outcome")
LOG_STRATA = ("service", "severity", "scope")
LAW = Law()
EVENT_ROWS = 60_000.0


@dataclass(frozen=True, slots=True)
class Match:
    """An attribute and the values that match; a value that ends with `*` matches what begins so, `*` whatever is there.

    The attribute is one of the row's, else its resource's; `service`, `operation`, `outcome`, `severity` and `scope`
    are what is derived of the row.
    """

    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """`event_rows` is the budget of `events` in rows a minute; strata are attributes as rules know them.

    A trace with a row that a rule of `keep` matches is kept, one with a row that `drop` matches is not; keep wins.
    """

    traces: Law = LAW
    logs: Law = LAW
    event_rows: float = EVENT_ROWS
    trace_strata: tuple[str, ...] = TRACE_STRATA
    log_strata: tuple[str, ...] = LOG_STRATA
    keep: tuple[Match, ...] = ()
    drop: tuple[Match, ...] = ()

    def share(self, collectors: int) -> Policy:
        """Return the policy of one of several collectors that divide the traffic between them."""
        return replace(
            self,
            traces=self.traces.share(collectors),
            logs=self.logs.share(collectors),
            event_rows=self.event_rows / collectors,
        )
