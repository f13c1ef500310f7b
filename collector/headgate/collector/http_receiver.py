"""OTLP/HTTP: POST /v1/traces, /v1/metrics, /v1/logs; protobuf and JSON on the same port, gzip or not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToJson
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from headgate.collector.errors import CollectorError, Malformed, Permanent, TooLarge
from headgate.collector.receive import decompress
from headgate.collector.signals import Signal
from headgate.collector.status import Refusal, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from starlette.requests import Request

    from headgate.collector.pipeline import Pipeline

PROTOBUF, JSON = "application/x-protobuf", "application/json"


def create_app(pipeline: Pipeline, max_request_bytes: int) -> Starlette:
    """Return the ASGI application in front of a pipeline."""

    def endpoint(signal: Signal) -> Callable[[Request], Awaitable[Response]]:
        async def export(request: Request) -> Response:
            return await _export(pipeline, signal, request, max_request_bytes)

        return export

    return Starlette(
        routes=[Route(f"/v1/{signal}", endpoint(signal), methods=["POST"]) for signal in Signal]
    )


async def _export(pipeline: Pipeline, signal: Signal, request: Request, limit: int) -> Response:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {PROTOBUF, JSON}:
        error = Permanent(f"Content-Type {kind!r} is not supported; send {PROTOBUF} or {JSON}")
        answer = refusal(error)
        return _refused(PROTOBUF, answer, 415)
    try:
        body = await _read(request, limit)
        encoding = request.headers.get("content-encoding", "")
        stored = await asyncio.to_thread(_accept, pipeline, signal, kind, encoding, body, limit)
        await asyncio.wrap_future(stored)
    except CollectorError as error:
        answer = refusal(error)
        return _refused(kind, answer, answer.http_status)
    return Response(b"{}" if kind == JSON else b"", media_type=kind)


async def _read(request: Request, limit: int) -> bytes:
    """Return the body, or raise TooLarge as soon as it is known to be."""
    pieces = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the request has more than {limit} bytes; send smaller batches")
        pieces.append(piece)
    return b"".join(pieces)


def _accept(
    pipeline: Pipeline, signal: Signal, kind: str, encoding: str, body: bytes, limit: int
) -> Future[None]:
    try:
        plain = decompress(encoding, body, limit)
        if kind == JSON:
            from headgate.collector.otlp_json import to_protobuf

            plain = to_protobuf(signal, plain)
    except (Malformed, TooLarge):
        pipeline.reject(signal, len(body))
        raise
    return pipeline.accept(signal, plain)


def _refused(kind: str, answer: Refusal, http_status: int) -> Response:
    body = (
        MessageToJson(answer.body, indent=None) if kind == JSON else answer.body.SerializeToString()
    )
    return Response(body, http_status, headers=answer.http_headers, media_type=kind)
