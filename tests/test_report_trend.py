"""Trends: the order of the classes, the slopes of SciPy, gaps, periods, and when it began."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import NO_ROWS, NOW, add_spans, columns, reduced
from scipy import stats

from headgate.queries import run
from headgate.queries.reports.trend.classes import confidence, growth, trend_type
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.store import Store

DAYS = 20
WINDOW = Window(NOW - timedelta(days=DAYS), NOW)
START_S = int(WINDOW.since.timestamp())
counts = st.lists(st.integers(0, 20), min_size=DAYS, max_size=DAYS)


@pytest.mark.parametrize(
    ("calls", "velocity", "word"),
    [
        (4, -2.0, "abandoned"),
        (4, -1.99, "emerging"),
        (5, -2.0, "emerging"),
        (9, 5.0, "emerging"),
        (10, 0.5, "stable"),
        (10, 0.51, "growing"),
        (10, -0.5, "stable"),
        (10, -0.51, "declining"),
        (500, -3.0, "declining"),
        (0, 0.0, "emerging"),
    ],
)
def test_classes_at_their_thresholds(calls: float, velocity: float, word: str) -> None:
    """Abandoned is tested first, then emerging, then the velocity; 0.5 itself is stable (REQ-TRD-01)."""
    assert trend_type(calls, velocity, 5) == word
    assert trend_type(calls, velocity, 4) == "not enough history"


def test_growth_and_confidence() -> None:
    """The last quarter against the first; 1 where only the last has calls; at least one period is a quarter."""
    y = np.array(
        [[2, 2, 9, 9, 9, 9, 3, 3], [0, 0, 9, 9, 9, 9, 0, 1], [0] * 8, [4, 4, 0, 0, 0, 0, 0, 0.0]]
    )
    assert growth(y).tolist() == [0.5, 1, 0, -1]
    assert growth(np.array([[2.0, 3, 5]])).tolist() == [1.5]
    assert (confidence(50, 5), confidence(1000, 99), confidence(0, 0)) == (0.5, 1.0, 0.0)


def made(by_operation: dict[str, list[int]], failed: dict[str, list[int]] | None = None) -> Any:
    rows = []
    for operation, calls in by_operation.items():
        failures = (failed or {}).get(operation, [0] * len(calls))
        for day, (n, lost) in enumerate(zip(calls, failures, strict=True)):
            for outcome, number in (("ok", n - lost), ("error", lost)):
                if number:
                    rows.append(
                        {
                            "service": "s",
                            "operation": operation,
                            "outcome": outcome,
                            "period_s": START_S + day * 86400,
                            "day_s": START_S + day * 86400,
                            "arrivals": number,
                            "calls": float(number),
                            "variance": 0.0,
                            "duration": number * 1e6,
                        }
                    )
    found = columns(rows)
    return {"usage": found, "moments": found, "anyone.arrivals": found}


@given(a=counts, b=counts, random=st.randoms())
def test_velocity_is_the_slope_of_linear_regression(
    a: list[int], b: list[int], random: Any
) -> None:
    """Whatever the order of rows: velocity, p-value, acceleration of each operation and of all equal SciPy's."""
    given_ = made({"a": a, "b": b}) | {"anyone.arrivals": NO_ROWS}
    order = list(range(given_["usage"].rows))
    random.shuffle(order)
    if order:
        given_["usage"] = given_["usage"].chosen(np.array(order))
    found = reduced("trend", given_, WINDOW, step=timedelta(minutes=15))
    x = np.arange(DAYS)
    expected = {"a": np.array(a), "b": np.array(b), None: np.array(a) + b}
    records = [(None, found["summary"]), *((row["operation"], row) for row in found["rows"])]
    for name, record in records:
        y = expected[name]
        if not y.any():
            continue
        fit = stats.linregress(x, y)
        assert record["velocity"] == pytest.approx(fit.slope, abs=1e-6)
        if len(set(y.tolist())) > 1:
            assert record["velocity_p_value"] == pytest.approx(fit.pvalue, abs=1e-5)
        halves = [stats.linregress(x[part], y[part]).slope for part in (slice(10), slice(10, None))]
        assert record["acceleration"] == pytest.approx(halves[1] - halves[0], abs=2e-6)
        assert record["calls"] == y.sum()
        assert record["trend"] == trend_type(y.sum(), record["velocity"], y.size)


