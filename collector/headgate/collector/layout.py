"""Where each field of an OTLP message goes: tables made from the protobuf descriptors of `opentelemetry-proto`.

The schema is data: a new field of a new OTLP version needs a newer `opentelemetry-proto`, no new kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from headgate.collector import wire
from headgate.collector.attributes import Attributes, Values
from headgate.collector.errors import Malformed
from headgate.collector.references import Ranges, Text
from headgate.collector.scan import scan

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from numpy.typing import NDArray

__all__ = ["Layout", "Messages", "Ranges", "Text", "field_kind", "message_type"]

_KINDS = {  # FieldDescriptor.type -> what it is to us
    1: wire.NUMBER64, 3: wire.NUMBER, 4: wire.NUMBER, 5: wire.NUMBER, 6: wire.NUMBER64, 7: wire.NUMBER32,
    8: wire.NUMBER, 9: wire.BYTES, 11: wire.MESSAGE, 12: wire.BYTES, 13: wire.NUMBER, 14: wire.NUMBER,
    16: wire.NUMBER64, 17: wire.NUMBER,
}  # fmt: skip
# First guesses at how long a sub-message and a pair are with their tags; a wrong one costs a second scan.
_BYTES_A_CHILD, _BYTES_A_PAIR = 64, 20
_PACKED = {wire.NUMBER: wire.PACKED_VARINT, wire.NUMBER64: wire.PACKED64}


def field_kind(field: FieldDescriptor) -> int:
    """Return what a field is to the kernels: one of the kinds of `headgate.collector.wire`."""
    kind = _KINDS[field.type]
    return _PACKED[kind] if field.is_repeated and kind in _PACKED else kind


def message_type(field: FieldDescriptor) -> Descriptor:
    """Return the type of a field that is a message."""
    if field.message_type is None:
        raise TypeError(f"{field.full_name} is not a message")
    return field.message_type


@dataclass(frozen=True, slots=True)
class Messages:
    """The rows of one message type: scalar fields as columns, sub-messages as (row, start, end) lists.

    `fields` is [slot, row]. Repeated pairs of key and value, of which a type has one field at most, are `attributes`.
    """

    buffer: NDArray[np.uint8]
    layout: Layout
    fields: NDArray[np.uint64]
    children: dict[str, Ranges]
    attributes: Attributes

    def __len__(self) -> int:
        return int(self.fields.shape[1])

    def uint64(self, name: str) -> NDArray[np.uint64]:
        """Return a numeric field as it is on the wire, modulo 2^64."""
        column: NDArray[np.uint64] = self.fields[self.layout.slots[name]]
        return column

    def int32(self, name: str) -> NDArray[np.int32]:
        """Return an int32, uint32 or enum field, cut to 32 bits as protobuf does."""
        return self.uint64(name).astype(np.uint32).view(np.int32)

    def sint32(self, name: str) -> NDArray[np.int32]:
        """Return a zigzag-encoded field."""
        raw = self.uint64(name).astype(np.uint32)
        return ((raw >> 1) ^ (~(raw & 1) + np.uint32(1))).view(np.int32)

    def float64(self, name: str) -> NDArray[np.float64]:
        """Return a double field."""
        return self.uint64(name).view(np.float64)

    def present(self, name: str) -> NDArray[np.bool_]:
        """Return which rows carried the field."""
        bit = np.uint64(self.layout.numbers[name])
        seen: NDArray[np.bool_] = (self.fields[0] >> bit) & np.uint64(1) != 0
        return seen

    def text(self, name: str) -> Text:
        """Return a string or bytes field as references into the buffer."""
        slot = self.layout.slots[name]
        return Text(self.fields[slot].view(np.int64), self.fields[slot + 1].view(np.int64))


class Layout:
    """The columns of one message type."""

    def __init__(self, descriptor: Descriptor) -> None:
        fields: list[FieldDescriptor] = list(descriptor.fields)
        self.name = descriptor.full_name
        self.numbers = {f.name: f.number for f in fields}
        self.slots: dict[str, int] = {}
        self.lists: dict[str, int] = {}
        self.table = np.zeros((max(f.number for f in fields) + 1, 3), np.int64)
        self.width = 1
        self.has_pairs = False
        for field in fields:
            kind = field_kind(field)
            place = 0
            if field.is_repeated and field.message_type == KeyValue.DESCRIPTOR:
                kind = wire.PAIR
                self.has_pairs = True
            elif kind in {wire.MESSAGE, wire.PACKED64, wire.PACKED_VARINT}:
                place = self.lists[field.name] = len(self.lists)
            else:
                place = self.slots[field.name] = self.width
                self.width += 2 if kind == wire.BYTES else 1
            rivals = field.containing_oneof.fields if field.containing_oneof else ()
            cleared = sum(1 << rival.number for rival in rivals if rival.number != field.number)
            self.table[field.number] = (kind, place, cleared)

    def read(self, buffer: NDArray[np.uint8], messages: Ranges, rows: int) -> Messages:
        """Read `messages` into `rows` rows; raises Malformed with the offset of the first error."""
        fields = np.zeros((self.width, rows), np.uint64)
        first = np.zeros(rows + 1, np.int64)
        size = int((messages.end - messages.start).sum())
        room = size // _BYTES_A_CHILD + 16 if self.lists else 0
        pairs_room = size // _BYTES_A_PAIR + 16 if self.has_pairs else 0
        while True:
            found = np.empty((4, room), np.int64)
            key, text = np.empty((2, pairs_room), np.int64), np.empty((2, pairs_room), np.int64)
            kind, bits = np.empty(pairs_room, np.uint8), np.empty(pairs_room, np.uint64)
            error, count, pairs = scan(
                buffer, messages.start, messages.end, messages.row, self.table, fields, found,
                first, key, kind, bits, text,
            )  # fmt: skip
            if error >= 0:
                raise Malformed(f"invalid {self.name}", int(error))
            if count <= room and pairs <= pairs_room:
                break
            room, pairs_room = int(count), int(pairs)
        np.cumsum(first, out=first)
        lists, row, start, end = found[:, :count]
        children = {}
        for name, number in self.lists.items():
            mine = np.flatnonzero(lists == number) if len(self.lists) > 1 else slice(None)
            children[name] = Ranges(row[mine], start[mine], end[mine])
        attributes = Attributes(
            first,
            Text(key[0, :pairs], key[1, :pairs]),
            Values(kind[:pairs], bits[:pairs], Text(text[0, :pairs], text[1, :pairs])),
        )
        return Messages(buffer, self, fields, children, attributes)

    def read_each(self, buffer: NDArray[np.uint8], messages: Ranges) -> Messages:
        """Read a repeated field: one row a message, in order."""
        rows = len(messages)
        return self.read(buffer, Ranges(np.arange(rows), messages.start, messages.end), rows)
