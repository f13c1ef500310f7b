"""Forget a person: remove them from the store and from what waits beside it, and note that in the audit log.

    POST /api/forget    {"user": "ann"}, as application/json -> {"receipt", "removed": {table: rows}, "files": [names]}

The audit log has the receipt and the numbers, never who it was: what is forgotten must not be found there either.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headgate.collector.journal import SUFFIX
from headgate.collector.mentions import mentioning
from headgate.queries import ReportError
from headgate.store import StoreError, audit
from headgate.store.forget import Person, forget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from starlette.requests import Request

    from headgate.collector.rules import Identity
    from headgate.store import Store

_RELEASE_S = 30.0
_STEP_S = 0.1


class Order(BaseModel):
    """Who is to be forgotten."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(min_length=1)


def forget_user(
    store: Store,
    identity: Identity,
    user: str,
    *,
    by: str,
    now: datetime,
    flush: Callable[[], bool | None] = lambda: None,
    journal: Path | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Remove `user`, given as applications name them, also where only their keyed hash is stored.

    `flush` stores what the `journal` holds; its segments are then released, and removed, within seconds. Raises
    StoreError when the store is too far behind, ReportError for a name that means nobody.
    """
    if not user or user in identity.nobody:
        raise ReportError(f"{user!r} names nobody: nothing is stored of such a user")
    waiting = sorted(journal.glob(f"*{SUFFIX}")) if journal is not None else []
    if flush() is False:
        raise StoreError("the store is behind, so that some of it could come back; try again later")
    _await_release(waiting, sleep)
    ids = dict.fromkeys((user, identity.stored(user.encode()).decode()))
    person = Person(tuple(ids), (*identity.user, *identity.also_hashed), identity.nobody)
    removed = forget(store, person)
    files = []
    if journal is not None:
        for path in mentioning(journal / "quarantine", (each.encode() for each in ids)):
            path.unlink()
            files.append(path.name)
    receipt = secrets.token_hex(8)
    audit.note(
        store,
        now=now,
        actor=by,
        action="user.forget",
        object_=receipt,
        rows=sum(removed.values()),
        detail={"removed": removed, "files": len(files)},
    )
    return {"receipt": receipt, "removed": removed, "files": files}


def _await_release(segments: list[Path], sleep: Callable[[float], None]) -> None:
    """Wait until these segments, which are stored, are removed."""
    for _ in range(int(_RELEASE_S / _STEP_S)):
        segments = [path for path in segments if path.exists()]
        if not segments:
            return
        sleep(_STEP_S)
    raise StoreError(
        f"{len(segments)} segments of the journal are not released yet; see the log, and try again"
    )


def routes(
    forgetting: Callable[[str, str], dict[str, Any]],
    in_pool: Callable[[Callable[[], Any]], Awaitable[Any]],
) -> list[Route]:
    """Return the route; `forgetting` is called with the user and who asks."""

    async def post(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise ReportError("whom to forget must be sent as application/json")
        try:
            order = Order.model_validate_json(await request.body())
        except ValidationError as error:
            raise ReportError('write {"user": "..."}: who is to be forgotten') from error
        by = f"api from {request.client.host if request.client else 'unknown'}"
        return JSONResponse(await in_pool(lambda: forgetting(order.user, by)))

    return [Route("/api/forget", post, methods=["POST"])]
