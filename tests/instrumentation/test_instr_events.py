"""Events, features, NPS, experiments, sessions and identity."""

from __future__ import annotations

import asyncio
import enum
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from headgate.instrumentation import (
    event,
    experiment,
    feature,
    identify,
    nps,
    session,
    telemetry,
    track,
)
from headgate.instrumentation.experiments import assign, position
from headgate.instrumentation.identity import current
from headgate.instrumentation.quiet import once
from headgate.instrumentation.recorder import SPAN_KEY, Host, Private
from headgate.instrumentation.switch import switch


@track
def work():
    """Do something worth tracking."""


def test_an_event_is_a_log_record_with_a_name(recorded):
    """Name, value and attributes of an event arrive as OpenTelemetry's event and documented.

    Attributes.
    """
    chosen = event("checkout.completed", value=Decimal("42.5"), currency="EUR", items=3, note=None)
    got = recorded.event
    assert got.event_name == "checkout.completed"
    assert got.severity_number.value == 9
    assert got.attributes["headgate.event.value"] == 42.5
    assert got.attributes["headgate.event.id"] == chosen
    assert got.attributes["currency"] == "EUR"
    assert got.attributes["items"] == 3
    assert "note" not in got.attributes
    assert len(chosen) == 32


def test_off_means_no_event():
    """While telemetry is off nothing is recorded, and the id is empty."""
    assert event("x") == feature("y") == nps(5) == ""


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.characters(categories=["Cs"])
    | st.dates()
    | st.just(enum.Enum("Colour", "RED").RED),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(
    name=st.text(min_size=1),
    value=VALUES,
    attributes=st.dictionaries(st.text(), VALUES, max_size=4),
)
def test_any_value_can_be_recorded(name, value, attributes):
    """Whatever is passed, an event never raises and what is recorded can be encoded as OTLP."""
    exporter = InMemoryLogRecordExporter()
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    switch.turn("otel", "a test")
    telemetry._state.recorder = Host(TracerProvider(shutdown_on_exit=False), loggers)
    telemetry._state.generation = switch.generation
    attributes = {
        key: item for key, item in attributes.items() if key not in ("name", "value", "user")
    }
    event(name, value, **attributes)
    encode_logs(exporter.get_finished_logs()).SerializeToString()


def test_a_value_that_is_no_number_costs_one_warning(recorded, caplog):
    """An event that cannot be recorded as asked never raises; the process warns once, not for each."""
    once.said = False
    for _ in range(5):
        event("sale", value="a lot")
        event("", value=1)
        nps(11)
        nps("very likely")
        event("sale", value=float("nan"))
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert [each.event_name for each in recorded.events] == ["sale"] * 5
    assert all("headgate.event.value" not in each.attributes for each in recorded.events)


def test_a_feature_is_a_flag_evaluation(recorded):
    """A feature's use follows the semantic convention for feature flags."""
    feature("dark-mode", "on", value=True)
    got = recorded.event
    assert got.event_name == "feature_flag.evaluation"
    assert got.attributes["feature_flag.key"] == "dark-mode"
    assert got.attributes["feature_flag.result.variant"] == "on"
    assert got.attributes["feature_flag.result.value"] is True


@pytest.mark.parametrize("score", [0, 9, 10, "7", 8.0])
def test_nps_scores(recorded, score):
    """Whole scores from 0 to 10 are recorded, as a number to sum and as an integer."""
    nps(score, comment="fine")
    found = recorded.event.attributes
    assert recorded.event.event_name == "headgate.nps"
    assert found["headgate.event.value"] == float(score)
    assert found["headgate.nps.score"] == int(score)
    assert found["headgate.nps.comment"] == "fine"


def test_a_session_belongs_to_its_user(recorded):
    """Inside a session every call and event carries its user and id; outside none does."""
    with session(user="u1") as visit:
        work()
        event("inside")
    event("outside")
    (span,) = recorded.spans
    start, inside, end, outside = recorded.events
    assert [start.event_name, end.event_name] == ["session.start", "session.end"]
    for attributes in (span.attributes, start.attributes, inside.attributes, end.attributes):
        assert attributes["user.id"] == "u1"
        assert attributes["session.id"] == visit.id
    assert "user.id" not in outside.attributes
    assert outside.attributes.get("session.id") != visit.id


def test_sessions_nest_and_keep_the_user(recorded):
    """An inner session names the outer one, keeps its user, and leaves it as it was."""
    with session(user="u1") as outer:
        with session() as inner:
            event("x")
        assert current().session == outer.id
    begun, got = recorded.events[1:3]
    assert begun.attributes["session.previous_id"] == outer.id
    assert got.attributes["session.id"] == inner.id
    assert got.attributes["user.id"] == "u1"


def test_identify_marks_the_request_that_is_already_running(hosted):
    """A user found after the server's span began is on that span, on the current one.

    And on what follows.
    """
    tracer = hosted.tracers.get_tracer("t")
    start = tracer.start_as_current_span
    with start("server", kind=SpanKind.SERVER), start("middle"), start("view"):
        identify("u7", "s7")
        work()
    found = {span.name.rpartition(".")[2]: span.attributes.get("user.id") for span in hosted.spans}
    assert found == {"work": "u7", "view": "u7", "middle": None, "server": "u7"}


