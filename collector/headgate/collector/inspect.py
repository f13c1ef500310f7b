"""What a request is, before anything is done about it: valid or not, which of its items, and which request it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.collector.check import examine
from headgate.collector.errors import Malformed
from headgate.collector.faults import faults
from headgate.collector.partial import split
from headgate.collector.process import Request
from headgate.collector.retransmission import digest

if TYPE_CHECKING:
    from headgate.collector.partial import Partial
    from headgate.collector.signals import Signal


@dataclass(frozen=True, slots=True)
class Inspected:
    """A valid request: what was `sent`, and what is to be stored of it.

    `identity` tells it when it comes again (empty where nothing does); `partial` is what was left out, if anything.
    """

    request: Request
    sent: Request
    identity: bytes
    partial: Partial | None


class NothingGood(Malformed):
    """Every item of the request is bad; `partial` says how many, of which services."""

    def __init__(self, partial: Partial) -> None:
        super().__init__(partial.message)
        self.partial = partial


def inspect(database: str, signal: Signal, body: bytes, arrival_ns: int) -> Inspected:
    """Judge a request (protobuf bytes) to a database; raises Malformed or NothingGood."""
    items, recognisable = examine(signal, body)
    identity = digest(database, signal, body) if recognisable else b""
    request = Request(signal, body, items, arrival_ns)
    if not faults(signal, body):
        return Inspected(request, request, identity, None)
    good, partial = split(signal, body)
    kept = examine(signal, good)[0]
    if partial.rejected and not kept:
        raise NothingGood(partial)
    sent = Request(signal, body, kept + partial.rejected, arrival_ns)
    return Inspected(Request(signal, good, kept, arrival_ns), sent, identity, partial)
