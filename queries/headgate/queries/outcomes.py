"""How calls ended: the counts and rates of outcomes that several reports share (REQ-SUC-01 to -03, REQ-ALRT-04).

Columns hold a row for each outcome (and whatever else they were grouped by): `outcome`, `arrivals`, `calls`,
and what `headgate.queries.uncertain` reads. Every rate has the number of calls as its denominator (PIT-R0-01).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np

from headgate.queries.columns import Columns, parts
from headgate.queries.estimate import Estimate
from headgate.queries.uncertain import counted, share_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARN_BELOW_SUCCESS_RATE = 0.80
ALERT_ABOVE_ERROR_RATE = 0.20
ARCHIVE_AFTER_HOURS = 168
_NOTHING = Columns({})
VERDICTS = (
    "`ok`; `alert` when error_rate > 0.20 (which is success_rate < 0.80); `no calls` without any"
)


@dataclass(frozen=True)
class Rated:
    """How many calls there were and how many of them ended well; without slots, to be shared beside other numbers."""

    calls: Annotated[Estimate, "uses: server, consumer and root spans, tracked calls, named events"]
    success_rate: Annotated[Estimate | None, "share of calls that ended well; null without calls"]


@dataclass(frozen=True, slots=True)
class Success:
    """How many calls ended well; the same numbers for one operation, one period and all."""

    calls: Annotated[Estimate, "uses, failed or not"]
    success_count: Annotated[Estimate, "calls that ended well"]
    failure_count: Annotated[Estimate, "calls that failed, timeouts included"]
    timeout_count: Annotated[Estimate, "calls that failed by taking too long"]
    success_rate: Annotated[Estimate | None, "success_count / calls; null without calls"]
    error_rate: Annotated[Estimate | None, "failure_count / calls; null without calls"]


def success(outcomes: Columns) -> dict[str, Any]:
    """Return the fields of `Success`."""
    ended = Ended.of(outcomes)
    return {
        "calls": calls_of(outcomes),
        "success_count": calls_of(ended.well),
        "failure_count": calls_of(ended.failed),
        "timeout_count": calls_of(with_outcome(outcomes, "timeout")),
        "success_rate": ended.success_rate(),
        "error_rate": ended.error_rate(),
    }


def rated(outcomes: Columns) -> dict[str, Any]:
    """Return the fields of `Rated`."""
    return {"calls": calls_of(outcomes), "success_rate": success_rate(outcomes)}


def verdict(error_rate: Estimate | None) -> str:
    """Return REQ-SUC-02 and -03 as a word: they name the same threshold from both sides."""
    if error_rate is None:
        return "no calls"
    return "alert" if error_rate.value > ALERT_ABOVE_ERROR_RATE else "ok"


def calls_of(outcomes: Columns) -> Estimate:
    """Return the number of calls."""
    return counted(outcomes)


def with_outcome(outcomes: Columns, *wanted: str) -> Columns:
    """Return the rows with one of the outcomes."""
    found: NDArray[np.bool_] = np.zeros(outcomes.rows, bool)
    for outcome in wanted:
        found |= outcomes["outcome"] == outcome
    return outcomes.chosen(found)


def success_rate(outcomes: Columns) -> Estimate | None:
    """Return the share of calls that ended well, None without calls."""
    return Ended.of(outcomes).success_rate()


def error_rate(outcomes: Columns) -> Estimate | None:
    """Return the share of calls that failed, timeouts included; None without calls."""
    return Ended.of(outcomes).error_rate()


@dataclass(frozen=True, slots=True)
class Ended:
    """Calls, and which of them failed (timeouts included) and ended well."""

    every: Columns
    failed: Columns
    well: Columns

    @classmethod
    def of(cls, outcomes: Columns) -> Self:
        """Split the rows of outcomes."""
        failed, well = with_outcome(outcomes, "error", "timeout"), with_outcome(outcomes, "ok")
        return cls(outcomes, failed, well)

    @classmethod
    def by_operation(cls, outcomes: Columns) -> dict[tuple[Any, ...], Self]:
        """Return the same of each service and operation: all are told apart at once."""
        whole = cls.of(outcomes)
        every, failed, well = (
            dict(parts(rows, "service", "operation"))
            for rows in (whole.every, whole.failed, whole.well)
        )
        return {
            label: cls(part, failed.get(label, _NOTHING), well.get(label, _NOTHING))
            for label, part in every.items()
        }

    def success_rate(self) -> Estimate | None:
        """Return the share of calls that ended well, None without calls."""
        return _share(self.well, self.failed)

    def error_rate(self) -> Estimate | None:
        """Return the share of calls that failed, None without calls."""
        return _share(self.failed, self.well)


def _share(part: Columns, rest: Columns) -> Estimate | None:
    found = share_of(part, rest)
    return None if found is None else found.rounded(4)
