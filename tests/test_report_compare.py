"""Comparisons against SciPy's tests, and by simulation: what is the same is rarely called different."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from report_rows import NOW, add_spans, columns
from scipy import stats

from headgate.queries import ReportError, compare_periods, run
from headgate.queries.reports.compare.judge import (
    of_calls,
    of_error_rates,
    of_means,
    of_quantiles,
)
from headgate.queries.spread import Spread
from headgate.store.histogram import bucket_index

if TYPE_CHECKING:
    from headgate.queries.columns import Columns
    from headgate.queries.estimate import Estimate
    from headgate.store import Store


def outcomes(failed: int, well: int) -> Columns:
    return columns(
        {"outcome": o, "calls": float(n), "variance": 0.0}
        for o, n in (("error", failed), ("ok", well))
    )


def moments(duration_ns: np.ndarray) -> Columns:
    return columns(
        [
            {
                "calls": float(duration_ns.size),
                "duration": float(duration_ns.sum()),
                "duration_squares": float((duration_ns.astype(float) ** 2).sum()),
                "shortest": float(duration_ns.min()),
                "longest": float(duration_ns.max()),
                **dict.fromkeys(("variance", "variance_y", "variance_y2"), 0.0),
            }
        ]
    )


def buckets(duration_ns: np.ndarray) -> Columns:
    index, counts = np.unique(bucket_index(duration_ns.astype(np.uint64)), return_counts=True)
    return columns(
        {"bucket": int(i), "calls": float(n), "variance": 0.0}
        for i, n in zip(index, counts, strict=True)
    )


def p95(duration_ns: np.ndarray) -> list[Estimate] | None:
    return Spread([(moments(duration_ns), buckets(duration_ns))], [0.95]).sampled()[0]


def test_means_are_welchs() -> None:
    """Difference, error and probability equal Welch's test on the durations themselves, for large samples."""
    random = np.random.default_rng(1)
    a, b = random.lognormal(17, 1, 4000), random.lognormal(17.05, 1, 3000)
    found = of_means(moments(a), moments(b))
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert found.value == pytest.approx((a.mean() - b.mean()) / 1e6)
    assert found.standard_error == pytest.approx(
        np.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size) / 1e6, rel=1e-3
    )
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.01)
    low, high = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low / 1e6, high / 1e6), rel=0.02)


@pytest.mark.parametrize(
    ("a", "b"), [((3, 40), (12, 35)), ((0, 50), (9, 60)), ((200, 900), (260, 880))]
)
def test_error_rates_are_fishers(a: tuple[int, int], b: tuple[int, int]) -> None:
    """The probability is twice the smaller tail of Fisher's exact test, the interval holds the difference."""
    found = of_error_rates(outcomes(*a), outcomes(*b))
    tails = [stats.fisher_exact([a, b], alternative=side).pvalue for side in ("less", "greater")]
    assert found.p_value == pytest.approx(min(2 * min(tails), 1), rel=0.03)
    assert found.value == pytest.approx(a[0] / sum(a) - b[0] / sum(b))
    assert found.low < found.value < found.high
    assert (found.low > 0 or found.high < 0) == (found.p_value < 0.05)


def test_calls_of_like_periods_are_a_paired_test() -> None:
    """What hours have in common is no noise: SciPy's paired test, though the hours differ a hundredfold."""
    random = np.random.default_rng(2)
    shape = np.exp(3 * np.sin(np.arange(48) / 24 * 2 * np.pi) + 6)
    a, b = (shape * random.normal(level, 0.05, 48).clip(0.5) for level in (1.1, 1.0))
    found = of_calls(a, b, (2.0, 2.0))
    expected = stats.ttest_rel(a / 2, b / 2)
    assert found.value == pytest.approx((a.sum() - b.sum()) / 2)
    assert found.p_value == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low * 48, high * 48))
    unpaired = of_calls(a, b[:-1], (2.0, 2.0))
    assert unpaired.p_value > found.p_value


def test_constant_calls_are_no_surer_than_poisson() -> None:
    """Ten periods of exactly 100 against ten of 101 are no significant difference, though no period deviates."""
    found = of_calls(np.full(10, 100.0), np.full(10, 101.0), (10.0, 10.0))
    assert found.standard_error == pytest.approx(np.sqrt(1000 + 1010) / 10)
    assert found.p_value > 0.5
    assert of_calls(np.zeros(5), np.zeros(5), (5.0, 5.0)).p_value is None


def test_the_same_is_rarely_called_different() -> None:
    """Two samples of one process: p < 0.05 in about one of twenty, for counts, rates, means and quantiles."""
    random = np.random.default_rng(3)
    below: dict[str, list[bool]] = {}
    for _ in range(400):
        counts = random.poisson(30, (2, 20)).astype(float)
        durations = random.lognormal(17, 0.8, (2, 300))
        failed = random.binomial(300, 0.1, 2)
        found = {
            "calls": of_calls(*counts, (20.0, 20.0)),
            "means": of_means(*(moments(d) for d in durations)),
            "p95": of_quantiles(*map(p95, durations), 1)[0],
            "rates": of_error_rates(*(outcomes(int(f), 300 - int(f)) for f in failed)),
        }
        for name, judged in found.items():
            below.setdefault(name, []).append(judged.p_value is not None and judged.p_value < 0.05)
    for name, hits in below.items():
        # The interval of a quantile with few calls beyond it is wide: conservative.
        assert (0 if name == "p95" else 0.01) <= np.mean(hits) < 0.085, name


