"""Every attribute and event name that this package writes, once.

Names follow the OpenTelemetry semantic conventions where those have one; ours begin with
`headgate.`. The names that Headgate promotes to columns are a contract with the collector, held by
a test and not by an import: only OTLP is shared.
"""

from __future__ import annotations

from dataclasses import dataclass

USER_ID = "user.id"
SESSION_ID = "session.id"
SESSION_PREVIOUS_ID = "session.previous_id"
EVENT_NAME = "event.name"
CODE_FUNCTION_NAME = "code.function.name"
ERROR_TYPE = "error.type"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
FEATURE_KEY = "feature_flag.key"
FEATURE_VARIANT = "feature_flag.result.variant"
FEATURE_VALUE = "feature_flag.result.value"
FEATURE_REASON = "feature_flag.result.reason"
FEATURE_PROVIDER = "feature_flag.provider.name"
FEATURE_CONTEXT_ID = "feature_flag.context.id"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
CONTAINER_ID = "container.id"
REVISION = "vcs.ref.head.revision"

TRACK = "headgate.track"
CLASS = "headgate.class"
CANCELLED = "headgate.cancelled"
PARAMETER_PREFIX = "headgate.parameter."
ARRAY_SHAPE = "headgate.array.shape"
ARRAY_DTYPE = "headgate.array.dtype"
ARRAY_SIZE = "headgate.array.size"
MEMORY_GROWTH = "headgate.memory.growth"
MEMORY_PEAK = "headgate.memory.peak"
EVENT_ID = "headgate.event.id"
EVENT_VALUE = "headgate.event.value"
EXPERIMENT = "headgate.experiment"
NPS_SCORE = "headgate.nps.score"
NPS_COMMENT = "headgate.nps.comment"

EVENT_FEATURE = "feature_flag.evaluation"
EVENT_SESSION_START = "session.start"
EVENT_SESSION_END = "session.end"
EVENT_NPS = "headgate.nps"


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


DECLARED = (
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
