"""Python's `logging` as OpenTelemetry log records, as the instrumentation `headgate_logging`.

No handler is added to the root logger: with one there, `logging.basicConfig` does nothing, the last
resort is silent and Flask does not log its errors. Records are taken where a logger hands them to
its handlers, so levels and filters are the application's own. A record that a handler of
OpenTelemetry's will send (its logging instrumentation's, the SDK's, or one that the application
added) is left to that handler.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry._logs import LogRecord, get_logger
from opentelemetry.context import get_current
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]  # untyped there
    BaseInstrumentor,
)
from opentelemetry.instrumentation.log_utils import std_to_otel
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, unwrap

from headgate.instrumentation import attributes as names
from headgate.instrumentation.encodable import encodable
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.redact import attribute

if TYPE_CHECKING:
    from collections.abc import Collection

    from opentelemetry.util.types import AnyValue

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OURS = ("opentelemetry", "headgate.instrumentation")
_BODY = 16384


class LoggingInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # as above
    """Sends what is logged to the logger provider, besides wherever the application sends it."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing but the standard library."""
        return ()

    def _instrument(self, **_: Any) -> None:
        # Another copy of this module may have been here, if the package was imported again.
        before = getattr(logging.Logger.callHandlers, "_self_wrapper", None)
        if getattr(before, "__module__", "") != __name__:
            wrapt.wrap_function_wrapper("logging", "Logger.callHandlers", _call_handlers)

    def _uninstrument(self, **_: Any) -> None:
        unwrap(logging.Logger, "callHandlers")


def translate(record: logging.LogRecord) -> LogRecord:
    """Return the OpenTelemetry form of a record of `logging`."""
    found: dict[str, AnyValue] = {
        key: attribute(value)
        for key, value in vars(record).items()
        if key not in _STANDARD and value is not None
    }
    found["code.file.path"] = record.pathname
    found[names.CODE_FUNCTION_NAME] = record.funcName
    found["code.line.number"] = record.lineno
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        found[names.EXCEPTION_TYPE] = type(error).__qualname__
        found[names.EXCEPTION_MESSAGE] = encodable(str(error)[:1024])
        found[names.EXCEPTION_STACKTRACE] = encodable(
            "".join(traceback.format_exception(error))[:16384]
        )
    return LogRecord(
        timestamp=int(record.created * 1e9),
        observed_timestamp=time.time_ns(),
        context=get_current(),
        severity_number=std_to_otel(record.levelno),
        severity_text={"WARNING": "WARN", "CRITICAL": "FATAL"}.get(
            record.levelname, record.levelname
        ),
        body=encodable(record.getMessage()[:_BODY]),
        attributes=found,
    )


def sent_otherwise(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Whether a handler of OpenTelemetry's on `logger` or above it takes the record."""
    place: logging.Logger | None = logger
    while place is not None:
        for handler in place.handlers:
            if record.levelno >= handler.level and _sends(handler):
                return True
        place = place.parent if place.propagate else None
    return False


def _sends(handler: logging.Handler) -> bool:
    # By name: there are two such classes, one deprecated and one in a package that may be absent.
    return any(
        each.__name__ == "LoggingHandler" and each.__module__.startswith("opentelemetry.")
        for each in type(handler).__mro__
    )


def _call_handlers(wrapped: Any, logger: Any, args: Any, kwargs: Any) -> Any:
    try:
        record = args[0] if args else kwargs["record"]
        if (
            not record.name.startswith(_OURS)
            and is_instrumentation_enabled()
            and not sent_otherwise(logger, record)
        ):
            get_logger(record.name).emit(translate(record))
    except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
        problem("a log record", error)
    return wrapped(*args, **kwargs)