def test_a_quantiles_error_is_that_of_repetition() -> None:
    """The standard error of a difference of p95 is about what its spread over repeated samples is."""
    random = np.random.default_rng(4)
    drawn = [random.lognormal(17, 0.8, (2, 2000)) for _ in range(150)]
    found = [of_quantiles(*map(p95, pair), 1)[0] for pair in drawn]
    spread = np.std([judged.value for judged in found])
    assert np.mean([judged.standard_error for judged in found]) == pytest.approx(spread, rel=0.2)


@pytest.fixture
def used(store: Store) -> list[dict[str, Any]]:
    """Return two days: yesterday `pay` failed twice as often and took twice as long, `look` is the same."""
    random = np.random.default_rng(5)
    found = []
    for day in (0, 1):
        for number in range(900):
            operation = ("pay", "look")[number % 2]
            slow = operation == "pay" and day == 0
            found.append(
                {
                    "Timestamp": NOW - timedelta(days=day, minutes=int(random.integers(1, 1440))),
                    "SpanName": operation,
                    "StatusCode": "Error" if random.random() < (0.3 if slow else 0.1) else "Unset",
                    "Duration": int(random.lognormal(17 + 0.7 * slow, 0.5)),
                    "SpanAttributes": {
                        "version": f"v{2 - day}",
                        "user.id": f"u{number % (9 + day)}",
                    },
                }
            )
    add_spans(store, found)
    return found


def test_what_changed_is_told_from_what_did_not(store: Store, used: list[dict[str, Any]]) -> None:
    """Against the day before: pay is worse in failures and durations, look is not; values are direct counts."""
    answer = run("compare", store, now=NOW, where={"": ""})
    rows = {(row.operation, row.metric): row for row in answer.rows}
    for metric in ("error_rate", "mean_ms", "p50_ms", "p95_ms"):
        assert rows["pay", metric].verdict == "worse", metric
        assert rows["look", metric].verdict == "no clear difference", metric
    assert rows["pay", "calls_per_day"].verdict == "no clear difference"
    assert rows["pay", "unique_users"].verdict == "not tested"
    assert answer.summary.worse >= 4
    assert answer.summary.better == 0
    assert (answer.summary.calls.value, answer.summary.calls_against.value) == (900, 900)
    for day, side in ((0, "value"), (1, "against")):
        mine = [
            use
            for use in used
            if use["SpanName"] == "pay" and use["SpanAttributes"]["version"] == f"v{2 - day}"
        ]
        failed = np.mean([use["StatusCode"] == "Error" for use in mine])
        assert getattr(rows["pay", "error_rate"], side).value == round(failed, 4)
        mean_ms = np.mean([use["Duration"] for use in mine]) / 1e6
        assert getattr(rows["pay", "mean_ms"], side).value == pytest.approx(mean_ms)
        users = {use["SpanAttributes"]["user.id"] for use in mine}
        assert getattr(rows["pay", "unique_users"], side).value == len(users)
    row = rows["pay", "mean_ms"]
    assert row.difference == pytest.approx(row.value.value - row.against.value, abs=1e-6)
    assert row.change_rate == round(row.value.value / row.against.value - 1, 4)
    assert row.low < row.difference < row.high


def test_groups_are_compared_in_one_window(store: Store, used: list[dict[str, Any]]) -> None:
    """Version against version, operation against operation, whichever way asked."""
    versions = run(
        "compare",
        store,
        now=NOW,
        since="2d",
        where={"version": "v2"},
        against_where="version=v1",
    )
    assert (versions.summary.calls.value, versions.summary.calls_against.value) == (900, 900)
    assert {row.operation for row in versions.rows} == {"pay", "look"}
    operations = run(
        "compare",
        store,
        now=NOW,
        where={"": ""},
        operation="pay",
        against_operation="look",
    )
    assert operations.summary.against_since_at == operations.window.since
    verdicts = {row.metric: row.verdict for row in operations.rows}
    assert len(operations.rows) == len(verdicts)
    assert verdicts["mean_ms"] == "worse"


def test_another_period(store: Store, used: list[dict[str, Any]]) -> None:
    """A period given by its begin is as long as the window; periods of other lengths are compared by the day."""
    question = {"now": NOW, "where": {"": ""}}
    found = run("compare", store, since="24h", against_since="48h", **question).summary
    assert (found.against_since_at, found.against_until_at) == (
        NOW - timedelta(days=2),
        NOW - timedelta(days=1),
    )
    longer = run(
        "compare", store, since="24h", against_since="48h", against_until="now", **question
    )
    calls = next(m for m in longer.summary.metrics if m.metric == "calls_per_day")
    assert (calls.value.value, calls.against.value) == (900, 900)
    nothing = run("compare", store, since="24h", against_since="30d", **question)
    assert nothing.summary.calls_against.value == 0
    assert {m.change_rate for m in nothing.summary.metrics} == {None}
    for wrong, says in (
        ({"against_until": "1d"}, "needs against_since"),
        ({"against_since": "1d", "against_until": "2d"}, "the other period is empty"),
        ({"against_where": "version"}, "write key=value"),
    ):
        with pytest.raises(ReportError, match=says):
            run("compare", store, **question, **wrong)


def test_compare_periods_by_name(store: Store, used: list[dict[str, Any]]) -> None:
    """compare_periods compares two periods, by each of the dimensions."""
    day = timedelta(days=1)
    found = compare_periods(
        (NOW - day, NOW), (NOW - 2 * day, NOW - day), ["version"], store=store, now=NOW
    )
    assert list(found) == ["version"]
    metrics = {(row.operation, row.metric): row for row in found["version"].rows}
    assert metrics["v2", "calls_per_day"].against.value == 0
    whole = compare_periods((NOW - day, NOW), (NOW - 2 * day, NOW - day), store=store, now=NOW)
    assert list(whole) == [None]
