"""Kinds of sessions are named by how much they use only where they differ in that."""

from __future__ import annotations

from test_report_workflows import GAP_NS, given_columns

from headgate.queries.reports.workflows.clusters import clusters
from headgate.queries.reports.workflows.sequences import arrange


def test_kinds_that_use_as_much_are_named_by_what_marks_them() -> None:
    """Sessions of one use each are not casual and occasional, whatever tells them apart; of 1 and 9 they are."""
    named = []
    for longer in (1, 9):
        drawn = [
            (actor, True, 5 * i, 101 if actor % 20 == 0 else 7, bool(actor % 2), 1 + actor % 7)
            for actor in range(120)
            for i in range(longer if actor % 2 else 1)
        ]
        given = given_columns(drawn)
        made, _ = clusters(arrange(given["uses"], given["steps"], GAP_NS, merge_repeats=False))
        named.append(sorted(cluster.name for cluster in made))
    alike, different = named
    assert all(name.startswith("regular, ") for name in alike)
    assert len(set(alike)) == len(alike)
    assert len(alike) > 1
    assert {"casual, more failures", "power"} <= set(different)
