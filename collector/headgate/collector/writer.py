"""Insert blocks exactly once: every block carries a token that never changes, and is sent until it is acknowledged.

The table drops a block whose token it has seen, in all rollups that hang on it too; a retry after an answer that was
lost therefore doubles nothing. Settings are sent with every insert, since servers differ in their defaults.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.collector.errors import Permanent, Retryable
from headgate.store import StoreError

if TYPE_CHECKING:
    from headgate.collector.block import Block
    from headgate.store import Store

SETTINGS = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}
# What ClickHouse says of data that it will never take. Whatever else goes wrong may heal: a table that is missing
# can be made, a column added, memory freed.
_PERMANENT_CODES = {
    6,  # CANNOT_PARSE_TEXT
    27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
    33,  # CANNOT_READ_ALL_DATA
    41,  # CANNOT_PARSE_DATETIME
    53,  # TYPE_MISMATCH
    69,  # ARGUMENT_OUT_OF_BOUND
    70,  # CANNOT_CONVERT_TYPE
    72,  # CANNOT_PARSE_NUMBER
    117,  # INCORRECT_DATA
    128,  # TOO_LARGE_ARRAY_SIZE
    131,  # TOO_LARGE_STRING_SIZE
    190,  # SIZES_OF_ARRAYS_DONT_MATCH
}
# Code 252 is also that of merges which do not keep up.
_TOO_MANY_PARTITIONS = "partitions for single INSERT block"


def insert_block(store: Store, token: str, block: Block) -> None:
    """Insert a block; raises Retryable or Permanent, after which a repeat with the same token doubles nothing."""
    try:
        store.client().raw_insert(
            block.table,
            # Over HTTP any iterable of buffers is sent as it is; the embedded engine's client takes bytes alone.
            insert_block=map(bytes, block) if store.embedded else block,  # type: ignore[arg-type]
            fmt="Native",
            settings={**SETTINGS, "insert_deduplication_token": token},
            transport_settings={"Content-Length": str(block.size)},
        )
    except ClickHouseError as error:
        raise _classify(block, error) from error
    except (OSError, StoreError) as error:
        raise Retryable(f"cannot insert into {block.table}: {error}") from error


def _classify(block: Block, error: ClickHouseError) -> Permanent | Retryable:
    match = re.search(r"[Cc]ode:? (\d+)", str(error))
    message = f"ClickHouse refused {block.rows} rows for {block.table}: {error}"
    permanent = match is not None and int(match[1]) in _PERMANENT_CODES
    if permanent or _TOO_MANY_PARTITIONS in str(error):
        return Permanent(message)
    return Retryable(message)
