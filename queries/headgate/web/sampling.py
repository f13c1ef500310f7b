"""Sampling over HTTP: what is in force, and other budgets for all collectors of the store.

    GET /api/sampling     {"budgets": those in force by signal, "settings": those of this server, "set": those set in
                          their place, "collectors": how many divide them, "last": the last account of each signal};
                          {"sampling": false} where the settings switch it off
    POST /api/sampling    {"traces": {"low": 5000, "high": 50000, "rate": 0.1, "rows": 1000000}, "logs": {likewise},
                          "events": {"rows": 60000}} or any part of it, beside what was set before. {"reset": true}
                          returns to the settings. As application/json, so that no web page elsewhere can send it. 400
                          for what is no budget. Takes effect with the next segment, elsewhere within ten seconds.

What was set is the document `sampling`/`budgets`, each version kept, and a line of the audit log.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.responses import JSONResponse
from starlette.routing import Route

from headgate.collector.policy import DOCUMENT
from headgate.store import StoreError, audit
from headgate.store.document import delete, document, save

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from headgate.collector.policy import Policy
    from headgate.collector.sampling import Sampler
    from headgate.store import Store

_MOST_BYTES = 10_000
_LAST = """
SELECT
    Signal AS signal, toString(max(TimeEnd)) AS until, argMax(WindowRequests, TimeEnd) AS requests_a_minute,
    argMax(WindowRows, TimeEnd) AS rows_a_minute, argMax(Probability, TimeEnd) AS probability,
    argMax(LeastProbability, TimeEnd) AS least_probability
FROM sampling_history WHERE WrittenAt > now('UTC') - 3600 GROUP BY Signal ORDER BY Signal
"""


def saved_budgets(store: Store) -> dict[str, Any]:
    """Return the budgets that were set for all collectors of a store, empty when none are."""
    found = document(store, *DOCUMENT)
    return {} if found is None else found.body


def set_budgets(
    store: Store, policy: Policy, changes: Mapping[str, Any], *, by: str, now: datetime
) -> dict[str, Any]:
    """Set budgets beside those that were set before, or with {"reset": True} none; return what is set now.

    Raises ValueError when `policy` cannot be had with them.
    """
    changes = dict(changes)
    if changes.pop("reset", False) is True:
        merged: dict[str, Any] = {}
    else:
        merged = {name: dict(values) for name, values in saved_budgets(store).items()}
    for name, values in changes.items():
        merged[name] = merged.get(name, {}) | values if isinstance(values, dict) else values
    policy.overridden(merged)
    kind, name = DOCUMENT
    if merged:
        save(store, kind, name, merged, by=by, now=now)
    else:
        delete(store, kind, name, by=by, now=now)
    audit.note(store, now=now, actor=by, action="sampling.set", object_=name, detail=merged)
    return merged


def last_accounts(store: Store) -> list[dict[str, Any]]:
    """Return the latest line of `sampling_history` of each signal."""
    result = store.client().query(_LAST)
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def described(
    policy: Policy,
    configured: Policy,
    overrides: Mapping[str, Any],
    collectors: int,
    last: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what GET answers."""
    return {
        "sampling": True,
        "budgets": policy.budgets(),
        "settings": configured.budgets(),
        "set": overrides,
        "collectors": collectors,
        "last": last,
    }


def routes(
    store: Store, sampler: Sampler | None, clock: Callable[[], datetime], pool: Executor
) -> list[Route]:
    """Return the routes; `sampler` is None where everything is kept, `pool` runs what blocks."""

    def show() -> dict[str, Any]:
        if sampler is None:
            return {"sampling": False}
        sampler.refresh(store, at_once=True)
        return described(
            sampler.policy,
            sampler.configured,
            sampler.overrides,
            sampler.collectors,
            last_accounts(store),
        )

    def change(changes: Mapping[str, Any], by: str) -> dict[str, Any]:
        if sampler is None:
            raise ValueError("sampling is switched off in the server's settings: sampling.enabled")
        set_budgets(store, sampler.configured, changes, by=by, now=clock())
        return show()

    async def get(_: Request) -> Response:
        return JSONResponse(await asyncio.get_running_loop().run_in_executor(pool, show))

    async def post(request: Request) -> Response:
        token = request.scope.get("token")
        who = f"token {token.name}" if token else "api"
        by = f"{who} from {request.client.host if request.client else 'unknown'}"
        try:
            changes = await _body(request)
            loop = asyncio.get_running_loop()
            return JSONResponse(await loop.run_in_executor(pool, change, changes, by))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        except ClickHouseError as error:
            raise StoreError(f"the budgets could not be saved: {error}") from error

    return [
        Route("/api/sampling", get, methods=["GET"]),
        Route("/api/sampling", post, methods=["POST"]),
    ]


async def _body(request: Request) -> Mapping[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ValueError(
            f"the budgets must be sent as application/json, not {kind or 'without type'}"
        )
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > _MOST_BYTES:
            raise ValueError(f"the budgets must be at most {_MOST_BYTES} bytes of JSON")
    try:
        changes = json.loads(data)
    except ValueError as error:
        raise ValueError(f"the budgets must be JSON: {error}") from error
    if not isinstance(changes, dict):
        raise ValueError("the budgets must be a JSON object such as {'traces': {'low': 5000}}")  # noqa: TRY004  # one kind of error for what a person wrote
    return changes
