"""The SDK's side of identity: user and session on spans and log records as they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, get_current
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

from headgate.instrumentation.attributes import SESSION_ID, USER_ID
from headgate.instrumentation.identity import HERE, known
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.spans import write

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARK = "_headgate_identity"
_BOTH = 2


# Where a context keeps its span; the key has no public name.
(_SPAN,) = set_span_in_context(INVALID_SPAN, Context())


class SpanIdentity(SpanProcessor):
    """Gives each span its user and session when it starts, unless its creator already did."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Run in the application's thread: must not raise."""
        try:
            context = get_current() if parent_context is None else parent_context
            # Between two requests a processor's caches have seen other work: what counts in here is
            # how many functions are called, so some are written out.
            if not context:
                return
            parent: Any = context.get(_SPAN)
            if parent is not None and parent.is_recording():
                # A plain attribute is the cheapest link, and it lives exactly as long as the span.
                span._headgate_entry = getattr(parent, "_headgate_entry", parent)  # type: ignore[attr-defined]  # noqa: SLF001  # ours, on their object
            found: Any = context.get(HERE)
            if found is None or len(found) < _BOTH:
                found = known(context)
            if found:
                try:
                    inner: Any = span._attributes._dict  # type: ignore[union-attr]  # noqa: SLF001  # see `write`
                except AttributeError:
                    # A later SDK may keep them elsewhere.
                    inner = None
                if inner is None or USER_ID in inner or SESSION_ID in inner:
                    present = span.attributes or {}
                    write(span, {name: found[name] for name in found if name not in present})
                else:
                    inner.update(found)
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem("a span's identity", error)

    # At a span's end nothing is to be done, and a builtin does nothing in half the time of a method.
    on_end = _on_ending = staticmethod(id)  # type: ignore[assignment]  # what it returns is ignored


class LogIdentity(LogRecordProcessor):
    """Gives each log record its user and session, unless its creator already did."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Run in the application's thread: must not raise."""
        try:
            record = log_record.log_record
            found = known(get_current() if record.context is None else record.context)
            present = record.attributes
            if present is None:
                present = record.attributes = {}
            for name, value in found.items():
                if name not in present:
                    present[name] = value  # type: ignore[index]  # the SDK's own mapping is mutable here
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem("a log record's identity", error)

    def shutdown(self) -> None:
        """Do nothing: there is nothing to hold."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002  # the interface's
        """Do nothing: there is nothing to hold."""
        return True


def install(tracers: object, loggers: object) -> None:
    """Add the processors to the SDK's providers, once; providers of another make are left alone."""
    if isinstance(tracers, TracerProvider) and not getattr(tracers, _MARK, False):
        tracers.add_span_processor(SpanIdentity())
        setattr(tracers, _MARK, True)
    if isinstance(loggers, LoggerProvider) and not getattr(loggers, _MARK, False):
        multi = loggers._multi_log_record_processor  # noqa: SLF001  # only the private list can be prepended to
        # Before the exporter's processor, which may hand the record to another thread.
        multi._log_record_processors = (LogIdentity(), *multi._log_record_processors)  # noqa: SLF001
        setattr(loggers, _MARK, True)


def exporters(providers: Iterable[Any]) -> list[object]:
    """Return the SDK's exporters behind `providers`, as far as they can be reached, to end their retries."""
    found: list[object] = []
    for provider in providers:
        spans = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
        logs = getattr(
            getattr(provider, "_multi_log_record_processor", None), "_log_record_processors", ()
        )
        found += [
            getattr(getattr(each, "_batch_processor", None), "_exporter", None)
            for each in (*spans, *logs)
        ]
        readers = getattr(getattr(provider, "_sdk_config", None), "metric_readers", ())
        found += [getattr(reader, "_exporter", None) for reader in readers]
    return [exporter for exporter in found if exporter is not None]
