"""Derive from log records the named events: each is a use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.attributes import DOUBLE, INT
from headgate.collector.fingerprints import fingerprints
from headgate.collector.identity import owners
from headgate.collector.keyed import Keyed, find, text_at
from headgate.collector.layout import Text
from headgate.collector.outcome import outcomes
from headgate.collector.uses import EVENT_KIND, Names, Uses, first_present, name_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.decode import LogRecords
    from headgate.collector.heap import Heap
    from headgate.collector.rules import Identity

SEVERITY_ERROR = 17
WANTED = (
    "event.name",
    "exception.type",
    "error.type",
    "exception.stacktrace",
    "exception.message",
    "headgate.event.value",
)
_TYPE, _STACK, _MESSAGE, _VALUE = (1, 2), 3, 4, 5


def event_names(heap: Heap, logs: LogRecords, attributes: Keyed) -> Text:
    """Return each record's event name: its own field, else the attribute `event.name`, else empty."""
    own = logs.record.text("event_name")
    named = text_at(heap, attributes, find(attributes, WANTED[:1])[:, 0])
    return Text(
        np.where(own.length > 0, own.offset, named.offset),
        np.where(own.length > 0, own.length, named.length),
    )


def log_uses(
    heap: Heap,
    logs: LogRecords,
    services: Names,
    resource: Keyed,
    attributes: Keyed,
    names: Text,
    time_ns: NDArray[np.int64],
    identity: Identity,
) -> Uses:
    """Derive one row a named record; `names` and `time_ns` are by record, `services` by resource."""
    index = find(attributes, WANTED)
    source = np.flatnonzero(names.length > 0)
    index = index[source]
    failed = logs.record.int32("severity_number")[source] >= SEVERITY_ERROR
    error_type = text_at(heap, attributes, first_present(index, _TYPE))
    error_type = Text(error_type.offset, np.where(failed, error_type.length, 0))
    message = text_at(heap, attributes, index[:, _MESSAGE])
    message = Text(message.offset, np.where(failed, message.length, 0))
    fingerprint = np.zeros(source.size, np.uint64)
    bad = np.flatnonzero(failed)
    if bad.size:
        stack = text_at(heap, attributes, index[bad, _STACK])
        fingerprint[bad] = fingerprints(heap, error_type.take(bad), stack, message.take(bad))
    resource_row = logs.batches.scope_resource[logs.record_scope[source]]
    whose = owners(heap, identity, attributes, source, resource, resource_row)
    unknown = np.full(source.size, -1, np.int64)
    return Uses(
        source=source,
        time_ns=time_ns[source],
        service=services.take(resource_row),
        operation=name_of(heap, names.take(source)),
        kind=np.full(source.size, EVENT_KIND, np.uint8),
        entry=np.ones(source.size, bool),
        outcome=outcomes(heap, failed, error_type, unknown, unknown),
        timed=False,
        duration_ns=np.zeros(source.size, np.uint64),
        adjusted=np.ones(source.size),
        user=whose.user,
        user_hash=whose.user_hash,
        session=whose.session,
        trace_id=logs.record.text("trace_id").take(source),
        span_id=logs.record.text("span_id").take(source),
        fingerprint=fingerprint,
        error_type=error_type,
        error_message=message,
        value=_numbers(attributes, index[:, _VALUE]),
    )


def _numbers(attributes: Keyed, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the numeric attribute at each index, NaN where there is none."""
    if not len(attributes.value):
        return np.full(index.size, np.nan)
    kind, bits = attributes.value.kind[index], attributes.value.bits[index]
    number = np.where(kind == DOUBLE, bits.view(np.float64), bits.view(np.int64).astype(np.float64))
    return np.where((index >= 0) & ((kind == DOUBLE) | (kind == INT)), number, np.nan)
