"""Exports over HTTP (REQ-EXP-02): ask for one, watch it, download it.

POST   /api/exports               {"kind", "fields", "since", "until", "service", "timezone", "format"} -> 202, job
GET    /api/exports               every job, the latest first
GET    /api/exports/{id}          one job: state, percent, rows, bytes
GET    /api/exports/{id}/file     the file of a completed job
DELETE /api/exports/{id}          forget a job and its file
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from headgate.queries import ReportError
from headgate.queries.export import extract, kept_since
from headgate.queries.window import window, zone_of
from headgate.web.exports import Job, plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.requests import Request

    from headgate.queries.export import Extract
    from headgate.store import Store
    from headgate.web.exports import ExportJobs

_MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class Order(BaseModel):
    """What is to be exported, as on the command line."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    fields: list[str] = []
    since: str = "24h"
    until: str | None = None
    service: str = ""
    timezone: str = "UTC"
    format: str = "csv"


def export_routes(
    store: Store,
    jobs: ExportJobs,
    *,
    clock: Callable[[], datetime],
    flush: Callable[[], object],
    in_pool: Callable[[Callable[[], Job]], Awaitable[Job]],
) -> list[Route]:
    """Return the routes; `in_pool` runs what blocks in a thread that may use the store."""

    async def submit(request: Request) -> Response:
        try:
            order = Order.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the body"
            raise ReportError(f"{place}: {first['msg']}") from error
        actor = request.client.host if request.client else "unknown"

        def queue() -> Job:
            flush()
            return jobs.submit(checked(order, store, clock()), actor)

        return JSONResponse(plain(await in_pool(queue)), 202)

    async def listed(_: Request) -> Response:
        return JSONResponse({"exports": [plain(job) for job in jobs.all()]})

    async def one(request: Request) -> Response:
        return JSONResponse(plain(_find(jobs, request)))

    async def file(request: Request) -> Response:
        job = _find(jobs, request)
        if job.state != "completed":
            raise HTTPException(409, f"the export {job.id} is {job.state}")
        return FileResponse(jobs.path(job), media_type=_MEDIA[job.format], filename=job.file)

    async def remove(request: Request) -> Response:
        jobs.remove(_find(jobs, request).id)
        return Response(status_code=204)

    return [
        Route("/api/exports", submit, methods=["POST"]),
        Route("/api/exports", listed),
        Route("/api/exports/{id}", one),
        Route("/api/exports/{id}", remove, methods=["DELETE"]),
        Route("/api/exports/{id}/file", file),
    ]


def checked(order: Order, store: Store, now: datetime) -> Extract:
    """Return the extract that an order asks for; raises ReportError."""
    try:
        zone = zone_of(order.timezone)
    except ValueError as error:
        raise ReportError(str(error)) from error
    return extract(
        order.kind,
        order.fields,
        window(order.since, order.until, now, zone),
        store.tables(),
        service=order.service,
        format_=order.format,
        kept_since=kept_since(store, now),
    )


def _find(jobs: ExportJobs, request: Request) -> Job:
    try:
        return jobs.find(request.path_params["id"])
    except KeyError:
        raise HTTPException(404, f"there is no export {request.path_params['id']!r}") from None
