"""Who a row belongs to: the user and the session that its attributes or its resource's name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from headgate.collector.heap import Heap, intern
from headgate.collector.keyed import Keyed, expand, find, text_at
from headgate.collector.references import Text
from headgate.collector.text import AS_TEXT, Written
from headgate.collector.xxh import xxh64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.rules import Identity


@dataclass(frozen=True, slots=True)
class Owners:
    """The user and session of each row, empty for nobody; `user_hash` is xxHash64 of the user as stored, then 0."""

    user: Text
    user_hash: NDArray[np.uint64]
    session: Text


def owners(
    heap: Heap,
    identity: Identity,
    own: Keyed,
    rows: NDArray[np.int64],
    resource: Keyed,
    resource_row: NDArray[np.int64],
) -> Owners:
    """Return whose the rows at `rows` of `own` are; `resource_row` is each one's row of `resource`."""
    user, user_hash = _first(heap, identity, identity.user, own, rows, resource, resource_row)
    session, _ = _first(heap, identity, identity.session, own, rows, resource, resource_row)
    return Owners(user, user_hash, session)


def hashed(heap: Heap, identity: Identity, levels: Sequence[Keyed]) -> list[Keyed]:
    """Return attributes with the values that name a user replaced by what is stored for them."""
    if not identity.key:
        return list(levels)
    wanted = {name.encode() for name in (*identity.user, *identity.also_hashed)}
    return [_hashed(heap, identity, keyed, wanted) for keyed in levels]


def _hashed(heap: Heap, identity: Identity, keyed: Keyed, wanted: set[bytes]) -> Keyed:
    codes = [code for code, name in enumerate(keyed.keys.names) if name in wanted]
    if not codes:
        return keyed
    place, _ = expand(keyed.shapes.first, keyed.shapes.of)
    index = np.flatnonzero(np.isin(keyed.shapes.code[place], codes))
    code, distinct = intern(heap, text_at(heap, keyed, index))
    stored = heap.add_texts([identity.stored(value) for value in heap.read(distinct)])
    text = keyed.written.text
    how, offset, length = keyed.written.how.copy(), text.offset.copy(), text.length.copy()
    how[index] = AS_TEXT
    offset[index], length[index] = stored.offset[code], stored.length[code]
    return replace(keyed, written=Written(how, Text(offset, length)))


def _first(
    heap: Heap,
    identity: Identity,
    keys: Sequence[str],
    own: Keyed,
    rows: NDArray[np.int64],
    resource: Keyed,
    resource_row: NDArray[np.int64],
) -> tuple[Text, NDArray[np.uint64]]:
    """Return the first value of `keys` that names somebody, and its hash, key by key, a row's own first."""
    nobody = np.array([xxhash.xxh64_intdigest(value) for value in identity.nobody_bytes], np.uint64)
    offset, length = np.zeros(rows.size, np.int64), np.zeros(rows.size, np.int64)
    hashes = np.zeros(rows.size, np.uint64)
    places = ((own, find(own, keys), rows), (resource, find(resource, keys), resource_row))
    for column in range(len(keys)):
        for keyed, index, row in places:
            if not (index[:, column] >= 0).any():
                continue
            open_ = np.flatnonzero((length == 0) & (index[row, column] >= 0))
            text = text_at(heap, keyed, index[row[open_], column])
            hash_ = xxh64(heap.buffer, text)
            named = ~np.isin(hash_, nobody) & (text.length > 0)
            filled = open_[named]
            offset[filled], length[filled] = text.offset[named], text.length[named]
            hashes[filled] = hash_[named]
    return Text(offset, length), hashes
