"""Put the API together: an application a tenant, over its database, behind the tokens."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headgate.cli.collecting import look_at
from headgate.collector.errors import Retryable
from headgate.store import StoreError
from headgate.web import ExportJobs, create_app
from headgate.web.access import Guarded
from headgate.web.forget import forget_user

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.cli.siblings import Siblings
    from headgate.collector.rules import Rules
    from headgate.collector.tenants import Tenants
    from headgate.collector.vitals import Vitals
    from headgate.store import Store
    from headgate.web.tokens import Tokens


def guarded_api(
    tokens: Tokens,
    tenants: Tenants,
    rules: Rules,
    store: Store,
    directory: Path,
    siblings: Siblings,
    fonts: Path | None,
) -> Guarded:
    """Return the application; exports lie in the data directory, each tenant's in its own.

    The server's own tenant sees how all are, `siblings` are the other workers, where there are
    several. `fonts` is a directory of fonts for reports.
    """

    def api_of(tenant: str) -> Any:
        try:
            pipeline = tenants.pipeline(tenant)
        except Retryable as error:
            raise StoreError(str(error)) from error
        own = pipeline is tenants.own
        home = directory if own else directory / "tenants" / tenant
        database = store.sibling(pipeline.database)

        def look() -> Vitals:
            return look_at(tenants, None if own else pipeline)

        def flush_all() -> bool:
            stored = [one.flush() for one in tenants.all()]
            return all(stored)

        return create_app(
            database,
            flush=siblings.flushing(pipeline.flush),
            clock=lambda: datetime.now(UTC),
            look=siblings.looking(look) if own else look,
            alone=(look, flush_all) if own else None,
            exports=ExportJobs(
                home / "exports",
                database,
                clock=lambda: datetime.now(UTC),
                new_id=lambda: secrets.token_hex(16),
            ),
            sampler=pipeline.sampler,
            timer=time.perf_counter,
            fonts=fonts,
            forgetting=lambda user, by: forget_user(
                database,
                rules.identity,
                user,
                by=by,
                now=datetime.now(UTC),
                flush=pipeline.flush,
                journal=home / "journal",
            ),
        )

    return Guarded(tokens, api_of)
