"""Adaptive sampling that stays statistically true: pure functions from a segment's columns to what is kept.

`decide(arrivals, law, state)` chooses a threshold for every trace and applies it; `repeat` applies those of a plan.
Collectors need not talk to each other: what one keeps at a lower probability, every other keeps at a higher one.
"""

from headgate.collector.law import Law
from headgate.collector.sampler.decide import Decision, Kept, decide, repeat
from headgate.collector.sampler.log_attributes import (
    read_randomness,
    read_thresholds,
    write_thresholds,
)
from headgate.collector.sampler.people import Thinned, person, thin_events
from headgate.collector.sampler.state import State
from headgate.collector.sampler.strata import strata_of
from headgate.collector.sampler.thresholds import DROP, pack, threshold_text, unpack
from headgate.collector.sampler.traces import Arrivals, read_ids
from headgate.collector.sampler.tracestate import read as read_trace_state
from headgate.collector.sampler.tracestate import write as write_trace_state
from headgate.collector.sampler.window import Window

__all__ = [
    "DROP",
    "Arrivals",
    "Decision",
    "Kept",
    "Law",
    "State",
    "Thinned",
    "Window",
    "decide",
    "pack",
    "person",
    "read_ids",
    "read_randomness",
    "read_thresholds",
    "read_trace_state",
    "repeat",
    "strata_of",
    "thin_events",
    "threshold_text",
    "unpack",
    "write_thresholds",
    "write_trace_state",
]
