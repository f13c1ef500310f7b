"""What sampling is told: the laws of traces and logs, the budget of events, what strata are made of, rules."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from headgate.collector.law import Law

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACE_STRATA = ("service", "operation", "outcome")
LOG_STRATA = ("service", "severity", "scope")
LAW = Law()
DOCUMENT = ("sampling", "budgets")
"""Kind and name of the document that holds budgets set in place of the settings', for all collectors of a store."""

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

    def budgets(self) -> dict[str, dict[str, float]]:
        """Return what can be changed at run time, as `overridden` takes it."""
        return {
            "traces": asdict(self.traces),
            "logs": asdict(self.logs),
            "events": {"rows": self.event_rows},
        }

    def overridden(self, changes: Mapping[str, Any]) -> Policy:
        """Return the policy with other budgets, by signal and name; raises ValueError that names what cannot be."""
        budgets = self.budgets()
        for signal, values in changes.items():
            if signal not in budgets:
                raise ValueError(f"unknown signal {signal!r}; known are {', '.join(budgets)}")
            budgets[signal] |= _numbers(signal, values, budgets[signal])
        rows = budgets["events"]["rows"]
        if not rows > 0:
            raise ValueError(f"events.rows must be a number of rows a minute above 0, not {rows}")
        return replace(
            self,
            traces=_law("traces", budgets["traces"]),
            logs=_law("logs", budgets["logs"]),
            event_rows=rows,
        )


def _numbers(signal: str, values: Any, known: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(values, dict):
        example = {"rows": 1000}
        raise ValueError(f"{signal} must be a mapping such as {example}, not {values!r}")  # noqa: TRY004  # one kind of error for what a person wrote
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown budget {signal}.{name}; known are {', '.join(known)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{signal}.{name} must be a number, not {value!r}")  # noqa: TRY004  # likewise
    return {name: float(value) for name, value in values.items()}


def _law(signal: str, values: Mapping[str, float]) -> Law:
    try:
        return Law(**values)
    except ValueError as error:
        raise ValueError(f"{signal}.{error}") from error
