"""The application: which address answers what.

    GET /healthz, /readyz, /metrics, /api/status   how the server is, see `headgate.web.health`
    GET, POST /api/sampling       what is sampled how, see `headgate.web.sampling`
    GET /api/reports              every report with its question and parameters
    GET /api/reports/{name}       a report; parameters as on the command line, where=key=value repeatable, format=json
                                  (default) or any other, width of a table in columns, chart of a picture from 1,
                                  table of a csv, rows shown of each table; page_rows=N and offset=N for a page of
                                  its rows

    POST, GET /api/exports ...    files of rows, see headgate.web.export_routes
    POST /api/forget              remove a person, see headgate.web.forget
    GET /api/ledger               what was received and what became of it, see headgate.web.ledger

Failures are {"error": sentence}: 400 for a question that cannot be asked so, 404 for a report that does not exist,
503 for a store that cannot be read. Queries block, so they run in a few threads of their own, and never more at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headgate.queries import ReportError, UnknownReport, entry, names, run
from headgate.queries.declaration import described
from headgate.queries.render import FORMATS, render, unshown
from headgate.store import StoreError
from headgate.web import forget, ledger, sampling
from headgate.web.export_routes import export_routes
from headgate.web.health import health_routes, worker_routes
from headgate.web.paging import Page, asked, paged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from starlette.requests import Request

    from headgate.collector.sampling import Sampler
    from headgate.collector.vitals import Vitals
    from headgate.store import Store
    from headgate.web.exports import ExportJobs

QUERY_THREADS = 4
_STATUS = ((UnknownReport, 404), (ReportError, 400), (StoreError, 503))
_MAX_WIDTH = 500
_BEHIND = "the store is behind: some of what was received last is not counted here yet"
_log = logging.getLogger(__name__)


def create_app(
    store: Store,
    *,
    flush: Callable[[], bool | None],
    clock: Callable[[], datetime],
    look: Callable[[], Vitals] | None = None,
    exports: ExportJobs | None = None,
    sampler: Sampler | None = None,
    forgetting: Callable[[str, str], dict[str, Any]] | None = None,
    alone: tuple[Callable[[], Vitals], Callable[[], bool]] | None = None,
    timer: Callable[[], float] | None = None,
    fonts: Path | None = None,
) -> Starlette:
    """Return the application over `store`.

    `flush` blocks until everything acknowledged is in the store and returns False when that took too long, which the
    report then says; it is called before each report, in a thread of the pool. `clock` gives the aware time of asking,
    `look` tells how the collector is, `exports` makes and keeps files; `sampler` is what /api/sampling shows
    and changes, `forgetting` removes a person for who asks (see `headgate.web.forget`). `alone` looks at and
    flushes this process only, where it is one of several workers. `timer` counts the seconds that reports take, `fonts`
    is a directory of fonts for PDF and PNG; what no font has the log tells.
    """
    pool = ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="headgate-query")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        pool.shutdown(wait=True)

    def answer(
        name: str,
        format_: str,
        options: Mapping[str, Any],
        question: Mapping[str, Any],
        page: tuple[int, int] | None,
    ) -> tuple[bytes, Page | None]:
        entry(name)  # an unknown name is refused before anything is flushed for it
        behind = flush() is False
        document = run(name, store, now=clock(), timer=timer, **question).to_dict()
        if behind:
            document["summary"]["notes"].append(_BEHIND)
        shown = paged(document, page)
        return _rendered(document, format_, {**options, "fonts": fonts}), shown

    async def report(request: Request) -> Response:
        question = _question(request)
        format_ = question.pop("format", "json")
        options = {
            "width": _whole("width", question.pop("width", "80"), _MAX_WIDTH),
            "chart": _whole("chart", question.pop("chart", "1"), _MAX_WIDTH),
            "table": question.pop("table", ""),
            "rows": _rows(question.pop("rows", "")),
        }
        name, page = request.path_params["name"], asked(question)
        made, shown = await in_pool(lambda: answer(name, format_, options, question, page))
        headers = shown.headers(request.url) if shown else {}
        return Response(made, media_type=FORMATS[format_].media, headers=headers)

    async def in_pool(action: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, action)

    def probabilities() -> Mapping[str, float]:
        return {} if sampler is None else sampler.probabilities

    further: list[Route] = []
    if exports is not None:
        further += export_routes(store, exports, clock=clock, flush=flush, in_pool=in_pool)
    if forgetting is not None:
        further += forget.routes(forgetting, in_pool)
    if alone is not None:
        further += worker_routes(*alone, in_pool)
    further += ledger.routes(store, clock=clock, flush=flush, in_pool=in_pool)
    return Starlette(
        routes=[
            *health_routes(store, look=look, sampling=probabilities),
            Route("/api/reports", _reports),
            Route("/api/reports/{name}", report),
            *further,
            *sampling.routes(store, sampler, clock, pool),
        ],
        exception_handlers={
            HTTPException: _http_failure,
            **{kind: _failure for kind, _ in _STATUS},
            Exception: _defect,
        },
        lifespan=lifespan,
    )


def _rendered(document: dict[str, Any], format_: str, options: Mapping[str, Any]) -> bytes:
    made = render(document, format_, **options)
    if lacking := unshown([document], format_, options["fonts"]):
        _log.warning("%s of %s: %s", format_, document["report"], lacking)
    return made


async def _reports(_: Request) -> Response:
    return JSONResponse({"reports": [_declaration(name) for name in names()]})


def _declaration(name: str) -> dict[str, Any]:
    report = entry(name).report
    parameters = {field: meaning for field, (_, meaning) in described(report.params).items()}
    return {"name": name, "question": report.question, "params": parameters}


def _question(request: Request) -> dict[str, Any]:
    """Return the query's parameters; `where` as a mapping, any other one only once."""
    question: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name == "where":
            key, separator, wanted = value.partition("=")
            if not separator or not key:
                raise ReportError(f"where {value!r} is not possible: write where=key=value")
            question.setdefault("where", {})[key] = wanted
        elif name in question or name in {"now", "store", "name", "timer"}:
            raise ReportError(f"the parameter {name!r} cannot be given, or not twice")
        else:
            question[name] = value
    return question


def _whole(name: str, text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ReportError(f"{name} {text!r} is not possible: write a number from 1 to {most}")
    return int(text)


def _rows(text: str) -> int | None:
    if text and not text.isdecimal():
        raise ReportError(f"rows {text!r} is not possible: write a whole number; 0 shows all")
    return int(text) if text else None


async def _failure(_: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return JSONResponse({"error": str(error)}, status)


async def _http_failure(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - starlette routes by this class
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _defect(request: Request, error: Exception) -> Response:
    _log.error("%s failed", request.url.path, exc_info=error)
    return JSONResponse({"error": "the report failed; the server's log says why"}, 500)
