"""What a report declares about itself; everything else (command, HTTP, table, documentation) follows from it.

A report is a folder `reports/<name>/` with `.sql` files, one statement each, and an `__init__.py` whose `REPORT` is a
`Report`. Each SQL file is a query of that name; it reads relations such as `{usage:Identifier}`, `{users:Identifier}`
and `{events:Identifier}` (see `headgate.queries.source`) and takes the parameters `since`, `until`, `service`,
`operation` and the report's own. `{name:With}` in a WITH clause stands for the part of one that `sources/name.sql` has.
A column called `fingerprint` always holds `headgate.store.fingerprint`'s value.

Statements also get `edges` (Array(UInt32), see `headgate.queries.periods`), `timezone` and `week_start`. Rows that
stand for more than themselves carry their weight, and what says how sure a count of them is; see
`headgate.queries.uncertain` and `headgate.queries.estimate`.

Fields carry their description as `Annotated[type, "description"]` and their unit in their name (`_ms`, `_hours`,
`_rate` as a share of 1, `_at` as a time). Declaring modules must not postpone their annotations.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from headgate.queries.charts import Chart
from headgate.queries.columns import Columns
from headgate.queries.labels import Label
from headgate.queries.periods import Periods
from headgate.queries.recorded import Known
from headgate.queries.window import Window, zone_of

Step = Literal["auto", "hour", "day", "week", "month", "quarter", "year"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Granularity = Literal["summary", "detailed", "comprehensive"]


def _known_zone(name: str) -> str:
    zone_of(name)
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """What every report can be narrowed to; a report with more of its own derives from this."""

    service: Annotated[str | None, "only this service"] = None
    operation: Annotated[str | None, "only this operation (span or event name)"] = None
    where: Annotated[
        Mapping[str, str], "only uses whose span, log or resource attributes have these values"
    ] = field(default_factory=dict)
    by: Annotated[
        str | None,
        "count by this dimension or attribute instead of by operation: `operation` then holds its value",
    ] = None
    timezone: Annotated[
        str,
        "time zone of days, weeks and hours, and of bounds without an offset, such as Europe/Berlin",
        AfterValidator(_known_zone),
    ] = "UTC"
    week_start: Annotated[Weekday, "the day that weeks begin with"] = "monday"
    granularity: Annotated[
        Granularity,
        "`summary`: no rows and no lists; `detailed`; `comprehensive`: with what is costly or predicted",
    ] = "detailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SteppedParams(Params):
    """Parameters of a report that follows something over time."""

    step: Annotated[
        Step,
        "length of a period; `auto`: hours up to 2 days, days up to 92, weeks up to 2 years, else months",
    ] = "auto"


@dataclass(frozen=True, slots=True)
class Ask:
    """A question beside the report's own: the same statements for another window or other parameters.

    Only those of `queries` are run, all when None. With `counted_only` it is asked only where `by` is a dimension that
    is counted from all traffic; else its columns are missing. Where it falls short notes say so, unless `quiet`. It is
    `additive` where rows are sums of a period each (`period_s`, whatever else they are grouped by): what the report's
    own question, or one before this, has read of the window is not read again.
    """

    window: Window
    params: Params
    queries: tuple[str, ...] | None = None
    counted_only: bool = False
    quiet: bool = False
    given: Callable[[Mapping[str, Columns]], Params] | None = None
    additive: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What a reducer may know beside its columns.

    The window that the columns are of, the time of asking, the parameters, the periods (days, unless the report has a
    `step`), the windows of what was asked beside, by label, and the step of the rows of usage that were read (0: raw).
    `people` is the share of all people whose events there are (`headgate.queries.estimate.people`), 1 where they were
    not thinned, and `people_beside` that of what was asked beside; `known_beside` says how much of those windows there
    can be records of. `firsts` are the times of the first record of each service and operation, where the report asks
    for them and they are known.
    """

    window: Window
    now: datetime
    params: Any
    periods: Periods
    beside: Mapping[str, Window] = field(default_factory=dict)
    step: timedelta = timedelta(0)
    people: float = 1.0
    people_beside: Mapping[str, float] = field(default_factory=dict)
    known_beside: Mapping[str, Known] = field(default_factory=dict)
    firsts: Mapping[tuple[str, str], datetime] = field(default_factory=dict)

    def begun(self, label: tuple[str, str]) -> NDArray[np.bool_]:
        """Return which periods begin when there were records of an operation, or later: it is missing in the others."""
        first = self.firsts.get(label)
        if first is None or first <= self.window.since:
            return np.ones(len(self.periods), bool)
        return np.asarray(self.periods.edges_s[:-1] >= first.timestamp())

    def is_new(self, label: tuple[str, str]) -> bool:
        """Return whether an operation's first record lies in the window."""
        first = self.firsts.get(label)
        return first is not None and first > self.window.since

    def compares(self, label: str) -> bool:
        """Return whether there are records of the whole window of what was asked beside."""
        return self.known_beside.get(label, "whole") == "whole"

    def change_rate(
        self, value: float, before: float, label: str, of: tuple[str, str] | None = None
    ) -> float | None:
        """Return a total against that of the earlier window `label`, each by its window's length, less 1.

        None without any before, and where there are not records of the whole earlier window: of everything, or `of` an
        operation.
        """
        if not before or not self.compares(label):
            return None
        first = None if of is None else self.firsts.get(of)
        if first is not None and first > self.beside[label].since:
            return None
        return round(value / before * (self.beside[label].days / self.window.days) - 1, 4)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of days and hours."""
        return self.periods.zone


@dataclass(frozen=True, slots=True)
class Reduced:
    """A report's answer: one summary (a frozen dataclass) and rows (of one frozen dataclass)."""

    summary: Any
    rows: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The declaration of a report; `reduce` is pure, and gets the columns of each query by the query's name.

    `tables` names the fields that a terminal shows, in order: of `rows`, and of each list in the summary; JSON and CSV
    have all of them. `charts` are what pages and files draw of it. `resolution` is the coarsest step of usage that the
    statements can work with, whatever the periods. `asks` returns further questions by label, given the parameters
    and the window of the answer; the columns of query q of label l are called `l.q`. `borrows` names statements of
    other reports, `report.query`, that are asked as if they were this one's: there is one statement for each number.
    `firsts` asks for `Context.firsts`.
    `on_request` are queries that are only run where `asks` names them, `rare` those that look for attributes which few
    uses have: the index of stored uses finds those sooner than a copy of all uses can be made with their attributes.
    Those of `by_days` ask nothing of usage's times within a day, not even which was the last: where periods are whole
    days of UTC, and no use stands for others, they read usage by the day.
    """

    question: str
    params: type[Params]
    summary: type[Any]
    row: type[Any]
    tables: Mapping[str, tuple[str, ...]]
    reduce: Callable[[Mapping[str, Columns], Context], Reduced]
    charts: tuple[Chart, ...] = ()
    resolution: timedelta = timedelta(days=1)
    asks: Callable[[Any, Window], Mapping[str, Ask]] | None = None
    borrows: tuple[str, ...] = ()
    on_request: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    firsts: bool = False
    by_days: tuple[str, ...] = ()


def ordered(record: type[Any]) -> tuple[str, ...]:
    """Return a dataclass's field names as readers see them: what it is of, its own, then what else it inherits."""
    own = inspect.get_annotations(record)
    kinds = [base for base in record.__mro__ if Label in base.__bases__]
    labels = {name for base in kinds for name in inspect.get_annotations(base)}

    def place(name: str) -> int:
        return 0 if name in labels else 1 if name in own else 2

    return tuple(sorted((entry.name for entry in fields(record)), key=place))


def described(record: type[Any]) -> dict[str, tuple[Any, str]]:
    """Return the fields of a declared dataclass as `ordered`: type and description."""
    hints = typing.get_type_hints(record, include_extras=True)
    found = {}
    for name in ordered(record):
        hint = hints[name]
        if not hasattr(hint, "__metadata__"):
            raise TypeError(f"{record.__qualname__}.{name} has no description")
        found[name] = (hint.__origin__, str(hint.__metadata__[0]))
    return found
