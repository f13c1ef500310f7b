"""Python's `logging` as OpenTelemetry log records, as the instrumentation `headgate_logging`.

No handler is added to the root logger: with one there, `logging.basicConfig` does nothing, the last
resort is silent and Flask does not log its errors. Records are taken where a logger hands them to
its handlers, so levels and filters are the application's own. Does nothing where OpenTelemetry's
logging instrumentation was asked to do the same (OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION=true).
"""

from __future__ import annotations

import logging
import os
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
        if os.environ.get("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "").lower() != "true":
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


def _call_handlers(wrapped: Any, _logger: Any, args: Any, kwargs: Any) -> Any:
    try:
        record = args[0] if args else kwargs["record"]
        if not record.name.startswith(_OURS) and is_instrumentation_enabled():
            get_logger(record.name).emit(translate(record))
    except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
        problem("a log record", error)
    return wrapped(*args, **kwargs)
