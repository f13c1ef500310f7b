"""The SDK's side of local telemetry: exporters that write batches as OTLP/JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from headgate.instrumentation.files import Lines


class SpanFile(SpanExporter):
    """Writes finished spans to local files."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Run on the batch processor's thread."""
        # The encoder and protobuf's JSON code are needed only once something is written.
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        from headgate.instrumentation.otlp_json import line

        written = self.lines.write(line(encode_spans(spans)), len(spans))
        return SpanExportResult.SUCCESS if written else SpanExportResult.FAILURE


class LogFile(LogRecordExporter):
    """Writes log records and events to local files."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Run on the batch processor's thread."""
        from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs  # as above

        from headgate.instrumentation.otlp_json import line

        written = self.lines.write(line(encode_logs(batch)), len(batch))
        return LogRecordExportResult.SUCCESS if written else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """Do nothing: no file is held open between batches."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002  # the interface's
        """Do nothing: a batch is written when it is exported."""
        return True
