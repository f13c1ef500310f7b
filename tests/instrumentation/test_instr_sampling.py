"""Head sampling: consistent with the collector's, unbiased, parent-based, and off unless asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from headgate.instrumentation.sampling import Adaptive, Consistent, Rate, adaptive, ratio


class Spread(IdGenerator):
    """Trace ids whose low 56 bits walk evenly through their range, so that no test depends on luck."""

    def __init__(self, count):
        self.count = count
        self.number = 0

    def generate_trace_id(self):
        self.number += 1
        low = ((self.number * 2 - 1) << 55) // self.count
        return (1 << 120) + low

    def generate_span_id(self):
        return self.number or 1

    def is_trace_id_random(self):
        return True


def provider(sampler, count=1000):
    """Return a provider with this sampler, and what it exports to."""
    exporter = InMemorySpanExporter()
    tracers = TracerProvider(sampler=sampler, id_generator=Spread(count), shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return tracers.get_tracer("t"), exporter


def threshold(span):
    """Return the 56-bit threshold in a span's trace state."""
    text = span.context.trace_state["ot"]
    return int(text.removeprefix("th:").ljust(14, "0"), 16)


@pytest.mark.parametrize("probability", [1.0, 0.5, 0.1, 0.003])
def test_ratio_keeps_what_the_rule_says(probability):
    """A trace is kept exactly if its randomness reaches the threshold, and 1/p of each adds up to all."""
    tracer, exporter = provider(ratio(str(probability)))
    for _ in range(1000):
        tracer.start_span("root").end()
    kept = exporter.get_finished_spans()
    assert abs(len(kept) - 1000 * probability) <= 1
    for span in kept:
        assert (span.context.trace_id & ((1 << 56) - 1)) >= threshold(span)
        assert 1 - threshold(span) / (1 << 56) == pytest.approx(probability, rel=1e-9)


def test_children_follow_their_parent_and_carry_its_threshold():
    """A kept trace is kept whole, each span saying with what probability; a dropped one is dropped whole."""
    tracer, exporter = provider(ratio("0.5"), 100)
    for _ in range(100):
        start = tracer.start_as_current_span
        with start("root", attributes={"kept": True}), start("child"):
            tracer.start_span("grandchild").end()
    kept = exporter.get_finished_spans()
    assert len(kept) == 150
    assert {threshold(span) for span in kept} == {1 << 55}
    assert all(span.attributes["kept"] for span in kept if span.name == "root")


def test_a_remote_parent_decides():
    """A sampled remote parent's probability is taken over, an unsampled one's trace is dropped; other state is kept."""
    tracer, exporter = provider(ratio("0.001"))
    for sampled in (TraceFlags.SAMPLED, TraceFlags.DEFAULT):
        state = TraceState([("ot", "th:c"), ("vendor", "x")])
        remote = SpanContext((1 << 120) + (0xF << 52), 7, True, TraceFlags(sampled), state)
        tracer.start_span("server", set_span_in_context(NonRecordingSpan(remote))).end()
    kept = exporter.get_finished_spans()
    assert [span.context.trace_state["ot"] for span in kept][:1] == ["th:c"]
    assert kept[0].context.trace_state["vendor"] == "x"


def test_adaptive_follows_the_load():
    """Ten times the target keeps a tenth; when the load falls everything is kept again."""
    rate = Rate(target=100, began=0.0)
    for second in range(20):
        for number in range(1000):
            probability = rate.arrive(second + number / 1000)
    assert probability == pytest.approx(0.1, rel=0.01)
    for second in range(20, 40):
        for number in range(50):
            probability = rate.arrive(second + number / 50)
    assert probability == 1.0


def test_a_burst_is_met_at_once():
    """Within one second of silence's end the target already holds, up to the harmonic start of a burst."""
    rate = Rate(target=100, began=0.0)
    expected = sum(rate.arrive(0.5) for _ in range(100_000))
    assert expected < 100 * 8.5


@given(st.lists(st.floats(0, 5), max_size=200), st.floats(0.001, 1e6))
def test_probabilities_are_probabilities(gaps, target):
    """Whatever the arrivals, the probability is in (0, 1] and depends on nothing but counts and time."""
    one, two, now = Rate(target, 0.0), Rate(target, 0.0), 0.0
    for gap in gaps:
        now += gap
        probability = one.arrive(now)
        assert 0 < probability <= 1
        assert two.arrive(now) == probability


def test_adaptive_sampler_is_unbiased():
    """Each kept span's weight is 1/p of its own threshold, and the weights add up to the spans that were started."""
    ticks = iter(range(10**6))
    tracer, exporter = provider(Consistent(Adaptive(20, lambda: next(ticks) / 200)), 997)
    for _ in range(4000):
        tracer.start_span("root").end()
    weights = [1 / (1 - threshold(span) / (1 << 56)) for span in exporter.get_finished_spans()]
    assert len(weights) < 2000
    # Sampling error: each span contributes a variance of (1-p)/p at most.
    assert abs(sum(weights) - 4000) < 4 * sum(w * (w - 1) for w in weights) ** 0.5 + 20


@pytest.mark.parametrize("argument", [None, "", "often", "nan", "-3", "7"])
def test_arguments_that_make_no_sense(argument):
    """A sampler never fails to be made; what it cannot read means its default."""
    tracer, exporter = provider(ratio(argument))
    tracer.start_span("root").end()
    assert len(exporter.get_finished_spans()) == (0 if argument == "-3" else 1)
    adaptive(argument).get_description()
