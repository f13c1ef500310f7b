"""What this package writes and reads, as the reference documents it: attributes and settings.

Apart from the names themselves, because importing `@track` must cost next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from headgate.instrumentation.attributes import (
    ARRAY_DTYPE,
    ARRAY_SHAPE,
    ARRAY_SIZE,
    CANCELLED,
    CLASS,
    CODE_FUNCTION_NAME,
    CONTAINER_ID,
    CONTEXT_TYPE,
    DEPRECATED,
    ERROR_TYPE,
    EVENT_FEATURE,
    EVENT_ID,
    EVENT_NPS,
    EVENT_TYPE,
    EVENT_VALUE,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    EXPERIMENT,
    FEATURE_CONTEXT_ID,
    FEATURE_KEY,
    FEATURE_PROVIDER,
    FEATURE_REASON,
    FEATURE_VALUE,
    FEATURE_VARIANT,
    MEMORY_GROWTH,
    MEMORY_PEAK,
    NPS_COMMENT,
    NPS_SCORE,
    PARAMETER_PREFIX,
    QUALITY_GATES_PASSED,
    QUALITY_SCORE,
    REVISION,
    SERVICE_NAME,
    SERVICE_VERSION,
    SESSION_ID,
    SESSION_PREVIOUS_ID,
    TRACK,
    USER_ID,
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute as the reference documents it.

    `column` is what the collector derives from it, if anything.
    """

    name: str
    type: str
    on: str
    meaning: str
    column: str = ""


ATTRIBUTES = (
    Attribute(
        USER_ID, "string", "spans, logs, events", "who acted; at most 256 characters", "user"
    ),
    Attribute(
        SESSION_ID, "string", "spans, logs, events", "the visit or run it belongs to", "session"
    ),
    Attribute(SESSION_PREVIOUS_ID, "string", "session.start", "the enclosing session, if any"),
    Attribute(
        TRACK,
        "bool",
        "tracked calls",
        "always true: the span is a use even if it has a parent",
        "entry",
    ),
    Attribute(
        CODE_FUNCTION_NAME, "string", "tracked calls", "the function, when `name=` renamed the span"
    ),
    Attribute(CLASS, "string", "tracked calls", "class of the object whose method was called"),
    Attribute(
        PARAMETER_PREFIX + "<name>",
        "string, int, double, bool",
        "tracked calls",
        "an allow-listed parameter, redacted and at most 128 characters",
    ),
    Attribute(ARRAY_SHAPE, "string[]", "tracked calls", "shapes of array arguments, as `100x3`"),
    Attribute(ARRAY_DTYPE, "string[]", "tracked calls", "element types of array arguments"),
    Attribute(ARRAY_SIZE, "int", "tracked calls", "elements in all array arguments together"),
    Attribute(
        MEMORY_GROWTH, "int (bytes)", "tracked calls", "resident memory after the call minus before"
    ),
    Attribute(
        MEMORY_PEAK,
        "int (bytes)",
        "tracked calls",
        "the process's peak resident memory, when this call raised it",
    ),
    Attribute(
        CONTEXT_TYPE, "string", "uses, set by the application", "the kind of work it was done for"
    ),
    Attribute(
        DEPRECATED, "bool", "uses, set by the application", "what was called is to be removed"
    ),
    Attribute(
        QUALITY_SCORE, "double", "uses, set by the application", "how good the result is, 0 to 1"
    ),
    Attribute(
        QUALITY_GATES_PASSED,
        "bool",
        "uses, set by the application",
        "whether the result passed its quality gates",
    ),
    Attribute(
        CANCELLED,
        "bool",
        "tracked calls",
        "the call was cancelled or abandoned, which is not an error",
    ),
    Attribute(
        ERROR_TYPE,
        "string",
        "tracked calls",
        "class of the exception that left the call",
        "error type",
    ),
    Attribute(EXCEPTION_TYPE, "string", "exception event", "as error.type", "error type"),
    Attribute(
        EXCEPTION_MESSAGE,
        "string",
        "exception event",
        "redacted, at most 1024 characters",
        "error message",
    ),
    Attribute(
        EXCEPTION_STACKTRACE,
        "string",
        "exception event",
        "frames without source lines, values or home directories",
        "error fingerprint",
    ),
    Attribute(EVENT_ID, "string", "events", "128 random bits, the value that `event` returns"),
    Attribute(
        EVENT_VALUE, "double", "events", "the number to sum: revenue, score, amount", "value"
    ),
    Attribute(
        EVENT_TYPE,
        "string",
        "events of AnalyticsManager",
        "PAGE_VIEW, CLICK, CONVERSION or another kind",
    ),
    Attribute(FEATURE_KEY, "string", EVENT_FEATURE, "the feature, flag or experiment"),
    Attribute(FEATURE_VARIANT, "string", EVENT_FEATURE, "the variant served"),
    Attribute(FEATURE_VALUE, "any", EVENT_FEATURE, "the flag's value, if given"),
    Attribute(FEATURE_REASON, "string", EVENT_FEATURE, "`split` for an experiment"),
    Attribute(FEATURE_PROVIDER, "string", EVENT_FEATURE, "`headgate` for an experiment"),
    Attribute(
        FEATURE_CONTEXT_ID,
        "string",
        EVENT_FEATURE,
        "the user or session that the assignment hashes",
    ),
    Attribute(EXPERIMENT, "string", EVENT_FEATURE, "present on exposures: the experiment's name"),
    Attribute(NPS_SCORE, "int", EVENT_NPS, "0 to 10; also the event's value"),
    Attribute(NPS_COMMENT, "string", EVENT_NPS, "free text, at most 2000 characters"),
    Attribute(
        SERVICE_NAME,
        "string",
        "resource",
        "guessed from the project or script unless it is configured",
        "service",
    ),
    Attribute(
        SERVICE_VERSION, "string", "resource", "from package metadata, pyproject.toml or git"
    ),
    Attribute(CONTAINER_ID, "string", "resource", "from the control group, in a container"),
    Attribute(
        REVISION,
        "string",
        "resource",
        "the commit checked out in the working directory's repository",
    ),
)
"""What docs/reference/instrumentation.md lists; a name used but not declared fails a test."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable as the reference documents it."""

    name: str
    default: str
    meaning: str


