"""The three OpenTelemetry signals that the collector receives."""

from __future__ import annotations

from enum import StrEnum


class Signal(StrEnum):
    """A signal, named as in the paths of OTLP/HTTP (`/v1/traces`, ...)."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"
