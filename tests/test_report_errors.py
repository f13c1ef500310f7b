"""Errors: what sets failures apart is found and nothing else; states follow from when they were seen; rules speak."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import NOW as ROWS_NOW
from report_rows import add_spans
from scipy import stats

from headgate.queries import entry, run
from headgate.queries.columns import Columns
from headgate.queries.declaration import Context
from headgate.queries.estimate import exactly
from headgate.queries.periods import periods
from headgate.queries.reports.errors.advice import advise
from headgate.queries.reports.errors.differences import associations, differences, marks, speeds
from headgate.queries.reports.errors.ranking import days, overall, reliability
from headgate.queries.reports.errors.records import Association, Difference, ErrorParams, Row
from headgate.queries.window import Window

if TYPE_CHECKING:
    from headgate.store import Store

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def columns(rows: list[tuple[Any, ...]], *names: str) -> Columns:
    if not rows:
        return Columns({})
    found = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        found[name] = np.array(values, object if isinstance(values[0], str) else None)
    return Columns(found)


def told(rows: list[tuple[int, bool, dict[str, str], float]]) -> Columns:
    """Return what attributes.sql makes of uses: (fingerprint, ended well, attributes, weight).

    The attribute `operation` is also the stratum.
    """
    cells: dict[tuple[Any, ...], list[float]] = {}
    for fingerprint, well, attributes, weight in rows:
        stratum = zlib.crc32(attributes.get("operation", "").encode())
        for key, value in {"": "", **attributes}.items():
            kind = 0 if well else fingerprint
            cell = cells.setdefault((kind, well, stratum, key, value), [0, 0.0, 0.0])
            cell[0] += 1
            cell[1] += weight
            cell[2] += weight**2
    return columns(
        [(*key, *cell) for key, cell in cells.items()],
        *("fingerprint", "well", "stratum", "key", "value", "arrivals", "uses", "weight_squares"),
    )


def planted(seed: int, count: int, weight: float = 1.0) -> list[Any]:
    """Draw uses of which one tenant fails ten times as often; nothing else matters."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        tenant, region = f"t{random.integers(8)}", f"r{random.integers(20)}"
        failed = random.random() < (0.3 if tenant == "t3" else 0.03)
        told = {"tenant": tenant, "region": region, "build": str(random.integers(40))}
        rows.append((7, not failed, told, weight))
    return rows


def test_what_was_planted_is_found_and_nothing_else() -> None:
    """The tenant that fails more is the only difference, its odds ratio near the true one, its rate measured."""
    found = differences(told(planted(1, 6000)), 0.01)
    assert [(d.key, d.value) for d in found] == [("tenant", "t3")]
    true = (0.3 / 0.7) / (0.03 / 0.97)
    assert found[0].odds_ratio_low < true < found[0].odds_ratio_high
    assert found[0].error_rate == pytest.approx(0.3, abs=0.05)
    assert marks(told(planted(1, 6000)), 0.01)[7][0].startswith("tenant=t3 (")


@pytest.mark.parametrize("where", [{}, {"": ""}])
def test_a_bad_version_is_found_whoever_says_it(store: Store, where: dict[str, str]) -> None:
    """The resource of calls that fail more is a difference, with the numbers that the same attribute of calls has."""
    random = np.random.default_rng(8)
    rows = []
    for number in range(1500):
        version, host = f"2.{number % 3}", f"h{random.integers(20)}"
        failed = random.random() < (0.3 if version == "2.1" else 0.03)
        said = {"service.version": version, "host.name": host}
        rows.append(
            {
                "Timestamp": ROWS_NOW - timedelta(minutes=number % 600 + 5),
                "StatusCode": "Error" if failed else "Unset",
                "ServiceName": "shop" if number % 2 else "stock",
                "SpanAttributes": {f"own.{key}": value for key, value in said.items()},
                "ResourceAttributes": {"service.name": "any", "user.id": "u1", **said},
            }
        )
    add_spans(store, rows)
    found = run("errors", store, now=ROWS_NOW, since="1d", where=where).summary.differences
    by_key = {d.key: d for d in found}
    assert by_key["service.version"].value == "2.1"
    assert by_key.keys() <= {"service.version", "own.service.version"}
    if where:  # raw rows have the attributes of calls too
        own = by_key["own.service.version"]
        assert replace(by_key["service.version"], key="", q_value=0) == replace(
            own, key="", q_value=0
        )
    failed = [row for row in rows if row["StatusCode"] == "Error"]
    bad = [row for row in failed if row["ResourceAttributes"]["service.version"] == "2.1"]
    assert by_key["service.version"].failures == len(bad)
    assert by_key["service.version"].failure_share == pytest.approx(
        len(bad) / len(failed), abs=1e-4
    )


