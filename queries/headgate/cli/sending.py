"""An OTLP/HTTP client for requests that are already encoded: retries what the protocol retries.

Reference: OTLP specification 1.11, "OTLP/HTTP Response", "Retryable Response Codes".
"""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from headgate.collector.signals import Signal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

RETRYABLE = frozenset({429, 502, 503, 504})
PATIENCE_S = 120.0
"""How long a request is tried again before the collector counts as gone."""

_LONGEST_PAUSE_S = 30.0
_TIMEOUT_S = 60.0
_PROTOBUF = "application/x-protobuf"
_ANSWERS: dict[Signal, tuple[type[Any], str]] = {
    Signal.TRACES: (ExportTraceServiceResponse, "rejected_spans"),
    Signal.METRICS: (ExportMetricsServiceResponse, "rejected_data_points"),
    Signal.LOGS: (ExportLogsServiceResponse, "rejected_log_records"),
}


class Unreachable(Exception):
    """The collector took nothing for as long as we were patient; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a collector said: all taken, `rejected` items of it not, or the request `refused`."""

    refused: bool = False
    rejected: int = 0
    message: str = ""


class Sender:
    """Sends requests to one collector; may be used by several threads at once."""

    def __init__(
        self,
        endpoint: str,
        sleep: Callable[[float], None],
        *,
        compress: bool,
        token: str | None = None,
        verify: ssl.SSLContext | bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._sleep = sleep
        self._compress = compress
        self._clock = clock
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(timeout=_TIMEOUT_S, headers=headers, verify=verify)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, signal: Signal, body: bytes) -> Answer:
        """Send a protobuf request until it is answered for good; raises Unreachable."""
        headers = {"Content-Type": _PROTOBUF}
        if self._compress:
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        url = f"{self._endpoint}/v1/{signal}"
        begun = self._clock()
        pause_s = 0.5
        while True:
            try:
                response = self._client.post(url, content=body, headers=headers)
            except httpx.TransportError as error:
                said, asked_s = str(error) or type(error).__name__, None
            else:
                if response.status_code not in RETRYABLE:
                    return _answer(signal, response)
                said, asked_s = _words(response), _retry_after_s(response, datetime.now(UTC))
            if self._clock() - begun > PATIENCE_S:
                raise Unreachable(f"the collector at {self._endpoint} takes no data: {said}")
            self._sleep(min(pause_s if asked_s is None else asked_s, _LONGEST_PAUSE_S))
            pause_s *= 2


def _answer(signal: Signal, response: httpx.Response) -> Answer:
    if not response.is_success:
        return Answer(refused=True, message=_words(response))
    kind, rejected = _ANSWERS[signal]
    answer = kind()
    try:
        answer.ParseFromString(response.content)
    except DecodeError:
        return Answer(refused=True, message="its answer is not OTLP")
    partial = answer.partial_success
    return Answer(rejected=getattr(partial, rejected), message=partial.error_message)


def _words(response: httpx.Response) -> str:
    """Return a failure in words: its google.rpc.Status, else the text, with the HTTP status."""
    said = response.text
    if response.headers.get("Content-Type", "").startswith(_PROTOBUF):
        status = Status()
        try:
            status.ParseFromString(response.content)
        except DecodeError:
            said = "an unreadable answer"
        else:
            said = status.message
    return f"{said.strip()[:300] or response.reason_phrase} (HTTP {response.status_code})"


def _retry_after_s(response: httpx.Response, now: datetime) -> float | None:
    """Return the seconds that Retry-After asks for, as a number or a date; None without one."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):  # absent, or neither a number nor a date
        return None