def test_tasks_do_not_share_identity(recorded):
    """Concurrent tasks each act for their own user."""

    async def one(user):
        with session(user=user):
            await asyncio.sleep(0)
            event("step")

    async def main():
        await asyncio.gather(*(one(f"u{number}") for number in range(20)))

    asyncio.run(main())
    steps = [each.attributes["user.id"] for each in recorded.events if each.event_name == "step"]
    assert sorted(steps) == sorted(f"u{number}" for number in range(20))


def test_identity_travels_as_baggage_unless_told_otherwise(hosted, monkeypatch):
    """Identity is put into the baggage that other services get.

    And stays here with HEADGATE_PROPAGATE=false.
    """
    with session(user="u1", id="s1"):
        assert dict(baggage.get_all()) == {"user.id": "u1", "session.id": "s1"}
    monkeypatch.setenv("HEADGATE_PROPAGATE", "false")
    telemetry._state.settings = telemetry.read()
    with session(user="u1"):
        assert dict(baggage.get_all()) == {}
        work()
    assert hosted.span.attributes["user.id"] == "u1"


def test_received_baggage_is_recorded_by_the_application_and_not_by_a_library(recorded, request):
    """A user in baggage is on an application's calls; a library's private telemetry never takes it."""
    token = attach(baggage.set_baggage("user.id", "remote"))
    work()
    detach(token)
    expected = "remote" if "host" in request.node.name else None
    assert recorded.span.attributes.get("user.id") == expected


def test_what_the_application_set_is_not_overwritten(hosted):
    """A span or record that names its own user keeps it."""
    with session(user="u1"):
        tracer = hosted.tracers.get_tracer("t")
        tracer.start_span("own", attributes={"user.id": "other"}).end()
        event("own", user="third")
    assert hosted.span.attributes["user.id"] == "other"
    assert hosted.events[1].attributes["user.id"] == "third"


def test_private_telemetry_does_not_touch_the_applications_spans(hosted):
    """A library's private call is not the parent of the application's spans, nor their child."""
    private = Private(object(), object())
    tracer = hosted.tracers.get_tracer("t")
    with tracer.start_as_current_span("application") as outer:
        inside = private.around(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT), get_current())
        assert trace.get_current_span(inside) is outer
        assert not trace.get_current_span(private.parent(inside)).is_recording()
        assert SPAN_KEY in inside
    assert isinstance(inside, Context)


def test_assignment_never_changes():
    """The published assignment: these places are a promise to every language that implements it."""
    assert [round(position("new-search", user), 6) for user in ("u1", "u2", "é")] == PLACES
    assert assign("new-search", "u1", {"a": 1, "b": 1}) == ("a" if PLACES[0] < 0.5 else "b")


# Also: printf "new-search\0u1" | sha256sum, the first 16 digits as a fraction of 2^64.
PLACES = [0.847525, 0.644404, 0.55694]


@given(
    st.dictionaries(st.text(min_size=1), st.floats(0, 1e6), min_size=1).filter(
        lambda d: sum(d.values()) > 0
    )
)
def test_only_variants_with_a_share_are_assigned(variants):
    """Assignment is deterministic and never gives a variant whose share is zero."""
    for number in range(20):
        chosen = assign("e", f"u{number}", variants)
        assert chosen == assign("e", f"u{number}", variants)
        assert variants[chosen] > 0


def test_the_split_is_honoured_and_experiments_are_independent():
    """Over 40 000 users each variant gets its share within 4.5 standard errors.

    Whatever another experiment gave.
    """
    users = 40_000
    variants = {"control": 0.7, "b": 0.2, "c": 0.1}
    first = [assign("one", f"u{n}", variants) for n in range(users)]
    second = [assign("two", f"u{n}", variants) for n in range(users)]
    both = Counter(zip(first, second, strict=True))
    for a, share_a in variants.items():
        assert (
            abs(first.count(a) / users - share_a) < 4.5 * (share_a * (1 - share_a) / users) ** 0.5
        )
        for b, share_b in variants.items():
            joint = share_a * share_b
            assert abs(both[a, b] / users - joint) < 4.5 * (joint * (1 - joint) / users) ** 0.5


def test_an_experiment_records_one_exposure_a_user(recorded):
    """The exposure names experiment, variant and user.

    And is recorded once however often the code asks.
    """
    variants = {"control": 0.5, "b": 0.5}
    chosen = {experiment("new-search", variants, user="u1") for _ in range(100)}
    assert len(chosen) == 1
    found = recorded.event.attributes
    assert recorded.event.event_name == "feature_flag.evaluation"
    assert found["headgate.experiment"] == found["feature_flag.key"] == "new-search"
    assert found["feature_flag.result.variant"] in variants
    assert found["feature_flag.result.variant"] in chosen
    assert found["feature_flag.result.reason"] == "split"
    assert found["feature_flag.context.id"] == found["user.id"] == "u1"


def test_an_experiment_works_while_telemetry_is_off():
    """The same user gets the same variant, recorded or not."""
    variants = {"control": 0.5, "b": 0.5}
    assert experiment("e", variants, user="u1") == assign("e", "u1", variants)
    with session(user="u2"):
        assert experiment("e", variants) == assign("e", "u2", variants)


def test_nobody_gets_the_first_variant(recorded):
    """Without anybody to assign there is no exposure, and the first variant is served."""
    assert experiment("e", {"control": 0.1, "b": 0.9}) == "control"
    assert recorded.events == []


@pytest.mark.parametrize("variants", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": float("nan")}])
def test_impossible_splits_are_said(variants):
    """Shares that are no split raise at once, in development."""
    with pytest.raises(ValueError, match="shares that are not negative"):
        experiment("e", variants, user="u")
