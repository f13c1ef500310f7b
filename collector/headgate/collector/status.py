"""Errors as statuses on the wire: the one place where our errors become gRPC codes and HTTP statuses.

OTLP 1.11: permanent errors are INVALID_ARGUMENT / 400, except for a request that is too large: RESOURCE_EXHAUSTED
without RetryInfo / 413, and one of a type that we do not read: 415 (RFC 9110, 15.5.16). Retryable ones are UNAVAILABLE
with RetryInfo / 503 with Retry-After.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from headgate.collector.errors import CollectorError, Permanent, Retryable, TooLarge, Unsupported


@dataclass(frozen=True, slots=True)
class Refusal:
    """How to say no: over gRPC and over HTTP."""

    grpc_code: grpc.StatusCode
    http_status: int
    body: Status
    retry_after_s: float | None

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
    def http_headers(self) -> dict[str, str]:
        """Headers besides the content type: Retry-After in whole seconds."""
        return {} if self.retry_after_s is None else {"retry-after": str(ceil(self.retry_after_s))}


def refusal(error: CollectorError) -> Refusal:
    """Return how to answer a request that was not taken."""
    match error:
        case TooLarge():
            return _refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED, 413, code_pb2.RESOURCE_EXHAUSTED, error
            )
        case Retryable():
            return _refusal(
                grpc.StatusCode.UNAVAILABLE, 503, code_pb2.UNAVAILABLE, error, error.retry_after_s
            )
        case Unsupported():
            return _refusal(grpc.StatusCode.INVALID_ARGUMENT, 415, code_pb2.INVALID_ARGUMENT, error)
        case Permanent():
            return _refusal(grpc.StatusCode.INVALID_ARGUMENT, 400, code_pb2.INVALID_ARGUMENT, error)
        case _:
            return _refusal(grpc.StatusCode.INTERNAL, 500, code_pb2.INTERNAL, error)


def _retry_info(seconds: float) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9)))


def _refusal(
    grpc_code: grpc.StatusCode,
    http_status: int,
    code: int,
    error: CollectorError,
    retry_after_s: float | None = None,
) -> Refusal:
    body = Status(code=code, message=str(error)[:1000])
    if retry_after_s is not None:
        body.details.add().Pack(_retry_info(retry_after_s))
    return Refusal(grpc_code, http_status, body, retry_after_s)
