"""A report's parameters: from what was given, also as text, and as those of a statement."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from headgate.queries.declaration import Params
from headgate.queries.errors import ReportError, choices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.queries.catalog import Entry

P = TypeVar("P", bound=Params)


def own(params: Params) -> dict[str, Any]:
    """Return the parameters that the report alone has; what is not given is empty text."""
    common = {field.name for field in fields(Params)}
    own = {
        field.name: getattr(params, field.name)
        for field in fields(params)
        if field.name not in common
    }
    return {name: "" if value is None else value for name, value in own.items()}


def extended(record: type[P], params: Params, **more: Any) -> P:
    """Return parameters as a record that has those of theirs, and `more`: what a report asks its statements with."""
    return record(**{field.name: getattr(params, field.name) for field in fields(params)}, **more)


def params_of(report: Entry, given: Mapping[str, Any]) -> Params:
    """Return what was given as the report's own record; raises ReportError for what is unknown or not possible."""
    known = [field.name for field in fields(report.report.params)]
    for name in given:
        if name not in known:
            raise ReportError(
                f"the report {report.name!r} has no parameter {name!r}; it has: {choices(name, known)}"
            )
    try:
        return TypeAdapter(report.report.params).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"][0].lower() + first["msg"][1:]
        raise ReportError(f"{place} {first['input']!r} is not possible: {reason}") from error
