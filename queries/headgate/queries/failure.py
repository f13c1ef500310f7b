"""What a store's failure to answer says: one sentence, not the database's whole message."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REASON_LENGTH = 300


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """Say in one sentence what a database's long message begins with."""
    try:
        yield
    except ClickHouseError as error:
        reason = str(error).strip().splitlines()[0][:_REASON_LENGTH]
        raise StoreError(f"the store could not answer: {reason}") from error
