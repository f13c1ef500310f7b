"""What the settings say about deriving rows from requests: part of what makes a segment's rows, with its bytes."""

from __future__ import annotations

from dataclasses import dataclass

PER_HUNDRED = "/100"
"""At the end of a dimension's attribute: its integer in hundreds, so that 404 is `4xx`."""

DIMENSIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("project", ("headgate.project", "vcs.repository.name", "service.namespace")),
    ("context_type", ("headgate.context.type",)),
    ("file_type", ("headgate.file.type", "file.extension")),
    ("source", ("headgate.source", "user_agent.name")),
    ("endpoint", ("http.route", "url.template", "rpc.method", "messaging.destination.name")),
    ("http_status_class", ("http.response.status_code/100", "http.status_code/100")),
    ("deployment_environment", ("deployment.environment.name", "deployment.environment")),
    ("service_version", ("service.version",)),
)
"""The dimensions counted unless told otherwise: (name, attributes); OpenTelemetry's names where it has one."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows are derived.

    `dimensions` are (name, attributes): a use's value is that of the first attribute that it or its resource has.
    """

    dimensions: tuple[tuple[str, tuple[str, ...]], ...] = DIMENSIONS
