"""What is instrumented in this environment, what is missing, and whether data arrives.

Each check is a function of what it looks at and returns findings; `__main__` prints them.
"""

from __future__ import annotations

import logging
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from headgate.instrumentation.settings import OFF, read
from headgate.instrumentation.switch import forbidden
from headgate.instrumentation.versions import installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OK, NOTE, PROBLEM = "ok", "note", "problem"
NAME = "headgate"
_PREFIX = "opentelemetry-instrumentation-"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis; `remedy` is what to do about it, if anything."""

    level: str
    subject: str
    text: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding for JSON."""
        return asdict(self)


def examine(environ: Mapping[str, str], *, send: bool) -> list[Finding]:
    """Return all findings; sends one span called `headgate.doctor` if told to."""
    found = [versions(), permission(environ), library_mode(environ)]
    found += distribution(
        _names("opentelemetry_distro"), _names("opentelemetry_configurator"), environ
    )
    found += instrumentations(_known(), _installed(), environ)
    found += configured(environ)
    if send and not forbidden(environ):
        found.append(delivery(environ))
    return found


def versions() -> Finding:
    """Say what runs here."""
    text = (
        f"headgate-instrumentation {installed('headgate-instrumentation') or '(from source)'}, "
        f"OpenTelemetry SDK {installed('opentelemetry-sdk')}, Python {platform.python_version()}"
    )
    return Finding(OK, "versions", text)


def permission(environ: Mapping[str, str]) -> Finding:
    """Say whether anything may be recorded."""
    if reason := forbidden(environ):
        return Finding(
            PROBLEM, "permission", f"nothing is recorded: {reason}", "unset it to record"
        )
    return Finding(OK, "permission", "neither DO_NOT_TRACK nor OTEL_SDK_DISABLED is set")


def library_mode(environ: Mapping[str, str]) -> Finding:
    """Say what `@track` does without `opentelemetry-instrument`."""
    settings = read(environ)
    if settings.mode == OFF:
        text = "off (HEADGATE_TELEMETRY); on under opentelemetry-instrument unless it says off"
    else:
        text = f"{settings.mode} (HEADGATE_TELEMETRY)"
    return Finding(OK, "library telemetry", text)


def distribution(
    distros: Sequence[str], configurators: Sequence[str], environ: Mapping[str, str]
) -> list[Finding]:
    """Say whether `opentelemetry-instrument` will use this package; names are in loading order."""
    found = []
    for variable, names in (
        ("OTEL_PYTHON_DISTRO", distros),
        ("OTEL_PYTHON_CONFIGURATOR", configurators),
    ):
        chosen = environ.get(variable) or next(iter(names), "")
        subject = variable.rpartition("_")[2].lower()
        if NAME not in names:
            found.append(
                Finding(
                    PROBLEM,
                    subject,
                    "this package is not installed as a distribution",
                    "pip install it again",
                )
            )
        elif chosen != NAME:
            found.append(
                Finding(
                    PROBLEM,
                    subject,
                    f"opentelemetry-instrument will use {chosen!r}",
                    f"set {variable}={NAME}",
                )
            )
        elif len(names) > 1 and variable not in environ:
            found.append(
                Finding(
                    NOTE,
                    subject,
                    f"several are installed: {', '.join(names)}",
                    f"set {variable}={NAME} to be sure",
                )
            )
        else:
            found.append(Finding(OK, subject, NAME))
    return found


def instrumentations(
    known: Iterable[tuple[str, str]], present: Mapping[str, str], environ: Mapping[str, str]
) -> list[Finding]:
    """Compare the libraries installed with their instrumentations.

    `known` pairs a library with its instrumentation; `present` maps installed distributions to
    versions.
    """
    disabled = {
        name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    }
    active, missing = [], []
    for library, instrumentation in known:
        if library not in present:
            continue
        short = instrumentation.removeprefix(_PREFIX)
        if instrumentation in present:
            state = " (disabled)" if short in disabled or "*" in disabled else ""
            active.append(f"{library} {present[library]}{state}")
        elif library in _APPLICATION:
            missing.append(instrumentation)
    found = [Finding(OK, "instrumented", ", ".join(sorted(set(active))) or "no library")]
    if missing:
        names = " ".join(sorted(set(missing)))
        found.append(
            Finding(NOTE, "not instrumented", names.replace(_PREFIX, ""), f"pip install {names}")
        )
    return found