def confounded(seed: int, count: int) -> list[Any]:
    """Draw uses of four operations, one of which fails ten times as often and has attributes of its own.

    In each the region eu has three times the odds of failing; nothing else matters anywhere.
    """
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        operation = f"files o{random.integers(4)}"
        region = ("eu", "us", "ap")[random.integers(3)]
        told = {"operation": operation, "region": region, "http.route": operation.split()[1]}
        odds = 0.02
        if operation.endswith("o3"):
            told |= {"file.type": ("csv", "pdf")[random.integers(2)], "project": "P1"}
            odds = 0.3
        odds *= 3 if region == "eu" else 1
        rows.append((7, random.random() >= odds / (1 + odds), told, 1.0))
    return rows


def test_what_only_a_bad_operation_has_is_no_difference() -> None:
    """Of what fails more, the operation and the region are named; not what all its calls have, nor its route."""
    found = differences(told(confounded(4, 6000)), 0.01)
    assert [(d.key, d.value) for d in found] == [("operation", "files o3"), ("region", "eu")]
    assert found[1].odds_ratio_low < 3 < found[1].odds_ratio_high
    assert {m.split("=")[0] for m in marks(told(confounded(4, 6000)), 0.01)[7]} == {
        "operation",
        "region",
    }


def test_confounding_alone_is_not_reported() -> None:
    """Where only operations differ, less than 2 % of reports name an attribute besides."""
    false = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        rows = []
        for _ in range(600):
            operation = int(random.integers(3))
            shared = {"a": str(random.integers(6)), "b": f"{operation}{random.integers(4)}"}
            failed = random.random() < (0.05, 0.05, 0.4)[operation]
            rows.append((1, not failed, {"operation": f"s o{operation}", **shared}, 1.0))
        false += any(d.key != "operation" for d in differences(told(rows), 0.01))
    assert false <= 2


def test_chance_alone_is_not_reported() -> None:
    """Where no attribute matters, less than 2 % of reports name one, though each compares 68 values."""
    false = 0
    for seed in range(150):
        random = np.random.default_rng(1000 + seed)
        rows = [
            (
                1,
                random.random() > 0.1,
                {k: str(random.integers(n)) for k, n in (("a", 8), ("b", 60))},
                1.0,
            )
            for _ in range(600)
        ]
        false += bool(differences(told(rows), 0.01))
    assert false <= 3


def test_sampling_makes_a_difference_less_certain() -> None:
    """Equal weights change no probability; unequal ones make it larger, and the shares stay weighted."""
    plain = differences(told(planted(2, 1500)), 1.0)
    scaled = differences(told(planted(2, 1500, weight=8.0)), 1.0)
    assert [d.q_value for d in scaled] == pytest.approx([d.q_value for d in plain])
    uneven = [(*row[:3], 1.0 if i % 2 else 15.0) for i, row in enumerate(planted(2, 1500))]
    t3 = {d.value: d for d in differences(told(uneven), 1.0)}["t3"]
    assert t3.q_value > {d.value: d for d in plain}["t3"].q_value


uses = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.booleans(),
        st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3),
        st.sampled_from([1.0, 1.0, 4.0]),
    ),
    max_size=40,
)


@given(drawn=uses, random=st.randoms())
def test_attributes_come_in_any_order_and_in_parts(drawn: list[Any], random: Any) -> None:
    """Rows in another order, or of two halves beside each other, give the same differences and marks."""
    shuffled = drawn.copy()
    random.shuffle(shuffled)
    halves = [told(part) for part in (drawn[::2], drawn[1::2])]
    full = [half for half in halves if half.rows]
    beside = Columns(
        {name: np.concatenate([h[name] for h in full]) for name in full[0]} if full else {}
    )
    for other in (told(shuffled), beside):
        assert differences(other, 1.0) == differences(told(drawn), 1.0)
        assert marks(other, 1.0) == marks(told(drawn), 1.0)


