"""Headgate's own OpenTelemetry: metrics of its vitals and a span a segment, sent where the settings say.

Off unless asked for. Sent over OTLP/HTTP by the SDK, whose own failures never reach the collector: they are logged.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headgate.cli.address import split_address
from headgate.cli.settings import ConfigurationError
from headgate.collector.vitals import FATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.metrics import CallbackOptions, Observation

    from headgate.cli.settings import ServeSettings
    from headgate.collector.segment import StoredSegment
    from headgate.collector.vitals import Vitals

_EVERY_MS = 60_000
_GAUGES = {
    "headgate.journal.size": ("backlog_bytes", "By", "acknowledged and not yet released"),
    "headgate.segments.waiting": ("waiting_segments", "{segment}", "sealed and not yet stored"),
    "headgate.memory.usage": ("memory_bytes", "By", "requests in memory"),
    "headgate.memory.limit": ("memory_limit_bytes", "By", "most that may be"),
    "process.memory.usage": ("resident_bytes", "By", "resident memory of the process"),
}
_COUNTERS = {
    "headgate.requests.refused": ("refused", "{request}", "told to come again"),
    "headgate.requests.unauthorized": ("unauthorized", "{request}", "without a valid token"),
}
_log = logging.getLogger(__name__)


def begin_telemetry(settings: ServeSettings, look: Callable[[], Vitals]) -> OwnTelemetry | None:
    """Begin to send, if the settings say where to; raises ConfigurationError for ourselves, or without the SDK.

    A segment of our own spans would make another span, for ever.
    """
    if settings.telemetry is None:
        return None
    target = urlsplit(settings.telemetry)
    if target.scheme not in {"http", "https"} or not target.hostname:
        raise ConfigurationError(
            f"telemetry {settings.telemetry!r} is no address; write http://127.0.0.1:4318, say"
        )
    host, port = split_address(settings.otlp_http)
    if target.port == port and target.hostname in {host, "localhost"}:
        raise ConfigurationError(
            f"telemetry {settings.telemetry} is this collector itself; name another one"
        )
    return OwnTelemetry(settings.telemetry, look)


class OwnTelemetry:
    """Sends what `look` sees, and what `stored` is told, to an OTLP/HTTP endpoint until `close`."""

    def __init__(self, endpoint: str, look: Callable[[], Vitals]) -> None:
        """Begin; raises ConfigurationError when the SDK is not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise ConfigurationError(
                f"telemetry needs {error.name}, which is not installed: pip install 'headgate[telemetry]'"
            ) from error
        base = endpoint.rstrip("/")
        resource = Resource.create(
            {"service.name": "headgate", "service.version": version("headgate")}
        )
        self._look = look
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{base}/v1/metrics"), export_interval_millis=_EVERY_MS
        )
        self._meters = MeterProvider([reader], resource)
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces"))
        )
        self._tracer = self._traces.get_tracer("headgate")
        self._declare(self._meters.get_meter("headgate"))

    def stored(self, segment: StoredSegment) -> None:
        """Make a span of a segment: from the begin of its processing until its rows are in the store."""
        attributes: dict[str, Any] = {
            "headgate.segment.id": segment.id,
            "headgate.segment.size": segment.size,
            "db.system.name": "clickhouse",
            **{f"headgate.items.{name}": count for name, count in segment.items.items()},
        }
        span = self._tracer.start_span(
            "store segment", start_time=segment.began_ns, attributes=attributes
        )
        span.end(segment.ended_ns)

    def close(self) -> None:
        """Send what is left, for a second at most."""
        try:
            self._traces.force_flush(1000)
            self._meters.shutdown(1000)
            self._traces.shutdown()
        except Exception as error:  # noqa: BLE001  # a stop must not fail for it
            _log.warning("the last of our own telemetry could not be sent: %s", error)

    def _declare(self, meter: Any) -> None:
        from opentelemetry.metrics import Observation

        def items(_: CallbackOptions) -> Iterator[Observation]:
            found = self._look()
            for fate in FATES:
                for signal, count in found.items[fate].items():
                    yield Observation(count, {"headgate.signal": signal, "headgate.fate": fate})

        meter.create_observable_counter(
            "headgate.items", [items], unit="{item}", description="by what became of them"
        )
        for kinds, create in (
            (_GAUGES, meter.create_observable_gauge),
            (_COUNTERS, meter.create_observable_counter),
        ):
            for name, (field, unit, meaning) in kinds.items():

                def number(_: CallbackOptions, field: str = field) -> Iterator[Observation]:
                    yield Observation(getattr(self._look(), field))

                create(name, [number], unit=unit, description=meaning)
