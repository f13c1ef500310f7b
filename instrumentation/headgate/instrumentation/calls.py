"""One tracked call: a span of kind INTERNAL, marked as a use, that begins and ends with the call.

Nothing in here may raise into the application, and nothing keeps a reference to an argument. This
is the hot path: a call must not cost more than a bare OpenTelemetry span, so what can be prepared
at decoration is in `Plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from headgate.instrumentation import attributes as names
from headgate.instrumentation import errors, identity, telemetry
from headgate.instrumentation.arrays import describe
from headgate.instrumentation.detach import detach
from headgate.instrumentation.memory import Memory, measure
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.recorder import Host
from headgate.instrumentation.redact import parameter
from headgate.instrumentation.spans import write
from headgate.instrumentation.switch import switch
from headgate.instrumentation.versions import installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from opentelemetry.util.types import AnyValue

    from headgate.instrumentation.plan import Plan

INTERNAL = SpanKind.INTERNAL


class Running:
    """A call in progress."""

    __slots__ = ("before", "inside", "span", "token")

    def __init__(
        self, span: Span, inside: Context, token: Token[Context] | None, before: Memory | None
    ) -> None:
        self.span = span
        self.inside = inside
        self.token = token
        self.before = before

    def resume(self) -> None:
        """Make the call current again: a generator runs in steps."""
        self.token = attach(self.inside)

    def pause(self) -> None:
        """Make the caller's context current again."""
        token, self.token = self.token, None
        if token is not None:
            detach(token)

    def end(self) -> None:
        """Record that the call returned."""
        try:
            self.pause()
            if self.before is not None:
                self._remember(self.before)
            self.span.end()
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem("the end of a tracked call", error)

    def fail(self, raised: BaseException) -> None:
        """Record that the call raised; an exception that only cancels it is not an error."""
        try:
            if self.span.is_recording():
                if isinstance(raised, Exception):
                    event = errors.attributes(raised)
                    self.span.set_attribute(names.ERROR_TYPE, event[names.EXCEPTION_TYPE])
                    self.span.add_event("exception", event)
                    self.span.set_status(Status(StatusCode.ERROR, event[names.EXCEPTION_MESSAGE]))
                else:
                    self.span.set_attribute(names.CANCELLED, True)
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem("a tracked call's exception", error)
        self.end()

    def _remember(self, before: Memory) -> None:
        after = measure()
        if after.resident is not None and before.resident is not None:
            self.span.set_attribute(names.MEMORY_GROWTH, after.resident - before.resident)
        if after.peak is not None and before.peak is not None and after.peak > before.peak:
            self.span.set_attribute(names.MEMORY_PEAK, after.peak)


def begin(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Running | None:
    """Start recording a call; None when that is impossible."""
    try:
        if plan.generation != switch.generation:
            _refresh(plan)
        recorder = plan.recorder
        if recorder is None:
            return None
        observed = _observed(plan, args, kwargs) if plan.dynamic and (args or kwargs) else None
        if plan.host:
            # The application's processor adds the identity, and the current span is the parent.
            span = plan.tracer.start_span(plan.name, None, INTERNAL, observed)
            inside = set_span_in_context(span)
        else:
            context = get_current()
            observed = {**(observed or {}), **identity.attributes(recorder.identity(context))}
            span = plan.tracer.start_span(plan.name, recorder.parent(context), INTERNAL, observed)
            inside = recorder.around(span, context)
        write(span, plan.fixed)
        return Running(span, inside, attach(inside), measure() if plan.measured else None)
    except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
        problem("the start of a tracked call", error)
        return None


def call(
    plan: Plan, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call `function` and record that; what it returns or raises passes through."""
    running = begin(plan, args, kwargs)
    if running is None:
        return function(*args, **kwargs)
    try:
        result = function(*args, **kwargs)
    except BaseException as raised:
        running.fail(raised)
        raise
    running.end()
    return result


def _refresh(plan: Plan) -> None:
    generation = switch.generation
    recorder = plan.recorder = telemetry.recorder()
    if recorder is not None:
        plan.tracer = recorder.tracer(plan.scope, installed(plan.scope))
        plan.host = isinstance(recorder, Host)
        plan.measured = plan.memory or telemetry.settings().track_memory
    plan.generation = generation


def _observed(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, AnyValue]:
    found: dict[str, AnyValue] = {}
    if plan.method and args:
        found[names.CLASS] = type(args[0]).__qualname__
    for name, position, default in plan.parameters:
        value = (
            kwargs[name] if name in kwargs else args[position] if position < len(args) else default
        )
        found[names.PARAMETER_PREFIX + name] = parameter(name, value)
    if plan.arrays and (arrays := describe(args, kwargs)):
        found[names.ARRAY_SHAPE], found[names.ARRAY_DTYPE], found[names.ARRAY_SIZE] = arrays
    return found
