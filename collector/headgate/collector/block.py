"""A block: rows of one table in ClickHouse's Native format, inserted whole under one deduplication token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.collector.native import Encoded, encode_block
from headgate.store.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from headgate.collector.ledger import Entry
    from headgate.collector.native import Piece

_LARGE = 64 << 10


@dataclass(frozen=True, slots=True)
class Block:
    """`rows` rows for `table`; `pieces` are, one after the other, one Native block that names its columns.

    `batch` is the resource batch of each row of a signal's own table, None elsewhere; `refused` makes the ledger's
    entries for when the store never takes the block.
    """

    table: str
    rows: int
    pieces: tuple[Piece, ...]
    batch: NDArray[np.int64] | None = field(default=None, compare=False)
    refused: Callable[[], list[Entry]] | None = field(default=None, compare=False)

    @property
    def size(self) -> int:
        """The bytes of the block."""
        return sum(map(len, self.pieces))

    @property
    def data(self) -> bytes:
        """The block as a whole, which is a copy: for where it is kept."""
        return b"".join(self.pieces)

    def __iter__(self) -> Iterator[Piece]:
        """Return the block's bytes, from the first on each time: large pieces as they are, small ones together."""
        small: list[Piece] = []
        for piece in self.pieces:
            if len(piece) < _LARGE:
                small.append(piece)
                continue
            if small:
                yield b"".join(small)
                small = []
            yield piece
        if small:
            yield b"".join(small)


def make_block(
    table: str,
    rows: int,
    columns: Mapping[str, Encoded],
    batch: NDArray[np.int64] | None = None,
) -> Block:
    """Put encoded columns in the order of the schema; raises KeyError when one is missing."""
    declared = COLUMNS[table]
    if len(declared) != len(columns):
        raise KeyError(f"{table} has {len(declared)} columns, {len(columns)} were encoded")
    pieces = encode_block(rows, [(c.name, c.type, columns[c.name]) for c in declared])
    return Block(table, rows, pieces, batch)
