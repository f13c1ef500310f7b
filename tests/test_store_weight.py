"""Weight: the adjusted count that a trace state or a log's attribute records, against integer arithmetic."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HEX = "0123456789abcdef"
THRESHOLDS = st.text(HEX, min_size=1, max_size=14)
BAD = st.sampled_from(
    ["", "g", "0123456789abcde", "FF", "8 8", "0x8", "-8", "8.", "ffffffffffffffff"]
)
OTHER_KEYS = st.sampled_from(["rv:123456789abcde", "p:8", "xth:8", "th2:8", "t:h", "x:th"])
OTHER_MEMBERS = st.sampled_from(["vendor=a:1;th:8", "rot=th:8", "ot2=th:8", "a@ot=th:4", "b=ot"])


@st.composite
def trace_states(draw):
    """Draw a trace state with at most one `th`, good or bad, among other keys and members."""
    keys = draw(st.lists(OTHER_KEYS, max_size=2))
    threshold = draw(st.none() | THRESHOLDS | BAD)
    if threshold is not None:
        keys.insert(draw(st.integers(0, len(keys))), f"th:{threshold}")
    members = draw(st.lists(OTHER_MEMBERS, max_size=2))
    if keys:
        members.insert(draw(st.integers(0, len(members))), "ot=" + ";".join(keys))
    return draw(st.sampled_from([",", ", ", " ,\t"])).join(members)


def adjusted_count(trace_state: str) -> float:
    """Return the oracle's answer: 2^56 / (2^56 - T) in integers, 1 without a good threshold."""
    for member in trace_state.split(","):
        key, _, value = member.strip(" \t").partition("=")
        for part in value.split(";") if key == "ot" else ():
            if re.fullmatch(r"th:[0-9a-f]{1,14}", part):
                threshold = int(part[3:].ljust(14, "0"), 16)
                return 2**56 / (2**56 - threshold)
    return 1.0


def weights(store, trace_states: list[str]) -> list[float]:
    """Insert one span a trace state, as the collector does: without the column. Read Weight."""
    client = store.client()
    client.command("TRUNCATE TABLE otel_traces")
    rows = [{"Duration": i, "TraceState": s} for i, s in enumerate(trace_states)]
    client.raw_insert("otel_traces", None, "\n".join(map(json.dumps, rows)), fmt="JSONEachRow")
    result = client.query("SELECT Weight FROM otel_traces ORDER BY Duration").result_rows
    return [weight for (weight,) in result]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(trace_states(), min_size=1, max_size=40))
def test_weight_is_the_adjusted_count(store, states):
    """Every trace state gives what integer arithmetic gives, malformed thresholds 1."""
    expected = [adjusted_count(s) for s in states]
    assert weights(store, states) == pytest.approx(expected, rel=1e-15)


KNOWN = {
    "": 1,
    "ot=th:0": 1,
    "ot=th:8": 2,
    "ot=th:c": 4,
    "ot=th:fd70a4": 100.00009536752259,
    "ot=rv:abcdefabcdefab;th:8": 2,
    "vendor=x, ot=th:8 ,other=y": 2,
    # T = 2^56 - 1 is no Float64: subtracting there would divide by zero.
    "ot=th:ffffffffffffff": 2.0**56,
    "ot=th:fffffffffffffe": 2.0**55,
    "ot=th:123456789abcdef": 1,
    "ot=th:FF": 1,
    "ot=th:": 1,
    "th:8": 1,
    "xot=th:8": 1,
}


def test_known_weights(store):
    """Examples by hand, malformed trace states among them."""
    assert weights(store, list(KNOWN)) == pytest.approx(list(KNOWN.values()), rel=1e-15)


@pytest.mark.parametrize(
    ("attributes", "weight"),
    [
        ({}, 1),
        ({"sampling.threshold": "8"}, 2),
        ({"sampling.threshold": "fd70a4"}, 100.00009536752259),
        ({"sampling.threshold": "ffffffffffffff"}, 2.0**56),
        ({"sampling.threshold": "123456789abcdef"}, 1),
        ({"sampling.threshold": "th:8"}, 1),
        ({"sampling.threshold": ""}, 1),
        ({"sampling.randomness": "80000000000000"}, 1),
    ],
)
def test_weight_of_a_log_record(store, attributes, weight):
    """A log record's weight comes from `sampling.threshold`, read as `ot=th:` is; 1 where it is malformed."""
    row = json.dumps({"LogAttributes": attributes})
    store.client().raw_insert("otel_logs", None, row, fmt="JSONEachRow")
    ((found,),) = store.client().query("SELECT Weight FROM otel_logs").result_rows
    assert found == pytest.approx(weight, rel=1e-15)