def test_associations_are_those_of_scipy() -> None:
    """Effect and corrected probability of each number are Mann and Whitney's; what is chance is left out."""
    random = np.random.default_rng(5)
    failed = random.random(800) < 0.3
    numbers = {
        "duration": np.floor(random.normal(40, 8, 800) + 12 * failed),
        "body.size": np.floor(random.normal(40, 8, 800)),
        "order": np.floor(random.normal(40, 8, 800) - 4 * failed),
    }
    rows = [
        (key, 1, value, bool(bad), 1.0, 1.0)
        for key, values in numbers.items()
        for value, bad in zip(values, failed, strict=True)
    ]
    names = ("key", "stratum", "bin", "failed", "uses", "weight_squares")
    found = associations(columns(rows, *names), 0.01)
    assert [one.measure for one in found] == ["duration", "order"]
    for one in found:
        x, y = numbers[one.measure][failed], numbers[one.measure][~failed]
        statistic = stats.mannwhitneyu(x, y).statistic
        assert one.effect == pytest.approx(2 * statistic / (x.size * y.size) - 1, abs=1e-4)
    assert found[0].effect > 0 > found[1].effect


def test_failures_of_a_short_operation_are_not_short() -> None:
    """One operation is short and fails more; within each, failures take as long: no association is reported."""
    random = np.random.default_rng(6)
    rows = []
    for stratum, centre, rate in ((1, 10, 0.5), (2, 90, 0.02)):
        for _ in range(800):
            duration = float(np.floor(random.normal(centre, 4)))
            rows.append(("duration", stratum, duration, random.random() < rate, 1.0, 1.0))
    names = ("key", "stratum", "bin", "failed", "uses", "weight_squares")
    assert associations(columns(rows, *names), 0.01) == ()
    pooled = [(row[0], 0, *row[2:]) for row in rows]
    assert associations(columns(pooled, *names), 0.01)[0].effect < -0.3


def test_speed_classes_are_tested_by_chi_square() -> None:
    """Classes come in order with their rates, and the probability is SciPy's; one class alone has none."""
    cells = {("slow", True): 30, ("slow", False): 20, ("fast", True): 5, ("fast", False): 95}
    rows = [(speed, bad, float(n), float(n)) for (speed, bad), n in cells.items()]
    names = ("speed", "failed", "uses", "weight_squares")
    found, effect, p = speeds(columns(rows, *names))
    assert [(s.speed, s.error_rate) for s in found] == [("fast", 0.05), ("slow", 0.6)]
    table = [[95, 5], [20, 30]]
    assert p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=0.01)
    assert effect is not None
    assert 0.5 < effect < 0.7
    assert speeds(columns(rows[:2], *names))[1:] == (None, None)


def outcomes(rows: list[tuple[str, str, float]]) -> Columns:
    made = [("s", operation, outcome, n, n, 0.0, 0) for operation, outcome, n in rows if n]
    names = ("service", "operation", "outcome", "arrivals", "calls", "variance", "period_s")
    return columns(made, *names)


def test_one_of_one_does_not_beat_ten_thousand() -> None:
    """9 999 of 10 000 rank above 1 of 1, which ranks above nothing proved at all (PIT-R0-01)."""
    found = reliability(
        outcomes(
            [("often", "ok", 9999), ("often", "error", 1), ("once", "ok", 1), ("never", "error", 3)]
        )
    )
    assert [(entry.operation, entry.rank) for entry in found] == [
        ("often", 1),
        ("once", 2),
        ("never", 3),
    ]
    assert found[0].success_rate is not None
    assert found[1].success_rate is not None
    assert found[0].success_rate.value < found[1].success_rate.value == 1


def test_what_is_well_on_the_whole_may_hide_what_is_not() -> None:
    """One operation of many that fails in a third of its calls, five at least, takes the verdict to attention."""
    many = [("many", "ok", 1000)]
    for failures, expected in ((5, "attention"), (4, "ok")):
        ranking = reliability(
            outcomes([*many, ("bad", "ok", 2 * failures), ("bad", "error", failures)])
        )
        assert overall(exactly(0.01), ranking) == expected
    assert overall(exactly(0.201), ranking) == "alert"
    assert overall(None, ()) == "no calls"


def test_rates_have_the_calls_as_denominator() -> None:
    """Two failures of four calls are one half, not two thousandths (PIT-R0-01)."""
    found = reliability(outcomes([("x", "ok", 2), ("x", "error", 2)]))[0]
    assert found.error_rate == exactly(0.5)


