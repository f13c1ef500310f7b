"""`opentelemetry-instrument` with sensible defaults: all signals to the collector by OTLP/HTTP.

The distribution sets defaults in the environment; the configurator builds the SDK from it (or from
OTEL_CONFIG_FILE) and adds identity, the bounded end of the process and the silence. DO_NOT_TRACK=1
turns the SDK off.
"""

from __future__ import annotations

import os
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.dependencies import DependencyConflictError
from opentelemetry.instrumentation.distro import (  # type: ignore[attr-defined]  # untyped there
    BaseDistro,
)
from opentelemetry.metrics import get_meter_provider
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk.trace import TracerProvider

from headgate.instrumentation.exit import ending
from headgate.instrumentation.processors import exporters, install
from headgate.instrumentation.propagator import ensure
from headgate.instrumentation.quiet import hush, hush_loader, problem
from headgate.instrumentation.servers import deliver_at_shutdown
from headgate.instrumentation.settings import OTEL, read
from headgate.instrumentation.switch import forbidden, switch

DEFAULTS = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_PROPAGATORS": "tracecontext,baggage,headgate",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process,host,os,headgate",
    "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "false",
    "OTEL_BSP_SCHEDULE_DELAY": "1000",
    "OTEL_BSP_MAX_QUEUE_SIZE": "8192",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "8192",
}
"""What is set unless it is set already; otel-config/sdk.env says why."""


class Distro(BaseDistro):  # type: ignore[misc]  # as above
    """The OpenTelemetry distribution `headgate`."""

    def _configure(self, **_: Any) -> None:
        if forbidden():
            os.environ["OTEL_SDK_DISABLED"] = "true"
        hush_loader()
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Activate one instrumentation; one that is broken must not take the others with it."""
        try:
            instrumentor = entry_point.load()()
            if entry_point.name == "fastapi" and not read().asgi_spans:
                # Two thirds of its spans tell nothing about use and cost as much as the others.
                kwargs.setdefault("exclude_spans", ["receive", "send"])
            if not getattr(instrumentor, "is_instrumented_by_opentelemetry", False):
                instrumentor.instrument(**kwargs)
        except (ImportError, DependencyConflictError):
            # The loader knows what to do about these.
            raise
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem(f"instrumenting {entry_point.name}", error)


class Configurator(_OTelSDKConfigurator):
    """Builds the SDK, once a process, and turns `@track` and `event` on."""

    def _configure(self, **kwargs: Any) -> None:
        if forbidden():
            return
        if isinstance(trace.get_tracer_provider(), TracerProvider):
            # Configured before, by us or by the application: a second set-up would send everything
            # twice.
            return
        settings = read()
        if not settings.debug:
            hush()
        if os.environ.get("OTEL_CONFIG_FILE"):
            # The file says everything, and the SDK warns of whatever else it is told.
            kwargs = {}
        super()._configure(**kwargs)  # type: ignore[no-untyped-call]  # untyped there
        providers = (trace.get_tracer_provider(), get_logger_provider(), get_meter_provider())
        install(providers[0], providers[1])
        ending.add(
            [
                each
                for each in providers
                if hasattr(each, "shutdown") and hasattr(each, "force_flush")
            ],
            exporters(providers),
            settings.exit_timeout_s,
        )
        deliver_at_shutdown()
        ensure(os.environ.get("OTEL_PROPAGATORS", ""))
        if settings.inherit_context:
            from headgate.instrumentation.boundaries import inherit

            inherit(os.environ)
        if not settings.asked:
            switch.turn(OTEL, "the program runs under opentelemetry-instrument")
