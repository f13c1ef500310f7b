"""Documents keep every version and give the latest; the audit log keeps every line."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from spans import writes_fail_after

from headgate.store import StoreError, audit
from headgate.store.document import delete, document, documents, save, versions
from headgate.store.watch import Watch

NOW = datetime(2026, 9, 23, 10, 0, 0, 123_000, tzinfo=UTC)
KIND = "report"


def put(store, name, body, at=NOW):
    save(store, KIND, name, body, by="ann", now=at)


def test_saving_a_b_a_gives_a_again(store):
    """Equal contents are no repetition: three saves are three versions, the last of which holds."""
    for body in ({"x": 1}, {"x": 2}, {"x": 1}):
        put(store, "weekly", body)
    found = document(store, KIND, "weekly")
    assert (found.body, found.version, found.saved_by) == ({"x": 1}, 3, "ann")
    assert found.saved_at == NOW.replace(tzinfo=None)
    assert [one.body["x"] for one in versions(store, KIND, "weekly")] == [1, 2, 1]


def test_what_the_disk_had_no_room_for_is_not_called_saved(store):
    """The engine says nothing; who saves is told, and what could not be written harms nobody once it is set aside."""
    put(store, "weekly", {"x": 1})
    with (
        writes_fail_after(1000),
        pytest.raises(StoreError, match="report 'weekly' may not have been saved"),
    ):
        put(store, "weekly", {"x": os.urandom(2000).hex()})
    Watch(store).look()
    put(store, "weekly", {"x": 2})
    assert [one.body["x"] for one in versions(store, KIND, "weekly")] == [1, 2]


def test_documents_of_a_kind_are_apart_from_others(store):
    """A kind has names of its own, and a list in their order."""
    put(store, "b", {"x": "ü'\"\\"})
    put(store, "a", {})
    save(store, "dashboard", "a", {"y": []}, by="bob", now=NOW)
    assert [(one.name, one.body) for one in documents(store, KIND)] == [
        ("a", {}), ("b", {"x": "ü'\"\\"}),
    ]  # fmt: skip
    assert document(store, "dashboard", "b") is None


def test_a_deleted_document_is_gone_and_its_versions_stay(store):
    """What was deleted is found no more, until it is saved again; what was saved before can still be read."""
    put(store, "weekly", {"x": 1})
    delete(store, KIND, "weekly", by="ann", now=NOW)
    assert document(store, KIND, "weekly") is None
    assert documents(store, KIND) == []
    put(store, "weekly", {"x": 2}, NOW + timedelta(seconds=1))
    assert document(store, KIND, "weekly").version == 3
    assert [one.body["x"] for one in versions(store, KIND, "weekly")] == [1, 2]


def test_every_line_of_the_audit_log_is_kept(store):
    """The same thing done twice at the same moment is two lines, with all that was said of it."""
    for _ in range(2):
        audit.note(
            store, now=NOW, actor="ann", action="sampling.set", object_="sampling",
            rows=3, duration_ms=1.5, detail={"low": 5},
        )  # fmt: skip
    rows = store.client().query(
        "SELECT Time, Actor, Action, Object, Rows, DurationMs, Detail FROM audit"
    )
    line = (NOW.replace(tzinfo=None), "ann", "sampling.set", "sampling", 3, 1.5)
    assert [row[:-1] for row in rows.result_rows] == [line] * 2
    assert json.loads(rows.result_rows[0][-1]) == {"low": 5}