def configured(environ: Mapping[str, str]) -> list[Finding]:
    """Show the settings that were made; a value may be a secret, so headers are not shown."""
    names = sorted(name for name in environ if name.startswith(("OTEL_", "HEADGATE_")))
    shown = [f"{name}={'***' if 'HEADERS' in name else environ[name]}" for name in names]
    return [Finding(OK, "settings", ", ".join(shown) or "defaults only")]


def delivery(environ: Mapping[str, str]) -> Finding:
    """Send one span the way the application would, and report the answer."""
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
    )
    name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    points = [
        point
        for point in metadata.entry_points(group="opentelemetry_traces_exporter")
        if point.name == name
    ]
    if not points:
        return Finding(
            PROBLEM,
            "delivery",
            f"no exporter for {protocol}",
            "pip install headgate-instrumentation[grpc]",
        )
    exporter: Any = points[0].load()(timeout=5)
    where = getattr(exporter, "_endpoint", "the collector")
    complaints = _Complaints()
    logging.getLogger("opentelemetry.exporter").addHandler(complaints)
    try:
        result = exporter.export([_span()])
    finally:
        logging.getLogger("opentelemetry.exporter").removeHandler(complaints)
        exporter.shutdown()
    if result.name == "SUCCESS":
        return Finding(OK, "delivery", f"one span was accepted by {where}")
    reason = complaints.first or "no answer"
    remedy = (
        "start the collector (`headgate serve`) or set OTEL_EXPORTER_OTLP_ENDPOINT to where it is"
    )
    return Finding(PROBLEM, "delivery", f"{where} did not accept a span: {reason}", remedy)


class _Complaints(logging.Handler):
    """Remembers the first thing that an exporter logged, which names the cause."""

    first = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()[:300]


def _span() -> object:
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    tracers = TracerProvider(
        resource=Resource.create({"service.name": "headgate-doctor"}), shutdown_on_exit=False
    )
    # With a parent, which is nowhere, it enters no service: no report takes a check for a use.
    ids = tracers.id_generator
    caller = trace.SpanContext(
        ids.generate_trace_id(), ids.generate_span_id(), True, trace.TraceFlags(1)
    )
    context = trace.set_span_in_context(trace.NonRecordingSpan(caller))
    span = tracers.get_tracer("headgate.doctor").start_span("headgate.doctor", context)
    span.end()
    return span


def _names(group: str) -> list[str]:
    return [point.name for point in metadata.entry_points(group=group)]


def _installed() -> dict[str, str]:
    found = {}
    for each in metadata.distributions():
        name = each.metadata["Name"]
        if name:
            found[name.lower().replace("_", "-")] = each.version
    return found


def _known() -> list[tuple[str, str]]:
    from opentelemetry.instrumentation import bootstrap_gen

    pairs = []
    for each in bootstrap_gen.libraries:
        library = each["library"].split()[0].lower()
        pairs.append((library, each["instrumentation"].partition("==")[0].partition(">")[0]))
    return pairs


_APPLICATION = frozenset(
    {
        *("aiohttp", "django", "falcon", "fastapi", "flask", "pyramid", "starlette", "tornado"),
        *("boto3", "grpcio", "httpx", "requests"),
        *("asyncpg", "psycopg", "psycopg2", "psycopg2-binary", "pymongo", "pymysql", "sqlalchemy"),
        *("aio-pika", "aiokafka", "celery", "confluent-kafka", "kafka-python", "pika", "redis"),
    }
)
"""Libraries whose absence from the traces an application's owner would notice."""
