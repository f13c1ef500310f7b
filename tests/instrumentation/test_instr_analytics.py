"""The façade: calls that a program reports itself become the spans and events that `@track` and `event` make."""

from __future__ import annotations

import enum

import pytest

from headgate.instrumentation import AnalyticsConfig, AnalyticsManager, identify, session, tracked


def test_a_reported_call_is_a_use(recorded):
    """Every argument of REQ-CAP-04 is on one span, marked as a use, that lasts as long as the call did."""
    manager = AnalyticsManager()
    manager.track_method_call(
        "fit",
        "GrunwaldLetnikov",
        {"h": 0.1, "password": "hunter2", "data": object()},
        array_size=1000,
        fractional_order=0.5,
        execution_time=0.25,
        memory_usage=4096,
    )
    span = recorded.span
    assert span.name == "fit"
    assert span.end_time - span.start_time == 250_000_000
    assert dict(span.attributes) == {
        "headgate.track": True,
        "headgate.class": "GrunwaldLetnikov",
        "headgate.parameter.h": 0.1,
        "headgate.parameter.password": "[redacted]",
        "headgate.parameter.data": "object",
        "headgate.parameter.fractional_order": 0.5,
        "headgate.array.size": 1000,
        "headgate.memory.growth": 4096,
        "session.id": manager.session_id,
    }


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("no order for ann@example.org"), "ValueError", "no order for [redacted]"),
        ("it broke", "Error", "it broke"),
    ],
)
def test_a_reported_error(recorded, error, kind, message):
    """An error, given as an exception or as text, is recorded with type and redacted message."""
    AnalyticsManager().track_method_call("fit", execution_success=False, error=error)
    span = recorded.span
    assert not span.status.is_ok
    assert span.attributes["error.type"] == kind
    assert span.events[0].attributes["exception.message"] == message


def test_a_monitored_block(recorded):
    """The block's exception passes and is recorded; what is tracked inside is in the same session."""
    manager = AnalyticsManager()

    def solve_it():
        with tracked("step"):
            pass
        raise KeyError("x")

    with pytest.raises(KeyError), manager.monitor_method_performance("solve", array_size=3):
        solve_it()
    step, solve = recorded.spans
    assert (step.name, solve.name) == ("step", "solve")
    assert step.attributes["session.id"] == solve.attributes["session.id"] == manager.session_id
    assert solve.attributes["error.type"] == "KeyError"
    assert "test_instr_analytics" in solve.events[0].attributes["exception.stacktrace"]
    assert solve.end_time - solve.start_time >= step.end_time - step.start_time
    assert solve.instrumentation_scope.name == __name__.partition(".")[0]


def test_an_interrupt_is_not_an_error(recorded):
    """Leaving a monitored block by an interrupt marks it as cancelled."""
    with pytest.raises(KeyboardInterrupt), AnalyticsManager().monitor_method_performance("solve"):
        raise KeyboardInterrupt
    assert recorded.span.status.is_unset
    assert recorded.span.attributes["headgate.cancelled"] is True


FLAGS = {
    "enable_usage_tracking": ["bad"],
    "enable_performance_monitoring": ["good", "bad"],
    "enable_error_tracking": ["good", "bad"],
    "enable_workflow_analysis": ["good", "bad"],
}


@pytest.mark.parametrize("flag", FLAGS)
def test_each_concern_can_be_off(recorded, flag):
    """A flag takes away its own concern from the records, and only that."""
    manager = AnalyticsManager(AnalyticsConfig(**{flag: False}))
    manager.track_method_call("good", execution_time=1, memory_usage=1)
    manager.track_method_call("bad", execution_time=1, error=RuntimeError("x"))
    spans = recorded.spans
    assert [span.name for span in spans] == FLAGS[flag]
    lasted = {span.end_time - span.start_time for span in spans}
    assert lasted == ({0} if flag == "enable_performance_monitoring" else {1_000_000_000})
    assert ("error.type" in spans[-1].attributes) == (flag != "enable_error_tracking")
    assert not spans[-1].status.is_ok
    here = {span.attributes.get("session.id") == manager.session_id for span in spans}
    assert here == {flag != "enable_workflow_analysis"}


class Kind(enum.Enum):
    """As programs define it."""

    PAGE_VIEW = "page_view"


def test_events_have_user_type_and_properties(recorded):
    """An event carries who, what kind, and the properties; its id is returned."""
    manager = AnalyticsManager()
    found = manager.track_event("ann", Kind.PAGE_VIEW, "pricing", {"plan": "pro"})
    event = recorded.event
    assert event.event_name == "pricing"
    assert dict(event.attributes) == {
        "user.id": "ann",
        "session.id": manager.session_id,
        "headgate.event.type": "page_view",
        "headgate.event.id": found,
        "plan": "pro",
    }


def test_the_programs_own_session_comes_first(recorded):
    """Inside a session of the program the manager's calls are part of it, and of its user."""
    identify("ann")
    with session(id="visit"):
        AnalyticsManager().track_method_call("fit")
    assert recorded.span.attributes["session.id"] == "visit"
    assert recorded.span.attributes["user.id"] == "ann"


def test_off_and_nonsense_do_no_harm(recorded):
    """Arguments that make no sense never raise; after `disable()` nothing is recorded."""
    from headgate.instrumentation import disable

    manager = AnalyticsManager()
    manager.track_method_call("fit", array_size="many", execution_time="long")
    manager.track_method_call("fit", execution_time=-5)
    assert recorded.span.end_time == recorded.span.start_time
    disable()
    manager.track_method_call("fit")
    with manager.monitor_method_performance("solve"):
        assert manager.track_event("ann", "CLICK", "buy") == ""
    assert len(recorded.spans) == 1
