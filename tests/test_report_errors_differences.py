"""What sets failures apart is found and nothing else: attributes, numbers, speed."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import NOW as ROWS_NOW
from report_rows import add_spans, of_tuples
from scipy import stats

from headgate.queries import run
from headgate.queries.columns import Columns
from headgate.queries.reports.errors.differences import associations, differences, marks, speeds

if TYPE_CHECKING:
    from headgate.store import Store


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
    return of_tuples(
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
    found = associations(of_tuples(rows, *names), 0.01)
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
    assert associations(of_tuples(rows, *names), 0.01) == ()
    pooled = [(row[0], 0, *row[2:]) for row in rows]
    assert associations(of_tuples(pooled, *names), 0.01)[0].effect < -0.3


def test_speed_classes_are_tested_by_chi_square() -> None:
    """Classes come in order with their rates, and the probability is SciPy's; one class alone has none."""
    cells = {("slow", True): 30, ("slow", False): 20, ("fast", True): 5, ("fast", False): 95}
    rows = [(speed, bad, float(n), float(n)) for (speed, bad), n in cells.items()]
    names = ("speed", "failed", "uses", "weight_squares")
    found, effect, p = speeds(of_tuples(rows, *names))
    assert [(s.speed, s.error_rate) for s in found] == [("fast", 0.05), ("slow", 0.6)]
    table = [[95, 5], [20, 30]]
    assert p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=0.01)
    assert effect is not None
    assert 0.5 < effect < 0.7
    assert speeds(of_tuples(rows[:2], *names))[1:] == (None, None)
