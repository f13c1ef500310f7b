"""What can go wrong with a request, by what its sender should do.

Permanent: the same bytes would always fail, so a client must not send them again. Retryable: the same bytes may
be taken later. The two are mapped to gRPC and HTTP statuses in `headgate.collector.status` only.
"""

from __future__ import annotations


class CollectorError(Exception):
    """A request was not taken."""


class Permanent(CollectorError):
    """The request can never be taken."""


class Malformed(Permanent):
    """The request is not valid OTLP; `offset` is the byte at which that showed, where known."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} at byte {offset}")
        self.offset = offset


class Unsupported(Permanent):
    """The request is of a type, or compressed in a way, that we do not read; the header `accepted` says what we do."""

    def __init__(self, message: str, accepted: tuple[bytes, bytes] | None = None) -> None:
        super().__init__(message)
        self.accepted = accepted


class TooLarge(Permanent):
    """The request is larger than the maximum: its bytes, compressed or decompressed, or what it would be in memory."""


class Unauthenticated(Permanent):
    """The request has no token, or none that we know."""


class Forbidden(Permanent):
    """The request's token does not allow what it asks for."""


class NoSuchMethod(Permanent):
    """There is nothing at this path, or not by this method; `http_status` is 404 or 405."""

    def __init__(self, message: str, http_status: int) -> None:
        super().__init__(message)
        self.http_status = http_status


class Retryable(CollectorError):
    """The request can be taken later; `retry_after_s` says when to try."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
