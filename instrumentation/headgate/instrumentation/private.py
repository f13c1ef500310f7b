"""Set up private telemetry: batches to local files, or to the one address that the user named."""

from __future__ import annotations

from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from headgate.instrumentation.exit import ending
from headgate.instrumentation.file_exporters import LogFile, SpanFile
from headgate.instrumentation.files import Limits, Lines
from headgate.instrumentation.quiet import hush
from headgate.instrumentation.recorder import Private
from headgate.instrumentation.settings import LOCAL, Settings


def private(mode: str, settings: Settings) -> Private:
    """Return a recorder for `local` or for an http(s) address."""
    if not settings.debug:
        hush()
    spans: SpanExporter
    logs: LogRecordExporter
    lines: tuple[Lines, ...] = ()
    if mode == LOCAL:
        limits = Limits.of(settings.max_bytes, settings.max_days)
        lines = tuple(Lines(settings.directory, signal, limits) for signal in ("traces", "logs"))
        spans, logs = SpanFile(lines[0]), LogFile(lines[1])
    else:
        spans, logs = _remote(mode)
    span_batch, log_batch = BatchSpanProcessor(spans), BatchLogRecordProcessor(logs)
    ending.add((span_batch, log_batch), (spans, logs), settings.exit_timeout_s)
    return Private(span_batch, log_batch, lines)


def _remote(address: str) -> tuple[SpanExporter, LogRecordExporter]:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (
        OTLPLogExporter,  # imports requests
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    base = address.rstrip("/")
    return OTLPSpanExporter(endpoint=f"{base}/v1/traces"), OTLPLogExporter(
        endpoint=f"{base}/v1/logs"
    )
