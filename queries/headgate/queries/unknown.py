"""Names that were asked for and that nothing has: said, with those that were meant perhaps, instead of no rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.queries.errors import ReportError, guess
from headgate.queries.window import said, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from zoneinfo import ZoneInfo

    from headgate.queries.columns import Columns
    from headgate.queries.declaration import Params
    from headgate.queries.window import Window


def refuse_unknown(params: Params, window: Window, known: Columns) -> None:
    """Raise ReportError when a name was asked for that nothing in the window has, though other names were used.

    `known` has the columns of `sources/known.sql`.
    """
    zone = zone_of(params.timezone)
    pairs = list(zip(known["service"].tolist(), known["operation"].tolist(), strict=True))
    when = f"between {said(window.since, zone)} and {said(window.until, zone)}"
    services = {service for service, _ in pairs}
    if params.service and services and params.service not in services:
        raise ReportError(
            f"no service {params.service!r} was used {when}{guess(params.service, services)}"
        )
    operations = {o for s, o in pairs if not params.service or s == params.service}
    if params.operation and operations and params.operation not in operations:
        of = f" of {params.service}" if params.service else ""
        raise ReportError(
            f"no operation {params.operation!r}{of} was used {when}"
            f"{guess(params.operation, operations)}"
        )


def nothing_has_it(columns: Mapping[str, Columns]) -> bool:
    """Return whether uses were counted by an attribute that none of them has."""
    told = (part for part in columns.values() if part.rows and "operation" in part)
    found = [part.chosen(part["whole"] == 0) if "whole" in part else part for part in told]
    return any(part.rows for part in found) and not any(
        (part["operation"] != "").any() for part in found
    )


def unknown_attribute(by: str, window: Window, names: Iterable[str], zone: ZoneInfo) -> str:
    """Say that no use in the window has an attribute, and which of `names` may have been meant."""
    when = f"between {said(window.since, zone)} and {said(window.until, zone)}"
    return f"no use {when} has a value of {by!r}{guess(by, names)}"
