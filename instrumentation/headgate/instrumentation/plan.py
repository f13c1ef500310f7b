"""What can be known about a tracked function before it is called. Imports no OpenTelemetry."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from headgate.instrumentation.attributes import CODE_FUNCTION_NAME, TRACK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NOWHERE = 1 << 30


def _first(
    made: Plan, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Record the first call: load what recording needs, and leave later calls to it directly."""
    from headgate.instrumentation.calls import call  # OpenTelemetry is imported only when recording

    made.record = call
    return call(made, function, args, kwargs)


class Plan:
    """How calls of one function are recorded; what is not an argument is a cache that `calls` fills."""

    __slots__ = (
        "arrays",
        "dynamic",
        "fixed",
        "generation",
        "host",
        "measured",
        "memory",
        "method",
        "name",
        "parameters",
        "record",
        "recorder",
        "scope",
        "tracer",
    )

    def __init__(
        self,
        name: str,
        scope: str,
        fixed: dict[str, Any],
        parameters: tuple[tuple[str, int, object], ...] = (),
        *,
        method: bool = False,
        arrays: bool = False,
        memory: bool = False,
    ) -> None:
        self.name = name
        self.scope = scope
        self.fixed = fixed
        self.parameters = parameters
        self.method = method
        self.arrays = arrays
        self.memory = memory
        self.dynamic = method or arrays or bool(parameters)
        self.record: Callable[..., Any] = _first
        self.generation = -1
        self.recorder: Any = None
        self.tracer: Any = None
        self.host = True
        self.measured = False


def plan(
    function: Callable[..., Any],
    name: str,
    parameters: Sequence[str],
    *,
    arrays: bool,
    memory: bool,
) -> Plan:
    """Return the plan for `function`; raises ValueError for a parameter that it does not have."""
    module = getattr(function, "__module__", None) or "__main__"
    own = f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    signature = signature_of(function)
    first = next(iter(signature.parameters), "") if signature else ""
    fixed: dict[str, Any] = {TRACK: True}
    if name and name != own:
        fixed[CODE_FUNCTION_NAME] = own
    return Plan(
        name or own,
        module.partition(".")[0],
        fixed,
        tuple(_place(signature, wanted, own) for wanted in parameters),
        method=first == "self",
        arrays=arrays,
        memory=memory,
    )


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature, or None where Python sees none, as for some functions written in C."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _place(signature: inspect.Signature | None, name: str, owner: str) -> tuple[str, int, object]:
    if signature is None:
        return name, _NOWHERE, None
    parameters = list(signature.parameters.values())
    for position, parameter in enumerate(parameters):
        if parameter.name == name:
            positional = parameter.kind in (
                parameter.POSITIONAL_ONLY,
                parameter.POSITIONAL_OR_KEYWORD,
            )
            default = None if parameter.default is parameter.empty else parameter.default
            return name, position if positional else _NOWHERE, default
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return name, _NOWHERE, None
    raise ValueError(
        f"{owner} has no parameter {name!r} to record; it has {', '.join(signature.parameters)}"
    )
