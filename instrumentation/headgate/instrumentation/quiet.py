"""At most one warning per process, whatever goes wrong in here or in the exporters.

A collector that is down would otherwise write a line into somebody's terminal every few seconds.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("headgate.instrumentation")

NOISY = (
    "opentelemetry.attributes",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
    "opentelemetry.sdk.trace",
)
"""Loggers of the SDK that speak once per failed export or dropped item."""


class Once(logging.Filter):
    """Turns the noisy loggers' first warning into one sentence of ours and drops the others."""

    def __init__(self) -> None:
        super().__init__()
        self.said = False

    def say(self, sentence: str) -> None:
        """Warn with `sentence` if nothing has been said yet; otherwise it is a debug message."""
        level = logging.DEBUG if self.said else logging.WARNING
        self.said = True
        logger.log(level, sentence)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what is below a warning."""
        if record.levelno < logging.WARNING:
            return True
        self.say(
            "Telemetry is not fully delivered; the application is not affected. Run `python -m "
            "headgate.instrumentation doctor` to find out why; HEADGATE_DEBUG=1 shows every "
            f"message. First problem: {_text(record)}"
        )
        return False


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()[:300]
    except (TypeError, ValueError):
        return str(record.msg)[:300]


once = Once()


def problem(where: str, error: BaseException) -> None:
    """Note a failure of our own: the first as a warning, later ones as debug messages."""
    once.say(
        f"Telemetry failed in {where} ({type(error).__name__}: {str(error)[:200]}); "
        "the application is not affected."
    )


def hush_loader() -> None:
    """Say nothing about other distributions that are installed and not used."""
    loader = logging.getLogger("opentelemetry.instrumentation.auto_instrumentation._load")
    loader.addFilter(
        lambda record: not str(record.msg).startswith("Configuration of %s not loaded")
    )


def hush() -> None:
    """Put the filter on the SDK's noisy loggers; harmless when repeated."""
    for name in NOISY:
        noisy = logging.getLogger(name)
        if once not in noisy.filters:
            noisy.addFilter(once)
