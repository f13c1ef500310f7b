"""Parts of columns are the rows of each label, in order, with their sums, as a loop over rows finds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.queries.columns import Columns, parts
from headgate.queries.outcomes import Ended

row = st.tuples(
    st.sampled_from(["b", "a", "", "ü"]),
    st.integers(-(2**40), 2**40) | st.integers(0, 3),
    st.sampled_from(["ok", "error", "timeout", "unset"]),
    st.integers(-2, 5),
)


def table(rows: list[tuple[Any, ...]]) -> Columns:
    """Return rows as columns, each with its number and an amount that is told by it."""
    service, operation, outcome, bucket = zip(*rows, strict=True) if rows else ((),) * 4
    return Columns(
        {
            "service": np.array(service, object),
            "operation": np.array(operation, np.int64),
            "outcome": np.array(outcome, object),
            "bucket": np.array(bucket, np.int16),
            "number": np.arange(len(rows)),
            "calls": np.arange(len(rows)) * 0.5,
        }
    )


@given(rows=st.lists(row, max_size=40), by=st.sampled_from(["", "bucket"]))
def test_parts_are_the_rows_of_each_label(rows: list[tuple[Any, ...]], by: str) -> None:
    """Labels ascend; their rows keep their order, or have that of a column, equal ones in theirs."""
    expected: dict[tuple[Any, ...], list[int]] = {}
    for number, (service, operation, _, _) in enumerate(rows):
        expected.setdefault((service, operation), []).append(number)
    if by:
        for numbers in expected.values():
            numbers.sort(key=lambda number: rows[number][3])
    found = parts(table(rows), "service", "operation", ordered=by or None)
    assert [label for label, _ in found] == sorted(expected)
    for label, part in found:
        assert part["number"].tolist() == expected[label]
        assert part.rows == len(expected[label])
        assert part.sum("calls") == sum(expected[label]) / 2
        assert "service" in part
        assert "unknown" not in part
        assert part.chosen(part["number"] >= 0)["calls"].tolist() == part["calls"].tolist()


@pytest.mark.parametrize("labels", [70, 70_000])
def test_many_labels_are_told_apart(labels: int) -> None:
    """Numbers of labels are sorted by as many bits as they need: one row of each, below and above 16 bits."""
    number = np.random.default_rng(1).permutation(labels)
    found = parts(Columns({"a": number // 7, "b": number % 7, "number": number}), "a", "b")
    assert [label for label, _ in found] == [divmod(one, 7) for one in range(labels)]
    assert [int(part["number"][0]) for _, part in found[:70]] == list(range(70))


@given(rows=st.lists(row, max_size=40))
def test_endings_of_all_operations_are_those_of_each(rows: list[tuple[Any, ...]]) -> None:
    """All, failed and well ended rows of each operation are what splitting its own rows gives."""
    columns = table(rows)
    found = Ended.by_operation(columns)
    assert [*found] == [label for label, _ in parts(columns, "service", "operation")]
    for label, part in parts(columns, "service", "operation"):
        alone = Ended.of(part)
        for ended, expected in zip(
            (found[label].every, found[label].failed, found[label].well),
            (alone.every, alone.failed, alone.well),
            strict=True,
        ):
            assert ended["number"].tolist() == expected["number"].tolist()
            assert ended.sum("calls") == expected.sum("calls")
