"""How tables keep their parts: settings that every table has, whichever migration made it.

Merges take about ten parts at once, not five: with an insert a second each row is written half as often, and no more
parts lie about. The embedded engine lays a small part down as one file, not as a file a column and a dozen beside them:
a segment is a dozen inserts, most of a few rows, and what they cost is creating files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headgate.store.errors import StoreError

if TYPE_CHECKING:
    from headgate.store.client import Store

PACKED_BELOW_BYTES = 128 << 20
"""Size of an embedded part, uncompressed, from which it is laid down as separate files."""

LEAST_FREE_BYTES = 32 << 20
"""What must be free on the disk of the embedded engine before anything is written on purpose."""

_EVERYWHERE = {"merge_selector_base": 10}
# Where the disk is full the engine goes on as if it could write (`headgate.store.repair`): better not to begin. The
# journal stops taking at 64 MiB, and what it has can be stored in half of that. What of its parts is broken the engine
# sets aside when it opens, however large it is, rather than not to open.
_EMBEDDED = {
    "min_bytes_for_full_part_storage": PACKED_BELOW_BYTES,
    "min_free_disk_bytes_to_perform_insert": LEAST_FREE_BYTES,
    "max_suspicious_broken_parts_bytes": 1 << 50,
}


def part_settings(store: Store) -> dict[str, int]:
    """Return the settings that each table of this store shall have."""
    return {**_EVERYWHERE, **_EMBEDDED} if store.embedded else dict(_EVERYWHERE)


def require_room(store: Store, purpose: str) -> None:
    """Raise StoreError where the embedded engine has so little disk left that it may not be able to write.

    It would not notice, and a definition of which half is written costs the table.
    """
    if not store.embedded:
        return
    (free,) = store.client().query("SELECT min(free_space) FROM system.disks").result_rows[0]
    if int(free) < LEAST_FREE_BYTES:
        raise StoreError(
            f"the disk of the store has {int(free) >> 20} MiB left, too little to {purpose}; make room on it"
        )


def with_part_settings(statement: str, settings: dict[str, int]) -> str:
    """Return a statement with these settings added, if it makes a table that has parts."""
    if not re.match(r"CREATE TABLE\b.*\bENGINE = \w*MergeTree\b", statement, re.DOTALL):
        return statement
    added = ", ".join(f"{name} = {value}" for name, value in settings.items())
    clause = ", " if re.search(r"^SETTINGS ", statement, re.MULTILINE) else "\nSETTINGS "
    return f"{statement.rstrip()}{clause}{added}"


def set_part_settings(store: Store) -> list[str]:
    """Set what tables made by earlier versions lack, and return their names; what an operator has set stays.

    Raises StoreError where there is no room to. Parts that are there stay as they are until they are merged.
    """
    client = store.client()
    rows = client.query(
        "SELECT name, engine_full FROM system.tables"
        " WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name",
        parameters={"database": store.database},
    ).result_rows
    settings = part_settings(store)
    changed = []
    for table, definition in rows:
        missing = ", ".join(
            f"{n} = {v}" for n, v in settings.items() if f"{n} = " not in definition
        )
        if missing:
            require_room(store, "change a table")
            client.command(f"ALTER TABLE `{table}` MODIFY SETTING {missing}")
            changed.append(str(table))
    return changed
