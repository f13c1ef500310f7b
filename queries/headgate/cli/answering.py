"""Put the API together: an application a tenant, over its database, behind the tokens."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headgate.collector.vitals import vitals
from headgate.web import ExportJobs, create_app
from headgate.web.access import Guarded
from headgate.web.forget import forget_user

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.collector.rules import Rules
    from headgate.collector.tenants import Tenants
    from headgate.store import Store
    from headgate.web.tokens import Tokens


def guarded_api(
    tokens: Tokens, tenants: Tenants, rules: Rules, store: Store, directory: Path, began_s: float
) -> Guarded:
    """Return the application; exports lie in the data directory, each tenant's in its own.

    The server's own tenant sees how all are, `began_s` on the monotonic clock being when the server began.
    """

    def api_of(tenant: str) -> Any:
        pipeline = tenants.pipeline(tenant)
        own = pipeline is tenants.own
        home = directory if own else directory / "tenants" / tenant
        database = store.sibling(pipeline.database)
        return create_app(
            database,
            flush=pipeline.flush,
            clock=lambda: datetime.now(UTC),
            look=lambda: vitals(
                tenants.all() if own else [pipeline],
                pipeline.room,
                now_ns=time.time_ns(),
                uptime_s=time.monotonic() - began_s,
            ),
            exports=ExportJobs(
                home / "exports",
                database,
                clock=lambda: datetime.now(UTC),
                new_id=lambda: secrets.token_hex(16),
            ),
            sampler=pipeline.sampler,
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
