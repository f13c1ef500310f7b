"""`@track`: record each call of a function, or of a class's public methods, as a use.

Off, it costs one attribute check a call; on, a span. Arguments are described only as far as they
are arrays; other parameters are recorded when they are named in `parameters`, redacted. REQ-CAP-03,
-04, -05, -07, -13.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from inspect import isclass, isroutine
from typing import Any, TypeVar, overload

from headgate.instrumentation.attributes import TRACK
from headgate.instrumentation.plan import Plan, plan
from headgate.instrumentation.speaker import speaker
from headgate.instrumentation.switch import switch
from headgate.instrumentation.wrapper import wrap

T = TypeVar("T", bound=Callable[..., Any])
_MARK = "__headgate_plan__"


@overload
def track(target: T) -> T: ...


@overload
def track(
    *, name: str = ..., parameters: Sequence[str] = ..., arrays: bool = ..., memory: bool = ...
) -> Callable[[T], T]: ...


def track(
    target: T | None = None,
    *,
    name: str = "",
    parameters: Sequence[str] = (),
    arrays: bool = True,
    memory: bool = False,
) -> T | Callable[[T], T]:
    """Record each call of a function, coroutine or generator function, or of a class's public methods.

    `name` replaces `module.qualname`; it must not vary with data. `parameters` lists the arguments
    to record by value (redacted, at most 128 characters; on a class, where a method has them).
    `arrays` records shape, element type and size of array arguments; `memory` what the call did to
    resident and peak memory. Raises ValueError at decoration for an unknown parameter.
    """

    def decorate(wanted: T) -> T:
        if isclass(wanted):
            return _class(wanted, name, tuple(parameters), arrays=arrays, memory=memory)
        if hasattr(wanted, _MARK):
            return wanted
        return _function(
            wanted, plan(wanted, name, tuple(parameters), arrays=arrays, memory=memory)
        )

    return decorate if target is None else decorate(target)


@contextmanager
def tracked(name: str) -> Generator[None]:
    """Record the block inside as a use; `name` must not vary with data (REQ-CAP-05)."""
    running = None
    if switch.on:
        # OpenTelemetry is imported only when recording.
        from headgate.instrumentation.calls import begin

        running = begin(Plan(name, speaker(), {TRACK: True}), (), {})
    try:
        yield
    except BaseException as raised:
        if running is not None:
            running.fail(raised)
        raise
    if running is not None:
        running.end()


def _function(function: T, made: Plan) -> T:
    wrapper = wrap(function, made)
    setattr(wrapper, _MARK, made)
    return wrapper  # type: ignore[return-value]  # same signature, by construction


def _class(cls: T, name: str, parameters: tuple[str, ...], *, arrays: bool, memory: bool) -> T:
    for attribute, member in list(vars(cls).items()):
        if attribute.startswith("_") and attribute != "__call__":
            continue
        kind = type(member) if isinstance(member, staticmethod | classmethod) else None
        function = member.__func__ if kind else member
        if isclass(function) or not isroutine(function) or hasattr(function, _MARK):
            continue
        own = f"{name}.{attribute}" if name else ""
        known = tuple(wanted for wanted in parameters if _has(function, wanted))
        wrapped = _function(function, plan(function, own, known, arrays=arrays, memory=memory))
        setattr(cls, attribute, kind(wrapped) if kind else wrapped)
    return cls


def _has(function: Callable[..., Any], parameter: str) -> bool:
    code = getattr(function, "__code__", None)
    return (
        code is not None
        and parameter in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    )
