"""The functions that stand in for tracked ones. Imports no OpenTelemetry while telemetry is off.

While it is off a wrapper must cost one attribute check and nothing else, but passing `*args,
**kwargs` on costs three times as much as the call itself. So, as `dataclasses` does, the wrapper of
a plain function is generated with the very parameters of that function: the source is made of
parameter names only, and is compiled once per distinct signature.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from headgate.instrumentation.switch import switch

if TYPE_CHECKING:
    from headgate.instrumentation.plan import Plan

GENERATED = "<headgate track>"
"""File name of generated code, as it shows in tracebacks."""

Function = Callable[..., Any]


def wrap(function: Function, plan: Plan) -> Function:
    """Return the function that records each call of `function` while telemetry is on."""
    if inspect.iscoroutinefunction(function):
        made = _coroutine(function, plan)
    elif inspect.isasyncgenfunction(function):
        made = _async_generator(function, plan)
    elif inspect.isgeneratorfunction(function):
        made = _generator(function, plan)
    else:
        made = _plain(function, plan)
    return functools.wraps(function)(made)


def _plain(function: Function, plan: Plan) -> Function:
    parameters = _own_parameters(function)
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters or ()):
        parameters = None
    if parameters is None:
        return _general(function, plan)
    shape = tuple((each.name, each.kind, each.default is not each.empty) for each in parameters)
    defaults = tuple(each.default for each in parameters if each.default is not each.empty)
    made: Function = _factory(shape)(function, switch, plan, defaults)
    return made


def _own_parameters(function: Function) -> list[inspect.Parameter] | None:
    """Return what the code itself takes; None where only a claim about it exists.

    Functions in C state defaults that they do not accept, and a decorated function shows the
    signature of what it wraps.
    """
    if not isinstance(function, FunctionType) or hasattr(function, "__signature__"):
        return None
    return list(inspect.signature(function, follow_wrapped=False).parameters.values())


def _general(function: Function, plan: Plan) -> Function:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if switch.on:
            return plan.record(plan, function, args, kwargs)
        return function(*args, **kwargs)

    return wrapper


@functools.lru_cache(maxsize=512)
def _factory(shape: tuple[tuple[str, Any, bool], ...]) -> Function:
    """Return a maker of wrappers for functions of one shape: each parameter's name, kind and default."""
    declared: list[str] = []
    positional: list[str] = []
    named: list[str] = []
    rest = ""
    previous, defaults = None, 0
    for name, kind, optional in shape:
        if previous is inspect.Parameter.POSITIONAL_ONLY and kind is not previous:
            declared.append("/")
        if kind is inspect.Parameter.KEYWORD_ONLY and previous is not kind:
            declared.append("*")
        previous = kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            declared.append(f"**{name}")
            rest = name
            continue
        declared.append(f"{name}=_h_defaults[{defaults}]" if optional else name)
        defaults += optional
        (named if kind is inspect.Parameter.KEYWORD_ONLY else positional).append(name)
    if previous is inspect.Parameter.POSITIONAL_ONLY:
        declared.append("/")
    through = [*positional, *(f"{name}={name}" for name in named), *([f"**{rest}"] if rest else [])]
    packed = ", ".join([*(f"{name!r}: {name}" for name in named), *([f"**{rest}"] if rest else [])])
    first = "".join(f"{name}, " for name in positional)
    source = (
        "def make(_h_function, _h_switch, _h_plan, _h_defaults):\n"
        f"    def wrapper({', '.join(declared)}):\n"
        "        if _h_switch.on:\n"
        f"            return _h_plan.record(_h_plan, _h_function, ({first}), {{{packed}}})\n"
        f"        return _h_function({', '.join(through)})\n"
        "    return wrapper\n"
    )
    space: dict[str, Function] = {}
    exec(compile(source, GENERATED, "exec"), space)  # noqa: S102  # only identifiers of a compiled function get in here
    return space["make"]


def _begin(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from headgate.instrumentation.calls import (
        begin,  # OpenTelemetry is imported only when recording
    )

    return begin(plan, args, kwargs)


def _coroutine(function: Function, plan: Plan) -> Function:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not switch.on or (running := _begin(plan, args, kwargs)) is None:
            return await function(*args, **kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as raised:
            running.fail(raised)
            raise
        running.end()
        return result

    return wrapper


def _generator(function: Function, plan: Plan) -> Function:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        running = _begin(plan, args, kwargs) if switch.on else None
        inner = function(*args, **kwargs)
        # This frame lives as long as the generator; the arguments need not.
        del args, kwargs
        if running is None:
            return (yield from inner)
        running.pause()
        return (yield from _steps(inner, running))

    return wrapper


def _steps(inner: Generator[Any, Any, Any], running: Any) -> Generator[Any, Any, Any]:
    """Drive `inner`, inside its span during each step and outside between steps."""
    step, value = inner.send, None
    while True:
        running.resume()
        try:
            item = step(value)
        except StopIteration as stop:
            running.end()
            return stop.value
        except BaseException as raised:
            running.fail(raised)
            raise
        running.pause()
        try:
            step, value = inner.send, (yield item)
        except GeneratorExit as left:
            _close(inner.close, running, left)
            raise
        except BaseException as thrown:  # noqa: BLE001  # handed to the generator, as `yield from` does
            step, value = inner.throw, thrown


def _close(close: Callable[[], object], running: Any, left: BaseException) -> None:
    try:
        close()
    except BaseException as raised:
        running.fail(raised)
        raise
    running.fail(left)


def _async_generator(function: Function, plan: Plan) -> Function:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        running = (_begin(plan, args, kwargs) if switch.on else None) or _UNRECORDED
        inner = function(*args, **kwargs)
        del args, kwargs
        running.pause()
        step, value = inner.asend, None
        while True:
            running.resume()
            try:
                item = await step(value)
            except StopAsyncIteration:
                running.end()
                return
            except BaseException as raised:
                running.fail(raised)
                raise
            running.pause()
            try:
                step, value = inner.asend, (yield item)
            except GeneratorExit as left:
                await inner.aclose()
                running.fail(left)
                raise
            except BaseException as thrown:  # noqa: BLE001  # handed to the generator, as delegation would
                step, value = inner.athrow, thrown

    return wrapper


class _Unrecorded:
    """Stands in for a call that is not recorded."""

    def pause(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def fail(self, raised: BaseException) -> None:
        """Do nothing."""


_UNRECORDED = _Unrecorded()
