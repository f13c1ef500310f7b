"""`@track`: what a tracked call records, and that nobody can tell it from an untracked one."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from headgate.instrumentation import disable, enable, track, tracked
from headgate.instrumentation.memory import measure
from headgate.instrumentation.switch import switch


@track
def add(left, right=2, *, scale=1):
    """Add."""
    return (left + right) * scale


@track(parameters=("order", "api_key", "rest", "n"))
def solve(data, order=1, *, api_key="none", n=None, **rest):
    return order


@track(parameters=("order",))
class Estimator:
    """Fits."""

    def __init__(self):
        self.order = 0

    def fit(self, data, order=3):
        self.order = order
        return self

    def _secret_step(self):
        return 1

    def __call__(self, data):
        return self.fit(data)

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def double(value):
        return 2 * value

    @property
    def ready(self):
        return True

    async def later(self):
        await asyncio.sleep(0)
        return "later"

    def steps(self, count):
        for index in range(count):
            got = yield index
            if got:
                yield got
        return "done"

    async def stream(self, count):
        for index in range(count):
            yield index


def test_a_call_is_a_use_with_name_and_duration(recorded):
    """A tracked call becomes one INTERNAL span, marked as a use, named after the function."""
    assert add(1) == 3
    span = recorded.span
    assert span.name == f"{__name__}.add"
    assert span.kind is SpanKind.INTERNAL
    assert span.attributes["headgate.track"] is True
    assert span.end_time >= span.start_time
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope.name == __name__.partition(".")[0]


def test_off_records_nothing_and_changes_nothing():
    """While telemetry is off nothing is recorded, and results and errors are the function's own."""
    assert not switch.on
    assert add(1, 2, scale=3) == 9
    with pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument: 'left'"):
        add()


@pytest.mark.parametrize("on", [False, True])
@given(
    args=st.lists(st.integers(), max_size=3),
    kwargs=st.dictionaries(st.sampled_from(["b", "c", "k", "z"]), st.integers()),
)
def test_arguments_pass_through_unchanged(on, args, kwargs):
    """Whatever a call passes, a wrapper behaves as its function: same result, or the same error."""
    shapes = [
        lambda a, b=2, /, c=3, *, k=4, **z: (a, b, c, k, z),
        lambda a, b, c: (a, b, c),
        lambda *a, k=0, **z: (a, k, z),
        lambda: (),
        lambda a=1, *, k, z=5: (a, k, z),
        lambda a, /, **z: (a, z),
        lambda a, b=1, /: (a, b),
        lambda a, /, b, *, c: (a, b, c),
    ]
    enable("otel") if on else disable()
    for function in shapes:
        assert outcome(track(function), args, kwargs) == outcome(function, args, kwargs)
    disable()


def outcome(function, args, kwargs):
    """Return the result, or the class of the error."""
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        return type(error)


def test_identity_of_the_function_is_kept():
    """Name, signature, documentation and pickling of a tracked function are those of the function."""
    assert add.__name__ == "add"
    assert add.__doc__ == "Add."
    assert str(inspect.signature(add)) == "(left, right=2, *, scale=1)"
    assert pickle.loads(pickle.dumps(add)) is add  # noqa: S301  # our own bytes
    assert inspect.iscoroutinefunction(Estimator.later)
    assert inspect.isgeneratorfunction(Estimator.steps)
    assert inspect.isasyncgenfunction(Estimator.stream)
    assert track(add) is add


