"""What a report declares about itself; everything else (command, HTTP, table, documentation) follows from it.

A report is a folder `reports/<name>/` with `.sql` files, one statement each, and an `__init__.py` whose `REPORT` is a
`Report`. Each SQL file is a query of that name; it reads the relations `{usage:Identifier}`, `{users:Identifier}`
and `{events:Identifier}` (see `headgate.queries.source`) and takes the parameters `since`, `until`, `service`,
`operation` and the report's own. A column called `fingerprint` always holds `headgate.store.fingerprint`'s value.

Fields carry their description as `Annotated[type, "description"]` and their unit in their name (`_ms`, `_hours`,
`_rate` as a share of 1, `_at` as a time). Declaring modules must not postpone their annotations.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any

from headgate.queries.columns import Columns
from headgate.queries.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """What every report can be narrowed to; a report with more of its own derives from this."""

    service: Annotated[str | None, "only this service"] = None
    operation: Annotated[str | None, "only this operation (span or event name)"] = None
    where: Annotated[
        Mapping[str, str], "only uses whose span, log or resource attributes have these values"
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What a reducer may know beside its columns: the effective window, the time of asking, and the parameters."""

    window: Window
    now: datetime
    params: Any


@dataclass(frozen=True, slots=True)
class Reduced:
    """A report's answer: one summary (a frozen dataclass) and rows (of one frozen dataclass)."""

    summary: Any
    rows: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The declaration of a report; `reduce` is pure, and gets the columns of each query by the query's name.

    `tables` names the fields that a terminal shows, in order: of `rows`, and of each list in the summary; JSON and CSV
    have all of them.
    """

    question: str
    params: type[Params]
    summary: type[Any]
    row: type[Any]
    tables: Mapping[str, tuple[str, ...]]
    reduce: Callable[[Mapping[str, Columns], Context], Reduced]


def ordered(record: type[Any]) -> tuple[str, ...]:
    """Return a dataclass's field names as readers see them: its own first, then what it inherits."""
    own = inspect.get_annotations(record)
    names = [entry.name for entry in fields(record)]
    return tuple([n for n in names if n in own] + [n for n in names if n not in own])


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
