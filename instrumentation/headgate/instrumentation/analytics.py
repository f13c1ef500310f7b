"""A façade for programs that report calls themselves: one object over usage, performance, errors and workflow.

For code written against an `AnalyticsManager` (REQ-CAP-02 to -08, REQ-EVT-03, -10); new code is shorter with
`@track`, `tracked` and `event`, which record the same spans and events. Consent is unchanged: nothing is
recorded until telemetry is on.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import SpanKind, Status, StatusCode

from headgate.instrumentation import attributes as names
from headgate.instrumentation import errors, telemetry
from headgate.instrumentation.detach import detach
from headgate.instrumentation.events import record
from headgate.instrumentation.identity import Identity, attributes, current, within
from headgate.instrumentation.memory import measure
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.redact import clean, parameter
from headgate.instrumentation.speaker import speaker
from headgate.instrumentation.switch import switch
from headgate.instrumentation.versions import installed

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from opentelemetry.trace import Span
    from opentelemetry.util.types import AnyValue

_PARAMETERS = 32
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AnalyticsConfig:
    """What a manager records: a flag for each concern.

    Without usage, calls that succeed are not recorded; without performance, neither duration nor memory;
    without errors, only that a call failed; without workflow, no session.
    """

    enable_usage_tracking: bool = True
    enable_performance_monitoring: bool = True
    enable_error_tracking: bool = True
    enable_workflow_analysis: bool = True


class AnalyticsManager:
    """Records calls and events, in one session of its own unless the program is in one already."""

    def __init__(self, config: AnalyticsConfig | None = None) -> None:
        self.config = config or AnalyticsConfig()
        self.session_id = secrets.token_hex(16)

    def track_method_call(
        self,
        method_name: str,
        estimator_type: str = "",
        parameters: Mapping[str, object] | None = None,
        array_size: int | None = None,
        fractional_order: float | None = None,
        execution_success: bool = True,  # noqa: FBT001, FBT002  # the order of REQ-CAP-04
        execution_time: float | None = None,
        memory_usage: float | None = None,
        error: BaseException | str | None = None,
    ) -> None:
        """Record a call that has just ended, after `execution_time` seconds, using `memory_usage` bytes.

        The first 32 parameters are recorded by value, redacted as `@track` does. Never raises.
        """
        failed = not execution_success or error is not None
        if not switch.on or not (failed or self.config.enable_usage_tracking):
            return
        try:
            found = _described(estimator_type, parameters, array_size, fractional_order)
            if not self.config.enable_performance_monitoring:
                execution_time = memory_usage = None
            if memory_usage is not None:
                found[names.MEMORY_GROWTH] = int(memory_usage)
            reason = error if self.config.enable_error_tracking else None
            self._record(str(method_name), found, execution_time or 0.0, failed, reason)
        except Exception as trouble:  # noqa: BLE001  # telemetry never breaks its host
            problem("track_method_call", trouble)

    @contextmanager
    def monitor_method_performance(
        self,
        method_name: str,
        estimator_type: str = "",
        parameters: Mapping[str, object] | None = None,
        array_size: int | None = None,
        fractional_order: float | None = None,
    ) -> Generator[None]:
        """Record the block inside as one call: duration, memory, and the exception that leaves it."""
        raised: BaseException | None = None
        before, began = measure().resident, time.perf_counter()
        try:
            with self._within():
                yield
        except BaseException as error:
            raised = error
            raise
        finally:
            took, after = time.perf_counter() - began, measure().resident
            grown = None if before is None or after is None else after - before
            self.track_method_call(
                method_name,
                estimator_type,
                parameters,
                array_size,
                fractional_order,
                raised is None,
                took,
                grown,
                raised,
            )

    def track_event(
        self,
        user_id: str | None,
        event_type: object,
        event_name: str,
        properties: Mapping[str, object] | None = None,
    ) -> str:
        """Record an event (REQ-EVT-03) and return its id, empty if nothing was recorded."""
        kind = getattr(event_type, "value", event_type)
        with self._within():
            return record(event_name, {**(properties or {}), names.EVENT_TYPE: kind}, None, user_id)

    @contextmanager
    def _within(self) -> Generator[Context]:
        """Enter the manager's session, unless there is one already or workflow is not wanted."""
        context = get_current()
        if not self.config.enable_workflow_analysis or current(context).session:
            yield context
            return
        inside = within(context, Identity("", self.session_id), propagate=False)
        token = attach(inside)
        try:
            yield inside
        finally:
            detach(token)

    def _record(
        self,
        name: str,
        found: dict[str, AnyValue],
        seconds: float,
        failed: bool,  # noqa: FBT001  # private
        error: BaseException | str | None,
    ) -> None:
        recorder = telemetry.recorder()
        if recorder is None:
            return
        scope = speaker()
        with self._within() as context:
            end_ns = time.time_ns()
            who = attributes(recorder.identity(context))
            span = recorder.tracer(scope, installed(scope)).start_span(
                name[:256],
                recorder.parent(context),
                SpanKind.INTERNAL,
                {**found, **who, names.TRACK: True},
                start_time=end_ns - max(0, int(seconds * _SECOND_NS)),
            )
            if failed:
                _fail(span, error)
            span.end(end_ns)


def _described(
    kind: str,
    parameters: Mapping[str, object] | None,
    size: int | None,
    order: float | None,
) -> dict[str, AnyValue]:
    found: dict[str, AnyValue] = {
        names.PARAMETER_PREFIX + key: parameter(key, value)
        for key, value in list((parameters or {}).items())[:_PARAMETERS]
    }
    if kind:
        found[names.CLASS] = str(kind)[:128]
    if size is not None:
        found[names.ARRAY_SIZE] = int(size)
    if order is not None:
        found[names.PARAMETER_PREFIX + "fractional_order"] = float(order)
    return found


def _fail(span: Span, error: BaseException | str | None) -> None:
    if isinstance(error, BaseException) and not isinstance(error, Exception):
        # An interrupt or a cancellation is not a failure of what it ends.
        span.set_attribute(names.CANCELLED, True)
        return
    said: dict[str, str] = {}
    if isinstance(error, Exception):
        said = errors.attributes(error)
    elif error:
        said = {names.EXCEPTION_TYPE: "Error", names.EXCEPTION_MESSAGE: clean(str(error), 1024)}
    if said:
        span.set_attribute(names.ERROR_TYPE, said[names.EXCEPTION_TYPE])
        span.add_event("exception", said)
    span.set_status(Status(StatusCode.ERROR, said.get(names.EXCEPTION_MESSAGE)))