def test_exceptions_pass_through_and_are_recorded(recorded):
    """The caller gets the very exception; the span gets class, redacted message and frames.

    Without source lines.
    """
    secret = "password=hunter2"  # noqa: S105  # must not be recorded
    boom = ValueError(f"cannot open {Path('/', 'home', 'alice', 'x')} with {secret}")

    @track
    def fails():
        raise boom

    with pytest.raises(ValueError, match="cannot open") as caught:
        fails()
    assert caught.value is boom
    span = recorded.span
    (event,) = span.events
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "ValueError"
    assert event.attributes["exception.type"] == "ValueError"
    assert event.attributes["exception.message"] == "cannot open ~/x with [redacted]"
    stack = event.attributes["exception.stacktrace"]
    assert stack.startswith("Traceback (most recent call last):\n")
    assert "in fails" in stack
    assert "raise boom" not in stack
    assert "wrapper" not in stack
    assert "hunter2" not in str(span.to_json())


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit]
)
def test_leaving_early_is_not_an_error(recorded, error):
    """Cancelling or interrupting a call passes through and does not count as a failure of the.

    Function.
    """

    @track
    def leaves():
        raise error

    with pytest.raises(error):
        leaves()
    assert recorded.span.status.status_code is StatusCode.UNSET
    assert recorded.span.attributes["headgate.cancelled"] is True


def test_an_exception_without_a_message_does_no_harm(recorded):
    """An exception whose own `__str__` fails is recorded and raised all the same."""

    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    @track
    def fails():
        raise MuteError

    with pytest.raises(MuteError):
        fails()
    assert recorded.span.attributes["error.type"].endswith("MuteError")


def test_parameters_are_an_allow_list_and_redacted(recorded):
    """Only named parameters are recorded, secrets not even then, foreign objects only by type."""
    solve([1, 2], 7, api_key="abc", n=SimpleNamespace(word="x"))
    found = recorded.span.attributes
    assert found["headgate.parameter.order"] == 7
    assert found["headgate.parameter.api_key"] == "[redacted]"
    assert found["headgate.parameter.n"] == "SimpleNamespace"
    assert found["headgate.parameter.rest"] == "None"
    assert not any("data" in key for key in found)
    assert "abc" not in str(dict(found))


def test_parameters_come_from_keywords_and_defaults(recorded):
    """A parameter is found wherever the caller put it, and its default when nobody did."""
    solve([1])
    solve([1], order="x" * 500)
    first, second = recorded.spans
    assert first.attributes["headgate.parameter.order"] == 1
    assert second.attributes["headgate.parameter.order"] == "x" * 128


def test_an_unknown_parameter_is_said_at_decoration():
    """A misspelt parameter fails when the module is imported, not silently for ever."""
    with pytest.raises(ValueError, match="has no parameter 'oder'"):
        track(parameters=("oder",))(lambda order: order)


def test_arrays_are_described_and_not_kept(recorded):
    """Shape, element type and size of arrays are recorded.

    The arrays themselves are free afterwards.
    """
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    array = np.zeros((3, 4), np.float32)
    gone = weakref.ref(array)

    @track
    def use(first, *, other):
        return None

    use(array, other=frame)
    del array
    gc.collect()
    assert gone() is None
    found = recorded.span.attributes
    assert found["headgate.array.shape"] == ("3x4", "2x2")
    assert found["headgate.array.dtype"] == ("float32", "int64,float64")
    assert found["headgate.array.size"] == 16


def test_array_arguments_of_a_generator_are_not_kept(recorded):
    """A generator that is still running does not keep arguments alive that its function has.

    Dropped.
    """

    @track
    def use(array):
        del array
        yield 1
        yield 2

    array = np.zeros(5)
    gone = weakref.ref(array)
    running = use(array)
    next(running)
    del array
    gc.collect()
    assert gone() is None
    running.close()


def test_a_class_tracks_its_public_methods(recorded):
    """Decorating a class records public methods of every kind, with the receiver's class.

    And nothing private.
    """

    class Child(Estimator):
        pass

    child = Child.make()
    assert child.fit([1], 5) is child
    assert child([1]) is child
    assert Estimator.double(4) == 8
    assert child.ready
    assert child._secret_step() == 1
    names = [span.name.rpartition("Estimator.")[2] for span in recorded.spans]
    assert names == ["make", "fit", "fit", "__call__", "double"]
    fit = recorded.spans[1].attributes
    assert fit["headgate.class"].endswith("Child")
    assert fit["headgate.parameter.order"] == 5


