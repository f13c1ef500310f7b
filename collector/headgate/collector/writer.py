"""Insert blocks exactly once: every block carries a token that never changes, and is sent until it is acknowledged.

The table drops a block whose token it has seen, in all rollups that hang on it too; a retry after an answer that was
lost therefore doubles nothing. Settings are sent with every insert, since servers differ in their defaults.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.collector.errors import Permanent, Retryable

if TYPE_CHECKING:
    from headgate.collector.block import Block
    from headgate.store import Store

SETTINGS = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}
# The engine will say the same however often it is asked: wrong data, types or names, too many partitions.
_PERMANENT_CODES = {
    6,
    10,
    16,
    20,
    27,
    33,
    36,
    41,
    43,
    44,
    47,
    50,
    53,
    60,
    62,
    69,
    70,
    72,
    107,
    117,
    252,
}


def insert_block(store: Store, token: str, block: Block) -> None:
    """Insert a block; raises Retryable or Permanent, after which a repeat with the same token doubles nothing."""
    try:
        store.client().raw_insert(
            block.table,
            insert_block=block.data,
            fmt="Native",
            settings={**SETTINGS, "insert_deduplication_token": token},
        )
    except ClickHouseError as error:
        raise _classify(block, error) from error
    except OSError as error:
        raise Retryable(f"cannot insert into {block.table}: {error}") from error


def _classify(block: Block, error: ClickHouseError) -> Permanent | Retryable:
    match = re.search(r"[Cc]ode:? (\d+)", str(error))
    message = f"ClickHouse refused {block.rows} rows for {block.table}: {error}"
    if match and int(match[1]) in _PERMANENT_CODES:
        return Permanent(message)
    return Retryable(message)
