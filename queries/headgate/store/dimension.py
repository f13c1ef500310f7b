"""Dimensions: names for attributes by which uses are counted. Collector and reports follow the same definitions.

The definitions in force are kept in the database, since a report that finds a dimension's values in raw rows may be
asked far from the collector's settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.store.document import document, save

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from headgate.store.client import Store

Dimensions = tuple[tuple[str, tuple[str, ...]], ...]

PER_HUNDRED = "/100"
"""At the end of a dimension's attribute: its integer in hundreds, so that 404 is `4xx`."""

DIMENSIONS: Dimensions = (
    ("project", ("headgate.project", "vcs.repository.name", "service.namespace")),
    ("agent", ("headgate.agent", "gen_ai.agent.name")),
    ("context_type", ("headgate.context.type",)),
    ("file_type", ("headgate.file.type", "file.extension")),
    ("source", ("headgate.source", "user_agent.name")),
    ("endpoint", ("http.route", "url.template", "rpc.method", "messaging.destination.name")),
    ("http_status_class", ("http.response.status_code/100", "http.status_code/100")),
    ("deployment_environment", ("deployment.environment.name", "deployment.environment")),
    ("service_version", ("service.version",)),
)
"""The dimensions counted unless told otherwise: (name, attributes); OpenTelemetry's names where it has one."""

_KIND, _NAME = "dimensions", "in force"


def read_dimensions(store: Store, tables: Collection[str]) -> Dimensions:
    """Return the definitions in force, the defaults where the database has none; `tables` are those there are."""
    found = document(store, _KIND, _NAME) if "document" in tables else None
    if found is None:
        return DIMENSIONS
    return tuple((name, tuple(keys)) for name, keys in found.body["dimensions"])


def write_dimensions(store: Store, dimensions: Dimensions, now: datetime) -> None:
    """Put definitions in force from `now` on (aware), unless they are."""
    if read_dimensions(store, {"document"}) != dimensions:
        save(store, _KIND, _NAME, {"dimensions": dimensions}, by="settings", now=now)


def attributes_of(name: str, dimensions: Dimensions, *, counted: bool) -> list[str]:
    """Return the attributes whose first value is what a name asks for: a dimension's, or those that are called so.

    `counted` says that the dimension has a rollup beside which the values are to stand: then none but its own.
    """
    own = dict(dimensions).get(name, ())
    if counted and own:
        return list(own)
    dotted = name.replace("_", ".")
    return [*own, name, f"headgate.{dotted}", dotted, f"{dotted}.name"]
