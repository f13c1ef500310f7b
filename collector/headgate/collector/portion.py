"""Portions: a segment is processed a few mebibytes at a time and inserted whole, a table at a time.

Processing takes about six times the bytes of what it works on, and an insert costs milliseconds however few its rows.
So that segments can be large without memory for all of their columns, their requests are divided for processing, and
the blocks of all portions are inserted together: ClickHouse makes one part of blocks that follow each other in an
insert, and adds up what it would add up in a merge.

What is divided how, and joined how, depends on the requests alone: a repeat sends the same under the same tokens.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.block import Block
from headgate.collector.times import MOST_DAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.collector.ledger import Entry
    from headgate.collector.process import Request

PORTION_BYTES = 8 << 20
"""Size of a portion's requests, but for one that is larger by itself."""

MOST_TOGETHER = 50 // MOST_DAYS
"""Blocks in an insert: no more than that, since together they shall have no more than 50 partitions."""

MOST_BYTES = 64 << 20
"""Size of the blocks in an insert, but for one that is larger by itself."""


def portions(requests: Sequence[Request]) -> list[Sequence[Request]]:
    """Divide requests into portions of about the same size, in their order; one portion where there are none."""
    ends = np.cumsum([len(request.body) for request in requests])
    total = int(ends[-1]) if requests else 0
    count = max(-(-total // PORTION_BYTES), 1)
    # A request belongs where its last byte lies.
    number = (ends - 1) * count // max(total, 1)
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(requests)]
    return [requests[start:end] for start, end in pairwise(cuts)]


def joined(blocks: Sequence[Block]) -> list[Block]:
    """Join the blocks of each table, in the order in which the tables come, the ledger last."""
    order = {table: place for place, table in enumerate(dict.fromkeys(b.table for b in blocks))}
    order["ledger"] = len(order)
    found = []
    for _, mine in groupby(sorted(blocks, key=lambda b: order[b.table]), key=lambda b: b.table):
        together: list[Block] = []
        for block in mine:
            size = sum(b.size for b in together) + block.size
            if together and (len(together) == MOST_TOGETHER or size > MOST_BYTES):
                found.append(_one(together))
                together = []
            together.append(block)
        found.append(_one(together))
    return found


def _one(blocks: Sequence[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]

    def refused() -> list[Entry]:
        return [entry for block in blocks if block.refused for entry in block.refused()]

    pieces = tuple(piece for block in blocks for piece in block.pieces)
    return Block(blocks[0].table, sum(b.rows for b in blocks), pieces, None, refused)
