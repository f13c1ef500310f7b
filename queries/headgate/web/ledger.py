"""The ledger: what was received, and what became of it, by minute of arrival, signal and service.

    GET /api/ledger?since=24h&until=now    {"since", "until", "closes", "rows": [...]}, times as reports take them

A row closes when what was received is stored, sampled out, rejected or a duplicate, in items and in bytes. What was
received is counted when a request arrives, its fate when its rows are made: two counts that must agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headgate.queries import ReportError
from headgate.queries.window import iso, window
from headgate.store import NoData, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.requests import Request

    from headgate.store import Store

_LEDGER = """
SELECT
    toUnixTimestamp(Time) AS time, Signal AS signal, ServiceName AS service,
    toInt64(sum(Received)) AS received, toInt64(sum(Stored)) AS stored, toInt64(sum(SampledOut)) AS sampled_out,
    toInt64(sum(Rejected)) AS rejected, toInt64(sum(Duplicate)) AS duplicate,
    toInt64(sum(ReceivedBytes)) AS received_bytes, toInt64(sum(StoredBytes)) AS stored_bytes,
    toInt64(sum(SampledOutBytes)) AS sampled_out_bytes, toInt64(sum(RejectedBytes)) AS rejected_bytes,
    toInt64(sum(DuplicateBytes)) AS duplicate_bytes,
    toInt64(sum(Other)) AS other, toInt64(sum(Corrected)) AS corrected,
    received = stored + sampled_out + rejected + duplicate
        AND received_bytes = stored_bytes + sampled_out_bytes + rejected_bytes + duplicate_bytes AS closes
FROM ledger
WHERE Time >= {since:DateTime('UTC')} AND Time < {until:DateTime('UTC')}
GROUP BY Time, Signal, ServiceName
ORDER BY Time, Signal, ServiceName
"""


def ledger(store: Store, since: str, until: str | None, now: datetime) -> dict[str, Any]:
    """Return the ledger of a window of arrival; raises ReportError, NoData or StoreError."""
    asked = window(since, until, now)
    try:
        if "ledger" not in store.tables():
            raise NoData("there is no ledger in this database: nothing was received yet")
        result = store.client().query(
            _LEDGER,
            parameters={
                "since": f"{asked.since:%Y-%m-%d %H:%M:%S}",
                "until": f"{asked.until:%Y-%m-%d %H:%M:%S}",
            },
        )
    except ClickHouseError as error:
        raise StoreError(f"the ledger could not be read: {error}") from error
    rows = [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]
    for row in rows:
        row["closes"] = bool(row["closes"])
    return {
        "since": iso(asked.since),
        "until": iso(asked.until),
        "closes": all(row["closes"] for row in rows),
        "rows": rows,
    }


def routes(
    store: Store,
    *,
    clock: Callable[[], datetime],
    flush: Callable[[], bool | None],
    in_pool: Callable[[Callable[[], Any]], Awaitable[Any]],
) -> list[Route]:
    """Return the route; what waits is stored first, as for reports."""

    def answer(since: str, until: str | None) -> dict[str, Any]:
        flush()
        return ledger(store, since, until, clock())

    async def get(request: Request) -> Response:
        given = dict(request.query_params)
        since, until = given.pop("since", "24h"), given.pop("until", None)
        if given:
            raise ReportError(f"the ledger has no parameter {min(given)!r}; it has since and until")
        return JSONResponse(await in_pool(lambda: answer(since, until)))

    return [Route("/api/ledger", get, methods=["GET"])]
