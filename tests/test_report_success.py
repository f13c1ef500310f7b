"""Success: outcomes, scores and gates against direct counting; verdicts change exactly at their thresholds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import NOW, add_spans, columns, reduced

from headgate.queries import run
from headgate.queries.estimate import exactly
from headgate.queries.reports.success import verdict
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.store import Store

WINDOW = Window(NOW - timedelta(days=4), NOW)
DAY_S = 86400
uses = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["ok", "error", "timeout"]),
        st.integers(0, 3),
        st.one_of(st.none(), st.floats(0, 1)),
        st.booleans(),
    ),
    max_size=30,
)


def made(drawn: list[Any]) -> dict[str, Any]:
    """Return what the queries would return if every use were a row of its own."""
    usage = [
        {
            "service": "s",
            "operation": operation,
            "outcome": outcome,
            "period_s": int(WINDOW.since.timestamp()) + day * DAY_S,
            "arrivals": 1,
            "calls": 1.0,
            "variance": 0.0,
        }
        for operation, outcome, day, _, _ in drawn
    ]
    quality = [
        {
            "service": "s",
            "operation": operation,
            "scored": int(score is not None),
            "scored_n": float(score is not None),
            "scored_t": score or 0.0,
            **dict.fromkeys(("scored_s0", "scored_s1", "scored_s2", "gate_variance"), 0.0),
            "failures": int(failed),
            "gate_failures": float(failed),
        }
        for operation, _, _, score, failed in drawn
    ]
    return {"usage": columns(usage), "quality": columns(quality)}


@given(drawn=uses, random=st.randoms())
def test_numbers_are_those_of_direct_counting(drawn: list[Any], random: Any) -> None:
    """Any order of rows gives the counts, rates, scores and series that a loop over the uses finds."""
    random.shuffle(shuffled := list(drawn))
    found = reduced("success", made(shuffled), WINDOW)
    assert found["summary"]["calls"] == len(drawn)
    for record, mine in [
        (found["summary"], drawn),
        *((row, [use for use in drawn if use[0] == row["operation"]]) for row in found["rows"]),
    ]:
        well = sum(use[1] == "ok" for use in mine)
        scores = [use[3] for use in mine if use[3] is not None]
        assert record["success_count"] == well
        assert record["failure_count"] == len(mine) - well
        assert record["timeout_count"] == sum(use[1] == "timeout" for use in mine)
        assert record["quality_gate_failures"] == sum(use[4] for use in mine)
        assert record["scored_calls"] == len(scores)
        expected = np.mean(scores) if scores else 0
        assert record["avg_quality_score"] == pytest.approx(expected, abs=6e-5)
        if mine:
            assert record["success_rate"] == round(well / len(mine), 4)
            assert record["success_rate"] + record["error_rate"] == pytest.approx(1, abs=1.1e-4)
    for row in found["rows"]:
        for day, share in enumerate(row["success_series"]):
            ends = [use[1] == "ok" for use in drawn if use[0] == row["operation"] and use[2] == day]
            assert share == (round(sum(ends) / len(ends), 4) if ends else None)
    if drawn:
        assert [period["calls"] for period in found["summary"]["timeline"]] == [
            sum(use[2] == day for use in drawn) for day in range(4)
        ]


@pytest.mark.parametrize(
    ("rate", "gates", "score", "words"),
    [
        (0.80, 0, 0.70, "ok"),
        (0.7999, 0, None, "low success"),
        (1.0, 1, None, "gates failed"),
        (1.0, 0, 0.6999, "low quality"),
        (1.0, 0, 0.0, "low quality"),
        (0.0, 3, 0.5, "low success, gates failed, low quality"),
        (None, 0, None, "no calls"),
    ],
)
def test_verdicts_at_their_thresholds(
    rate: float | None, gates: float, score: float | None, words: str
) -> None:
    """Words change exactly at the thresholds of REQ-SUC-02 to -05; a score of 0 is a score."""
    assert verdict(None if rate is None else exactly(rate), gates, score) == words


def test_scores_come_from_attributes(store: Store) -> None:
    """Scores and gates are read from calls that have them; what is no number is no score."""
    said = [
        {"headgate.quality.score": "0.5", "headgate.quality.gates_passed": "false"},
        {"headgate.quality.score": "1", "headgate.quality.gates_passed": "true"},
        {"headgate.quality.score": "good"},
        {},
    ]
    add_spans(store, ({"SpanAttributes": attributes} for attributes in said))
    summary = run("success", store, now=NOW, where={"": ""}).summary
    assert summary.calls.value == 4
    assert summary.scored_calls.value == 2
    assert summary.avg_quality_score.value == 0.75
    assert summary.quality_gate_failures.value == 1
    assert summary.verdict == "gates failed"