def test_coroutines_and_generators(recorded):
    """Coroutines, generators and async generators give what they give untracked, as one span each."""
    estimator = Estimator()

    async def main():
        return await estimator.later(), [item async for item in estimator.stream(3)]

    assert asyncio.run(main()) == ("later", [0, 1, 2])

    steps = estimator.steps(2)
    assert next(steps) == 0
    assert steps.send("sent") == "sent"
    assert list(steps) == [1]
    assert [span.name.rpartition(".")[2] for span in recorded.spans] == ["later", "stream", "steps"]


def test_a_generator_is_the_parent_of_what_it_does_only_while_it_runs(hosted):
    """Between its steps a generator's span is not current.

    So the consumer's spans are not its children.
    """

    @track
    def produce():
        add(1)
        yield 1
        yield 2

    for _ in produce():
        assert not trace.get_current_span().is_recording()
        with hosted.tracers.get_tracer("consumer").start_as_current_span("consume"):
            pass
    outer = next(span for span in hosted.spans if "produce" in span.name)
    inner = next(span for span in hosted.spans if span.name.endswith(".add"))
    consumed = [span for span in hosted.spans if span.name == "consume"]
    assert inner.parent.span_id == outer.context.span_id
    assert [span.parent for span in consumed] == [None, None]


def test_an_abandoned_generator_is_not_an_error(recorded):
    """Breaking out of a loop over a tracked generator ends its span as cancelled."""
    steps = Estimator().steps(5)
    next(steps)
    steps.close()
    assert recorded.span.attributes["headgate.cancelled"] is True
    assert recorded.span.status.status_code is StatusCode.UNSET


def test_exceptions_thrown_into_a_generator(recorded):
    """`throw` reaches the generator, which may handle it and go on."""

    @track
    def patient():
        try:
            yield 1
        except KeyError:
            yield "caught"

    running = patient()
    next(running)
    assert running.throw(KeyError("x")) == "caught"
    assert list(running) == []
    assert recorded.span.status.status_code is StatusCode.UNSET


def test_an_async_generator_finished_by_another_task_makes_no_noise(recorded, caplog):
    """An async generator that the event loop finalizes elsewhere leaves no complaint behind."""

    async def main():
        stream = Estimator().stream(3)
        await asyncio.create_task(anext(stream))
        await asyncio.create_task(stream.aclose())

    asyncio.run(main())
    assert not caplog.records
    assert len(recorded.spans) == 1


def test_nested_calls_are_parent_and_child(recorded):
    """A tracked call inside another is its child, and both are uses."""

    @track
    def outer():
        return add(1)

    outer()
    inner, above = recorded.spans
    assert inner.parent.span_id == above.context.span_id
    assert inner.attributes["headgate.track"] is above.attributes["headgate.track"] is True


def test_memory_is_measured_when_asked_for(recorded):
    """`memory=True` records how the call changed resident memory and whether it raised the peak."""
    room = measure()
    wanted = 30_000_000 + (room.peak - room.resident) // 8

    @track(memory=True)
    def allocate():
        return np.ones(wanted)

    kept = allocate()
    found = recorded.span.attributes
    assert found["headgate.memory.growth"] > 200_000_000
    assert found["headgate.memory.peak"] > 200_000_000
    del kept


def test_a_block_can_be_tracked(recorded):
    """`with tracked(name)` records the block as a use of its own library, and lets its exception pass."""
    with pytest.raises(KeyError), tracked("other.load"):
        raise KeyError("x")
    assert recorded.span.name == "other.load"
    assert recorded.span.instrumentation_scope.name == __name__.partition(".")[0]
    assert recorded.span.attributes["error.type"] == "KeyError"


def test_a_name_replaces_the_functions(recorded):
    """With `name=` the span is called that, and the function is an attribute."""

    @track(name="solver.run")
    def run():
        pass

    run()
    assert recorded.span.name == "solver.run"
    assert recorded.span.attributes["code.function.name"].endswith("run")


def test_functions_written_in_c_can_be_tracked(recorded):
    """A function without a Python signature is recorded too."""
    assert track(max)([1, 3, 2]) == 3
    assert track(np.add)(1, 2) == 3
    assert len(recorded.spans) == 2
