"""Performance over time: the timeline, the histogram, memory and the window before, against NumPy on the same spans."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from report_rows import NOW, add_spans

from headgate.queries import run
from headgate.store.histogram import RELATIVE_ERROR

if TYPE_CHECKING:
    from headgate.store import Store

HOURS = 10


@pytest.fixture
def drawn(store: Store) -> dict[str, np.ndarray]:
    random = np.random.default_rng(11)
    count = 3000
    found = {
        "minute": random.integers(0, 2 * HOURS * 60, count),
        "duration": random.lognormal(17, 1, count).astype(np.uint64),
        "growth": random.normal(2e6, 1e6, count).astype(np.int64),
        "measured": random.random(count) < 0.4,
    }
    add_spans(
        store,
        (
            {
                "Timestamp": NOW - timedelta(minutes=int(found["minute"][i]), seconds=30),
                "Duration": int(found["duration"][i]),
                "SpanAttributes": {
                    "headgate.memory.growth": str(found["growth"][i]),
                    "headgate.memory.peak": str(found["growth"][i] + 10**8),
                }
                if found["measured"][i]
                else {},
            }
            for i in range(count)
        ),
    )
    return found


def test_the_timeline_is_numpys(store: Store, drawn: dict[str, np.ndarray]) -> None:
    """Every hour has its calls, mean and percentiles; the hours of a local day are labelled with their offset."""
    answer = run(
        "performance", store, now=NOW, since=f"{HOURS}h", timezone="Asia/Kolkata", where={"": ""}
    )
    hour = (drawn["minute"] // 60)[drawn["minute"] < HOURS * 60]
    ms = drawn["duration"][drawn["minute"] < HOURS * 60] / 1e6
    # Hours of Kolkata begin at half past: the first and the last period are half ones.
    assert len(answer.summary.timeline) == HOURS + 1
    assert answer.summary.timeline[0].period == "2026-11-19T19:00+05:30"
    half = (drawn["minute"][drawn["minute"] < HOURS * 60] + 30) // 60
    for number, period in enumerate(reversed(answer.summary.timeline)):
        members = ms[half == number]
        assert period.calls.value == members.size
        assert period.mean_ms.value == pytest.approx(members.mean(), abs=1e-6)
        for name, share in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99)):
            expected = np.percentile(members, share)
            assert getattr(period, name).value == pytest.approx(expected, rel=RELATIVE_ERROR)
    (row,) = answer.rows
    means = [ms[half == number].mean() for number in range(HOURS, -1, -1)]
    assert row.mean_series == pytest.approx(means, abs=1e-6)
    assert hour.size == row.calls.value


def test_memory_and_the_window_before(store: Store, drawn: dict[str, np.ndarray]) -> None:
    """Growth is averaged over the calls that measured it; p95 of the window before is that of the earlier spans."""
    (row,) = run("performance", store, now=NOW, since=f"{HOURS}h", where={"": ""}).rows
    now = drawn["minute"] < HOURS * 60
    growth = drawn["growth"][now & drawn["measured"]]
    assert row.memory_growth_bytes.value == round(growth.mean())
    assert row.memory_peak_bytes.value == growth.max() + 10**8
    earlier = np.percentile(drawn["duration"][~now] / 1e6, 95)
    assert row.p95_before_ms.value == pytest.approx(earlier, rel=RELATIVE_ERROR)
    assert row.share == 1


def test_the_histogram_holds_every_call(store: Store, drawn: dict[str, np.ndarray]) -> None:
    """Bins follow one another, 1.41 times as high each, and together hold every call between their bounds."""
    bins = run(
        "performance", store, now=NOW, since=f"{2 * HOURS}h", where={"": ""}
    ).summary.histogram
    ms = drawn["duration"] / 1e6
    assert sum(part.calls for part in bins) == ms.size
    for part, following in itertools.pairwise(bins):
        assert part.high_ms == following.low_ms
        assert part.high_ms == pytest.approx(part.low_ms * 2**0.5, rel=1e-4)
    for part in bins:
        wide = (ms > part.low_ms * (1 - 0.022)) & (ms <= part.high_ms * (1 + 0.022))
        assert part.calls <= wide.sum()
