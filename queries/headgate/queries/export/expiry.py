"""Since when each table still has its rows: what is older has expired, and an export of it would only seem whole."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headgate.store import Store

_LENGTHS = {
    "Second": timedelta(seconds=1),
    "Minute": timedelta(minutes=1),
    "Hour": timedelta(hours=1),
    "Day": timedelta(days=1),
    "Week": timedelta(weeks=1),
    "Month": timedelta(days=30),
    "Year": timedelta(days=365),
}
_TTL = re.compile(rf"\bTTL .*?\+ toInterval({'|'.join(_LENGTHS)})\((\d+)\)")


def kept_since(store: Store, now: datetime) -> Mapping[str, datetime]:
    """Return the time before which each table's rows have expired, by the table's own TTL; no entry without one."""
    found = store.client().query(
        "SELECT name, engine_full FROM system.tables WHERE database = {database:String}",
        parameters={"database": store.database},
    )
    terms = ((name, _TTL.search(engine)) for name, engine in found.result_rows)
    return {name: now - int(ttl[2]) * _LENGTHS[ttl[1]] for name, ttl in terms if ttl}