def test_when_it_began() -> None:
    """A rise of the error rate and of calls is found on its day, called by its name, before what may be noise."""
    random = np.random.default_rng(4)
    steady = random.poisson(400, DAYS).tolist()
    doubled = random.poisson(np.where(np.arange(DAYS) < 8, 200, 400)).tolist()
    failing = random.binomial(steady, np.where(np.arange(DAYS) < 12, 0.01, 0.2)).tolist()
    found = reduced(
        "trend",
        made({"doubled": doubled, "steady": steady}, {"steady": failing}),
        WINDOW,
        step=timedelta(minutes=15),
    )
    changes = {(c["operation"], c["metric"]): c for c in found["summary"]["changes"]}
    # One in twenty of what is shown may be chance; what is sure comes first.
    assert set(list(changes)[:2]) == {("doubled", "calls"), ("steady", "error_rate")}
    assert all(c["p_value"] < 1e-3 for c in list(changes.values())[:2])
    assert changes["doubled", "calls"]["kind"] == "growth"
    assert changes["doubled", "calls"]["began_at"] == "2026-11-08T00:00:00Z"
    assert changes["steady", "error_rate"]["kind"] == "degradation"
    assert changes["steady", "error_rate"]["began_at"] == "2026-11-12T00:00:00Z"
    assert changes["steady", "error_rate"]["after"] == pytest.approx(0.2, abs=0.02)
    marked = [p["period"] for p in found["summary"]["timeline"] if p["changed"]]
    assert {"2026-11-08", "2026-11-12"} <= set(marked)
    rows = {row["operation"]: row for row in found["rows"]}
    assert rows["doubled"]["changed_at"] == "2026-11-08T00:00:00Z"


def test_gaps_are_missing_and_not_zero() -> None:
    """Days on which nothing at all was recorded are null and have no part in the slope (REQ-CAP-24)."""
    calls = [100] * 6 + [0] * 4 + [100] * 10
    found = reduced("trend", made({"a": calls}), WINDOW, step=timedelta(minutes=15))
    assert found["summary"]["periods_missing"] == 4
    assert found["summary"]["velocity"] == 0
    assert found["rows"][0]["calls_series"][5:11] == [100, None, None, None, None, 100]
    quiet = reduced("trend", made({"a": [n // 50 for n in calls]}), WINDOW)
    assert quiet["summary"]["periods_missing"] == 0


def test_what_stopped_is_a_decline_and_not_missing(store: Store) -> None:
    """An operation that ends while others go on has zeros, not gaps."""
    found = reduced(
        "trend",
        made({"a": [100] * 8 + [0] * 12, "b": [100] * DAYS}),
        WINDOW,
        step=timedelta(minutes=15),
    )
    row = next(row for row in found["rows"] if row["operation"] == "a")
    assert row["calls_series"][8:] == [0] * 12
    assert row["trend"] == "declining"
    assert row["growth_rate"] == -1


@pytest.mark.parametrize(
    ("days", "step", "periods"),
    [(2, "hour", 48), (30, "day", 30), (120, "week", 18), (900, "month", 30)],
)
def test_periods_suit_the_window(store: Store, days: int, step: str, periods: int) -> None:
    """Hours up to 2 days, days up to 92, weeks up to 2 years, then months; never days for a year (PIT-R1-04)."""
    add_spans(store, [{"Timestamp": NOW - timedelta(minutes=m)} for m in (5, 60 * 24 * days - 5)])
    summary = run("trend", store, now=NOW, since=f"{days}d", where={"": ""}).summary
    assert summary.step == step
    assert len(summary.timeline) == periods
