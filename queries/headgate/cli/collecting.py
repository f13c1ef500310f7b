"""Put the collector together: a pipeline a tenant, over one store, one memory and one data directory."""

from __future__ import annotations

import contextlib
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headgate.collector.allocator import give_back_memory
from headgate.collector.pipeline import Limits, Pipeline
from headgate.collector.refusals import Refusals
from headgate.collector.release import sync_file_system
from headgate.collector.room import Room
from headgate.collector.sampling import Sampler
from headgate.collector.tenants import Tenants
from headgate.collector.vitals import Vitals, vitals
from headgate.store import StoreError, migrate
from headgate.store.dimension import write_dimensions
from headgate.store.identity import write_identity
from headgate.web.tokens import check_tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.cli.settings import ServeSettings
    from headgate.collector.rules import Rules
    from headgate.collector.segment import StoredSegment
    from headgate.store import DataDirectory, Store


def open_tenants(
    settings: ServeSettings,
    rules: Rules,
    directory: DataDirectory,
    store: Store,
    observer: Callable[[StoredSegment], None] | None,
) -> Tenants:
    """Open the server's own pipeline, and those of tenants that an earlier process left something to do.

    `observer` is told of every segment that is stored. Raises StoreError when a database cannot be used, or a journal.
    """
    room = Room(settings.memory_bytes)
    tenants_path = directory.path / "tenants"

    def open_(database: str) -> Pipeline:
        check_tenant(database)
        journal = tenants_path / database / "journal"
        return _open_pipeline(
            settings, rules, directory, store.sibling(database), journal, room, own, observer
        )

    own = _open_pipeline(
        settings, rules, directory, store, directory.path / "journal", room, None, observer
    )
    tenants = Tenants(own, open_, monotonic_s=time.monotonic)
    for path in sorted(tenants_path.glob("*/journal")):
        if next(path.glob("*.journal"), None):
            tenants.pipeline(path.parent.name, patience_s=None)
    return tenants


def look_at(tenants: Tenants, only: Pipeline | None = None) -> Vitals:
    """Look at all tenants together, or at one."""
    return vitals(
        [only] if only else tenants.all(),
        tenants.own.room,
        Refusals() if only else tenants.refusals,
        now_ns=time.time_ns(),
        uptime_s=time.monotonic() - tenants.began_s,
    )


def _open_pipeline(
    settings: ServeSettings,
    rules: Rules,
    directory: DataDirectory,
    store: Store,
    journal: Path,
    room: Room,
    own: Pipeline | None,
    observer: Callable[[StoredSegment], None] | None,
) -> Pipeline:
    """Open a pipeline; one beside `own` samples by the settings that are in force there."""
    policy = own.sampler.configured if own and own.sampler else settings.sampling.policy()
    migrate(store)
    write_identity(store, rules.identity.public, datetime.now(UTC))
    write_dimensions(store, rules.dimensions, datetime.now(UTC))
    with _told_as_a_sentence(journal):
        sampler = (
            Sampler(
                journal,
                policy,
                new_id=lambda: secrets.token_hex(16),
                monotonic_s=time.monotonic,
            )
            if settings.sampling.enabled
            else None
        )
        pipeline = Pipeline(
            store,
            journal,
            clock_ns=time.time_ns,
            monotonic_s=time.monotonic,
            new_id=lambda: secrets.token_hex(16),
            # A server makes durable what it acknowledges, as its own settings say.
            make_durable=lambda: sync_file_system(directory.path) if store.embedded else None,
            when_idle=give_back_memory,
            limits=Limits(memory_bytes=settings.memory_bytes, journal_bytes=settings.journal_bytes),
            rules=rules,
            sampler=sampler,
            room=room,
            observer=observer,
        )
        pipeline.start()
    return pipeline


@contextlib.contextmanager
def _told_as_a_sentence(journal: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot use the journal {journal}: {error.strerror or error};"
            " choose another data directory with --data DIR"
        ) from error
