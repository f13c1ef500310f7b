"""Where tracked calls and events go: the application's own OpenTelemetry, or telemetry of our own.

Private telemetry has its own providers and its own idea of the current span, under its own context
key: a library's telemetry must not become the parent of the application's spans, nor follow the
application's sampling or exporters. Each library is its own service there, so that nothing about
the program that uses it needs to be known.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace
from opentelemetry._logs import Logger, LoggerProvider, get_logger_provider
from opentelemetry.context import Context, create_key, set_value
from opentelemetry.trace import Span, Tracer, TracerProvider, set_span_in_context

from headgate.instrumentation.identity import Identity, current, local
from headgate.instrumentation.settings import OTEL, Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

SPAN_KEY = create_key("headgate-span")


class Recorder(Protocol):
    """What a tracked call and an event need."""

    def tracer(self, scope: str, version: str) -> Tracer:
        """Return a tracer that speaks for the library `scope`."""
        ...

    def logger(self, scope: str, version: str) -> Logger:
        """Return a logger that speaks for the library `scope`."""
        ...

    def parent(self, context: Context) -> Context:
        """Return the context in which a new span finds its parent."""
        ...

    def around(self, span: Span, context: Context) -> Context:
        """Return the context inside `span`."""
        ...

    def identity(self, context: Context) -> Identity:
        """Who acts, as far as this recorder may know."""
        ...

    def flush(self) -> bool:
        """Deliver what is queued; False if that failed."""
        ...

    def close(self) -> None:
        """Deliver what is queued and stop."""
        ...

    @property
    def dropped(self) -> int:
        """Items lost so far, as far as it is known."""
        ...


class Host:
    """Records through the application's providers."""

    dropped = 0

    def __init__(self, tracers: TracerProvider, loggers: LoggerProvider) -> None:
        self._tracers = tracers
        self._loggers = loggers

    def tracer(self, scope: str, version: str) -> Tracer:
        """Return the application's tracer."""
        return self._tracers.get_tracer(scope, version)

    def logger(self, scope: str, version: str) -> Logger:
        """Return the application's logger."""
        return self._loggers.get_logger(scope, version)

    def parent(self, context: Context) -> Context:
        """Return the application's current span is the parent."""
        return context

    def around(self, span: Span, context: Context) -> Context:
        """Return a tracked call becomes the current span."""
        return set_span_in_context(span, context)

    def identity(self, context: Context) -> Identity:
        """Whoever the application knows, also through baggage."""
        return current(context)

    def flush(self) -> bool:
        """Flush the application's providers, as far as they can."""
        return all([_flush(self._tracers), _flush(self._loggers)])

    def close(self) -> None:
        """Not ours to close."""


class Private:
    """Records through processors of our own; see `private`."""

    def __init__(self, spans: object, logs: object, lines: tuple[object, ...] = ()) -> None:
        self._spans = spans
        self._logs = logs
        self._lines = lines
        self._session = uuid.uuid4().hex
        # One provider a library, for ever: each registers itself with the interpreter.
        self._tracers: dict[tuple[str, str], Tracer] = {}
        self._loggers: dict[tuple[str, str], Logger] = {}

    @property
    def dropped(self) -> int:
        """Items that could not be written."""
        return sum(getattr(line, "dropped", 0) for line in self._lines)

    def tracer(self, scope: str, version: str) -> Tracer:
        """Return a tracer of a provider that has the library as its service."""
        if found := self._tracers.get((scope, version)):
            return found
        from opentelemetry.sdk.trace import TracerProvider  # only when on
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=_library(scope, version), shutdown_on_exit=False
        )
        provider.add_span_processor(self._spans)  # type: ignore[arg-type]  # a span processor, by construction
        return self._tracers.setdefault((scope, version), provider.get_tracer(scope, version))

    def logger(self, scope: str, version: str) -> Logger:
        """Return a logger of a provider that has the library as its service."""
        if found := self._loggers.get((scope, version)):
            return found
        from opentelemetry.sdk._logs import LoggerProvider  # only when telemetry is on

        provider = LoggerProvider(resource=_library(scope, version), shutdown_on_exit=False)
        provider.add_log_record_processor(self._logs)  # type: ignore[arg-type]  # a log processor, by construction
        return self._loggers.setdefault((scope, version), provider.get_logger(scope, version))

    def parent(self, context: Context) -> Context:
        """Only a tracked call can be the parent of another."""
        span = context.get(SPAN_KEY)
        return set_span_in_context(span if isinstance(span, Span) else trace.INVALID_SPAN, context)

    def around(self, span: Span, context: Context) -> Context:
        """Return the application's current span stays what it was."""
        return set_value(SPAN_KEY, span, context)

    def identity(self, context: Context) -> Identity:
        """Only what was set in this process; the run itself is the session if nobody opened one."""
        user, session = local(context)
        return Identity(user, session or self._session)

    def flush(self) -> bool:
        """Write or send what is queued."""
        return all([_flush(self._spans), _flush(self._logs)])

    def close(self) -> None:
        """Write or send what is queued, and stop."""
        for processor in (self._spans, self._logs):
            processor.shutdown()  # type: ignore[attr-defined]  # both kinds of processor have it


def build(mode: str, settings: Settings) -> Recorder:
    """Return the recorder for `mode`, which is not off."""
    if mode == OTEL:
        from headgate.instrumentation.processors import install  # imports the SDK

        tracers, loggers = trace.get_tracer_provider(), get_logger_provider()
        install(tracers, loggers)
        return Host(tracers, loggers)
    from headgate.instrumentation.private import private  # imports the SDK

    return private(mode, settings)


def _library(scope: str, version: str) -> Resource:
    from headgate.instrumentation.resource import library  # imports the SDK

    return library(scope, version)


def _flush(target: object) -> bool:
    flush = getattr(target, "force_flush", None)
    return bool(flush()) if callable(flush) else True
