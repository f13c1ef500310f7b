"""What strata and rules can ask of a row by name: what was derived of it, its attributes, its resource's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.heap import Heap, intern
from headgate.collector.kernel import kernel
from headgate.collector.keyed import Keyed, find, text_at
from headgate.collector.references import Text
from headgate.collector.sampler import strata_of
from headgate.collector.xxh import xxh64

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headgate.collector.policy import Match
    from headgate.collector.uses import Names


@dataclass(frozen=True, slots=True)
class Fields:
    """The rows of one signal: `derived` by name, `attributes` by row, `resource` by `resource_row`."""

    heap: Heap
    derived: Mapping[str, Names]
    attributes: Keyed
    resource: Keyed
    resource_row: NDArray[np.int64]

    def text(self, name: str) -> Text:
        """Return a field of every row, empty where there is none."""
        if name in self.derived:
            names = self.derived[name]
            return names.distinct.take(names.code)
        own = text_at(self.heap, self.attributes, find(self.attributes, [name])[:, 0])
        shared = text_at(self.heap, self.resource, find(self.resource, [name])[:, 0])
        shared = shared.take(self.resource_row)
        absent = own.length == 0
        return Text(
            np.where(absent, shared.offset, own.offset), np.where(absent, shared.length, own.length)
        )

    def codes(self, name: str) -> tuple[NDArray[Any], Text]:
        """Return the same as codes of distinct texts."""
        if name in self.derived:
            return self.derived[name].code, self.derived[name].distinct
        return intern(self.heap, self.text(name))

    def match(self, matches: Sequence[Match]) -> NDArray[np.bool_]:
        """Return which rows any of these matches."""
        found = np.zeros(self.resource_row.size, bool)
        for rule in matches:
            patterns = Heap(np.empty(0, np.uint8))
            values = [value.encode() for value in rule.values]
            texts = patterns.add_texts([value.removesuffix(b"*") for value in values])
            prefix = np.array([value.endswith(b"*") for value in values])
            text = self.text(rule.attribute)
            _match(
                self.heap.buffer, text.offset, text.length,
                patterns.buffer, texts.offset, texts.length, prefix, found,
            )  # fmt: skip
        return found


@dataclass(frozen=True, slots=True)
class Strata:
    """The stratum of each row and the lasting key of each; `name` says what a row's is made of."""

    code: NDArray[np.int64]
    key: NDArray[np.uint64]
    _heap: Heap
    _columns: tuple[tuple[NDArray[Any], Text], ...]

    def name(self, row: int) -> list[str]:
        """Return the values that make the stratum of a row."""
        texts = [distinct.take(code[[row]]) for code, distinct in self._columns]
        return [self._heap.read(text)[0].decode(errors="replace") for text in texts]


def strata(fields: Fields, names: Sequence[str]) -> Strata:
    """Divide rows by the values of these fields, at least one."""
    columns = tuple(fields.codes(name) for name in names)
    buffer = fields.heap.buffer
    code, key = strata_of(*((code, xxh64(buffer, distinct)) for code, distinct in columns))
    return Strata(code, key, fields.heap, columns)


@kernel
def _match(
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    pattern: NDArray[np.uint8],
    pattern_offset: NDArray[np.int64],
    pattern_length: NDArray[np.int64],
    prefix: NDArray[np.bool_],
    found: NDArray[np.bool_],
) -> None:
    for i in range(offset.size):
        for p in range(pattern_offset.size):
            size = pattern_length[p]
            if length[i] < size or length[i] == 0 or (length[i] > size and not prefix[p]):
                continue
            same = True
            for j in range(size):
                if buffer[offset[i] + j] != pattern[pattern_offset[p] + j]:
                    same = False
                    break
            if same:
                found[i] = True
                break
