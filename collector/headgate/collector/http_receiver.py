"""OTLP/HTTP: POST /v1/traces, /v1/metrics, /v1/logs; protobuf and JSON on the same port, gzip or not.

Whatever goes wrong, the answer is a google.rpc.Status in the request's encoding (protobuf where that is unknown), and
a request that is refused for good is counted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToJson
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from headgate.collector.errors import CollectorError, Permanent, Retryable, TooLarge, Unsupported
from headgate.collector.receive import decompress
from headgate.collector.signals import Signal
from headgate.collector.status import refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from concurrent.futures import Future

    from starlette.requests import Request

    from headgate.collector.pipeline import Pipeline

PROTOBUF, JSON = "application/x-protobuf", "application/json"


def create_app(pipeline: Pipeline, max_request_bytes: int) -> Starlette:
    """Return the ASGI application in front of a pipeline."""

    def endpoint(signal: Signal) -> Callable[[Request], Awaitable[Response]]:
        async def export(request: Request) -> Response:
            try:
                return await _export(pipeline, signal, request, max_request_bytes)
            except (
                asyncio.CancelledError
            ):  # the grace of a stop has ended; at a 500 the sender would give up
                return _refused(_kind(request), Retryable("the collector is stopping"))

        return export

    return Starlette(
        routes=[Route(f"/v1/{signal}", endpoint(signal), methods=["POST"]) for signal in Signal],
        exception_handlers={HTTPException: _no_such, Exception: _defect},
    )


async def _export(pipeline: Pipeline, signal: Signal, request: Request, limit: int) -> Response:
    kind = _kind(request)
    body = bytearray()
    try:
        await _read(request, kind, body, limit)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it, and nothing was sent in full
    except Permanent as error:
        pipeline.reject(signal, len(body))
        return _refused(kind, error)
    encoding = request.headers.get("content-encoding", "")
    try:
        stored = await asyncio.to_thread(
            _accept, pipeline, signal, kind, encoding, bytes(body), limit
        )
        # Shielded: the outcome is others' too, who sent the same.
        await asyncio.shield(asyncio.wrap_future(stored))
    except CollectorError as error:
        return _refused(kind, error)
    return Response(b"{}" if kind == JSON else b"", media_type=kind)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read(request: Request, kind: str, body: bytearray, limit: int) -> None:
    """Read the body; raises Unsupported or TooLarge as soon as that is known."""
    if kind not in {PROTOBUF, JSON}:
        raise Unsupported(f"Content-Type {kind!r} is not supported; send {PROTOBUF} or {JSON}")
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise TooLarge(f"the request has more than {limit} bytes; send smaller batches")


def _accept(
    pipeline: Pipeline, signal: Signal, kind: str, encoding: str, body: bytes, limit: int
) -> Future[None]:
    try:
        plain = decompress(encoding, body, limit)
        if kind == JSON:
            from headgate.collector.otlp_json import to_protobuf

            plain = to_protobuf(signal, plain)
    except Permanent:
        pipeline.reject(signal, len(body))
        raise
    return pipeline.accept(signal, plain)


def _refused(kind: str, error: CollectorError) -> Response:
    answer = refusal(error)
    return _answer(kind, answer.http_status, answer.body, answer.http_headers)


def _answer(
    kind: str, http_status: int, status: Status, headers: Mapping[str, str] | None = None
) -> Response:
    if kind == JSON:
        text = MessageToJson(status, indent=None)
        return Response(text, http_status, headers, media_type=JSON)
    return Response(status.SerializeToString(), http_status, headers, media_type=PROTOBUF)


async def _no_such(request: Request, error: Exception) -> Response:
    """Answer a path or a method that does not exist."""
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    paths = ", ".join(f"/v1/{signal}" for signal in Signal)
    status = Status(
        code=code_pb2.UNIMPLEMENTED,
        message=f"{request.method} {request.url.path}: {error.detail}; POST to {paths}",
    )
    return _answer(_kind(request), error.status_code, status, error.headers)


async def _defect(request: Request, _: Exception) -> Response:
    """Answer when we failed; the server logs why."""
    status = Status(code=code_pb2.INTERNAL, message="the collector failed; its log says why")
    return _answer(_kind(request), 500, status)