@pytest.mark.parametrize(
    ("since", "until", "dates"),
    [
        (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 26, 23, tzinfo=UTC), 2),
        (datetime(2028, 2, 27, 23, tzinfo=UTC), datetime(2028, 3, 1, 23, tzinfo=UTC), 3),
    ],
)
def test_days_are_those_of_the_time_zone(since: datetime, until: datetime, dates: int) -> None:
    """A day of 25 hours and a leap day are each one day, with every call in it."""
    window = Window(since, until)
    grid = periods(window, "day", ZoneInfo("Europe/Berlin"))
    context = Context(window, until, ErrorParams(), grid)
    hours = int((until - since) / timedelta(hours=1))
    starts = grid.edges_s[
        np.searchsorted(
            grid.edges_s, [int(since.timestamp()) + 3600 * h for h in range(hours)], "right"
        )
        - 1
    ]
    rows = [("s", "o", "ok", 1, 1.0, 0.0, int(start)) for start in starts]
    names = ("service", "operation", "outcome", "arrivals", "calls", "variance", "period_s")
    found = days({"outcomes": columns(rows, *names), "anyone.arrivals": Columns({})}, context)
    assert len(found) == dates
    assert sum(day.calls.value for day in found) == hours
    assert max(day.calls.value for day in found) == (25 if since.month == 10 else 24)


def fill(store: Store, ago: list[timedelta], kind: str) -> None:
    """Insert entry spans that failed so long ago."""
    names = ["Timestamp", "ServiceName", "SpanName", "SpanKind", "StatusCode", "SpanAttributes"]
    rows = [
        [NOW - distance, "shop", "pay", "Server", "Error", {"error.type": kind}] for distance in ago
    ]
    store.client().insert("otel_traces", rows, column_names=names)


def test_states_follow_from_when_an_error_was_seen(store: Store) -> None:
    """New: never before; ongoing: in the window before; regressed: only earlier. Known since its first failure."""
    hour, day = timedelta(hours=1), timedelta(days=1)
    fill(store, [hour], "Fresh")
    fill(store, [hour, day + hour], "Steady")
    fill(store, [hour, 5 * day], "Returned")
    fill(store, [hour, 40 * day], "Forgotten")
    answer = run("errors", store, now=NOW, where={"": ""})
    states = {row.error_type: row.state for row in answer.rows}
    assert states == {
        "Fresh": "new",
        "Steady": "ongoing",
        "Returned": "regressed",
        "Forgotten": "new",
    }
    assert answer.summary.new_groups == 2
    known = {row.error_type: row.known_since_at for row in answer.rows}
    assert known["Returned"] == NOW - 5 * day
    assert known["Forgotten"] == NOW - hour
    longer = run("errors", store, now=NOW, where={"": ""}, lookback_days=60)
    assert {r.error_type: r.state for r in longer.rows}["Forgotten"] == "regressed"
    assert {code.code for code in answer.summary.codes} == set(states)


def store_failures(store: Store, failed: list[tuple[str, str, datetime]]) -> None:
    """Insert stored uses that failed: the kind, the plan of who met it, and when."""
    names = ("Timestamp", "Kind", "ServiceName", "Operation", "Outcome", "Fingerprint", "ErrorType")
    rows = [
        [at, "span", "shop", "pay", "error", zlib.crc32(kind.encode()), kind, {"plan": plan}]
        for kind, plan, at in failed
    ]
    store.client().insert("events", rows, column_names=[*names, "Attributes"])