SETTINGS = (
    Setting(
        "DO_NOT_TRACK",
        "",
        "`1` turns everything off, whatever else is set: no files, no network, no spans",
    ),
    Setting(
        "HEADGATE_TELEMETRY",
        "off",
        "what `@track` and `event` do outside `opentelemetry-instrument`: `off`; `local` (files on "
        "this machine, never sent); `otel` (the application's own OpenTelemetry set-up); or an "
        "`http(s)://host:4318` address to send OTLP to",
    ),
    Setting(
        "HEADGATE_TELEMETRY_DIR", "", "where local files go; default: the user's state directory"
    ),
    Setting(
        "HEADGATE_TELEMETRY_MAX_BYTES", "20971520", "local files together; the oldest go first"
    ),
    Setting("HEADGATE_TELEMETRY_MAX_DAYS", "30", "age at which a local file is deleted"),
    Setting(
        "HEADGATE_TRACK_MEMORY",
        "false",
        "record memory of every tracked call, as `@track(memory=True)` does",
    ),
    Setting(
        "HEADGATE_USER_FROM",
        "",
        "where a web request names its user, first match wins: `header:NAME`, `cookie:NAME`, "
        "`jwt:HEADER[:CLAIM]`, `jwt:cookie.NAME[:CLAIM]` (read, not verified), "
        "`call:module:function`",
    ),
    Setting("HEADGATE_SESSION_FROM", "", "the same for the session"),
    Setting(
        "HEADGATE_PROPAGATE",
        "true",
        "pass user and session on to called services as W3C baggage; `false` keeps them here",
    ),
    Setting(
        "HEADGATE_INHERIT_CONTEXT",
        "false",
        "start inside the trace and baggage of TRACEPARENT and BAGGAGE",
    ),
    Setting(
        "HEADGATE_ASGI_SPANS",
        "false",
        "keep FastAPI's extra span for every message sent and received, three to a request",
    ),
    Setting(
        "HEADGATE_EXIT_TIMEOUT",
        "2",
        "seconds that a process may spend at exit on delivering what is left",
    ),
    Setting(
        "HEADGATE_DEBUG", "false", "show every message of the exporters instead of one warning"
    ),
)
"""What docs/reference/instrumentation.md lists."""
