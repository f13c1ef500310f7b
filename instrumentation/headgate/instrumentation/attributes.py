"""Every attribute and event name that this package writes or that reports read, once.

Names follow the OpenTelemetry semantic conventions where those have one; ours begin with
`headgate.`. The names that Headgate promotes to columns are a contract with the collector, held by
a test and not by an import: only OTLP is shared.
"""

from __future__ import annotations

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
CONTEXT_TYPE = "headgate.context.type"
DEPRECATED = "headgate.deprecated"
QUALITY_SCORE = "headgate.quality.score"
QUALITY_GATES_PASSED = "headgate.quality.gates_passed"
EVENT_ID = "headgate.event.id"
EVENT_VALUE = "headgate.event.value"
EVENT_TYPE = "headgate.event.type"
EXPERIMENT = "headgate.experiment"
NPS_SCORE = "headgate.nps.score"
NPS_COMMENT = "headgate.nps.comment"

EVENT_FEATURE = "feature_flag.evaluation"
EVENT_SESSION_START = "session.start"
EVENT_SESSION_END = "session.end"
EVENT_NPS = "headgate.nps"
