"""Errors as statuses on the wire: the one place where our errors become gRPC codes and HTTP statuses.

OTLP 1.11: permanent errors are INVALID_ARGUMENT / 400 with a BadRequest, except for a request that is too large:
RESOURCE_EXHAUSTED without RetryInfo / 413, one of a type that we do not read: 415 (RFC 9110, 15.5.16), and one without
a valid token: UNAUTHENTICATED / 401, PERMISSION_DENIED / 403. Retryable ones are UNAVAILABLE with RetryInfo / 503 with
Retry-After.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from headgate.collector.errors import (
    CollectorError,
    Forbidden,
    Malformed,
    NoSuchMethod,
    Permanent,
    Retryable,
    TooLarge,
    Unauthenticated,
    Unsupported,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How to say no: over gRPC and over HTTP."""

    grpc_code: grpc.StatusCode
    http_status: int
    body: Status
    retry_after_s: float | None = None
    header: tuple[bytes, bytes] | None = None

    @property
    def grpc_metadata(self) -> tuple[tuple[str, bytes], ...]:
        """Trailing metadata: the status, and the key that the Python exporter reads its retry delay from."""
        metadata = [("grpc-status-details-bin", self.body.SerializeToString())]
        if self.retry_after_s is not None:
            metadata.append(
                ("google.rpc.retryinfo-bin", _retry_info(self.retry_after_s).SerializeToString())
            )
        return tuple(metadata)

    @property
    def http_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers besides those of the content: Retry-After in whole seconds, or what we take instead."""
        if self.retry_after_s is not None:
            return [(b"retry-after", str(ceil(self.retry_after_s)).encode())]
        return [self.header] if self.header else []


def refusal(error: CollectorError) -> Refusal:  # noqa: PLR0911  # one a kind
    """Return how to answer a request that was not taken."""
    code = grpc.StatusCode
    body = Status(message=str(error)[:1000])
    match error:
        case TooLarge():
            body.code = code_pb2.RESOURCE_EXHAUSTED
            return Refusal(code.RESOURCE_EXHAUSTED, 413, body)
        case Retryable():
            body.code = code_pb2.UNAVAILABLE
            body.details.add().Pack(_retry_info(error.retry_after_s))
            return Refusal(code.UNAVAILABLE, 503, body, error.retry_after_s)
        case Unauthenticated():
            body.code = code_pb2.UNAUTHENTICATED
            return Refusal(code.UNAUTHENTICATED, 401, body, header=(b"www-authenticate", b"Bearer"))
        case Forbidden():
            body.code = code_pb2.PERMISSION_DENIED
            return Refusal(code.PERMISSION_DENIED, 403, body)
        case NoSuchMethod():
            body.code = code_pb2.UNIMPLEMENTED
            allow = (b"allow", b"POST") if error.http_status == 405 else None
            return Refusal(code.UNIMPLEMENTED, error.http_status, body, header=allow)
        case Permanent():
            body.code = code_pb2.INVALID_ARGUMENT
            body.details.add().Pack(_bad_request(error))
            if isinstance(error, Unsupported):
                return Refusal(code.INVALID_ARGUMENT, 415, body, header=error.accepted)
            return Refusal(code.INVALID_ARGUMENT, 400, body)
        case _:
            body.code = code_pb2.INTERNAL
            return Refusal(code.INTERNAL, 500, body)


def _retry_info(seconds: float) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9)))


def _bad_request(error: Permanent) -> BadRequest:
    """Say what is bad and, where it is known, at which byte of the (decompressed) request."""
    offset = error.offset if isinstance(error, Malformed) else None
    field = "" if offset is None else f"byte {offset}"
    violation = BadRequest.FieldViolation(field=field, description=str(error)[:1000])
    return BadRequest(field_violations=[violation])