@pytest.mark.parametrize(("days", "lookback_days"), [(1, 0.4), (1, 2.5), (1, 20), (4, 20)])
def test_the_past_of_a_kind_is_found_wherever_it_lies(
    store: Store, days: int, lookback_days: float
) -> None:
    """First records and states are those of all failures that match, at an end of the past or between."""
    rng = np.random.default_rng(7)
    ago: dict[tuple[str, str], list[float]] = {
        ("often", "a"): rng.uniform(0, 40, 300).tolist(),
        ("others'", "b"): rng.uniform(0, 40, 300).tolist(),
        ("others'", "a"): [0.5, 9.25],
        ("between", "a"): [0.5, 8, 7],
        ("at its end", "a"): [0.5, 1.4, 1.1],
        ("at its begin", "a"): [0.5, 20.9, 20.1],
        ("not at its end", "a"): [0.5, 23.5, 20.5, 6],
        ("not at its begin", "a"): [0.5, 15, 4.5, 1.5],
        ("before it", "a"): [0.5, 30],
        ("fresh", "a"): [0.5],
        ("gone", "a"): [12],
    }
    failed = [
        (kind, plan, (NOW - timedelta(days=distance)).replace(microsecond=0))
        for (kind, plan), listed in ago.items()
        for distance in listed
    ]
    store_failures(store, failed)
    answer = run(
        "errors",
        store,
        now=NOW,
        since=f"{days}d",
        where={"plan": "a"},
        lookback_days=lookback_days,
    )
    assert answer.source.name == "events"
    length = timedelta(days=days)
    since = NOW - length
    expected = {}
    for kind in {kind for kind, plan, at in failed if plan == "a" and at >= since}:
        first = since - max(timedelta(days=lookback_days), length)
        times = [at for k, plan, at in failed if (k, plan) == (kind, "a") and at >= first]
        before = [at for at in times if at < since]
        ongoing = before and max(before) >= since - length
        state = "ongoing" if ongoing else "regressed" if before else "new"
        expected[kind] = (state, min(times))
    assert {row.error_type: (row.state, row.known_since_at) for row in answer.rows} == expected


def row(**changed: Any) -> Row:
    made = Row(
        fingerprint="0" * 16,
        error_type="E",
        message="m",
        state="ongoing",
        count=exactly(10),
        share=0.4,
        timeout_count=exactly(0),
        users_affected=exactly(1),
        daily_series=(10.0,),
        first_seen_at=NOW,
        last_seen_at=NOW,
        known_since_at=NOW,
        operations=("s o",),
        differs=(),
    )
    return replace(made, **changed)


def rules(rate: float = 0.1, timeouts: float = 0, **given: Any) -> list[str]:
    found = advise(
        exactly(rate),
        timeouts,
        given.get("rows", [row()]),
        given.get("ranking", ()),
        given.get("differences", ()),
        given.get("associations", ()),
    )
    return [advice.rule for advice in found]


def test_each_rule_speaks_at_its_threshold() -> None:
    """Every rule of the documentation is silent on one side of its threshold and speaks on the other."""
    assert rules() == []
    assert rules(rate=0.2) == []
    assert rules(rate=0.201) == ["high error rate"]
    assert rules(rows=[row(state="new")]) == ["new error"]
    assert rules(rows=[row(state="new", count=exactly(4))]) == []
    assert rules(rows=[row(state="regressed")]) == ["regressed error"]
    assert rules(rows=[row(share=0.5), row()]) == ["one cause"]
    assert rules(timeouts=3) == []
    assert rules(timeouts=5) == ["timeouts"]
    difference = Difference("k", "v", 9, 0.9, 0.1, 9, 3, 20, 0.5, 1e-9)
    assert rules(differences=[difference]) == ["concentrated"]
    assert rules(differences=[replace(difference, odds_ratio_low=2.9)]) == []
    assert rules(associations=[Association("body.size", 9, 0.3, 0)]) == ["size"]
    assert rules(associations=[Association("body.size", 9, 0.29, 0)]) == []
    assert rules(associations=[Association("duration", 9, -0.3, 0)]) == ["fails at once"]
    assert rules(associations=[Association("duration", 9, 0.3, 0)]) == ["fails when slow"]
    bad = reliability(outcomes([("x", "ok", 15), ("x", "error", 5)]))
    assert rules(ranking=bad) == ["unreliable operation"]
    assert rules(ranking=reliability(outcomes([("x", "ok", 16), ("x", "error", 4)]))) == []


def test_every_rule_is_documented() -> None:
    """docs/explanation/errors.md has a line for every rule that there is."""
    from pathlib import Path

    page = (Path(__file__).parent.parent / "docs" / "explanation" / "errors.md").read_text(
        encoding="utf-8"
    )
    source = (
        Path(entry("errors").report.reduce.__code__.co_filename).with_name("advice.py").read_text()
    )
    known = {"high error rate", "new error", "regressed error", "one cause", "unreliable operation"}
    known |= {"concentrated", "timeouts", "size", "fails at once", "fails when slow"}
    assert (
        source.count("Advice(\n") == len(known) - 1
    )  # new and regressed are one rule in two words
    for rule in known:
        assert f"| {rule} |" in page
