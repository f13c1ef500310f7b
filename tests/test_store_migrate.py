"""Migrations: numbered, recorded, idempotent, and never a step back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.store import migrate

if TYPE_CHECKING:
    from headgate.store import Store


def test_second_migration_applies_nothing(empty_store: Store):
    """A fresh database takes every migration once; the next start finds nothing to do."""
    first = migrate(empty_store)
    assert [m.version for m in first] == list(range(1, len(first) + 1))
    assert migrate(empty_store) == []
