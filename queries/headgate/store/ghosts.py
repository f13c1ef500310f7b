"""Tokens of parts that never came to be: found in the deduplication logs of the embedded engine, and taken out.

The engine writes a block's token into the table's log before it makes the part visible. A kill between the two, and
whatever else ends an insert there, leaves a token without a part, a ghost: the block would be taken for a repetition
when it is sent again, and its rows would be missing for ever. A log line is `operation, part, token` (1 adds); its part
is there if a directory of the table holds the same blocks, alone or merged with others.

A part that the engine gave up, for instance because the disk was full when it came to a view, may lie about until it is
removed. While the engine is open its own list of parts decides; a table that is opened again has what lies there.

Parts that expired are not there either. Forgetting their tokens is harmless: what is sent again are the segments of the
last seconds, and rows that had expired then expire again.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.store.client import Store

_log = logging.getLogger(__name__)
_LOGS = "deduplication_logs"
_PART = re.compile(r"(.+?)_(\d+)_(\d+)_\d+(?:_\d+)?")
_ADD = "1"


def forget_ghosts(engine_path: Path) -> int:
    """Clean every table of an engine that is not open; return how many ghosts there were. Raises OSError."""
    tables = (logs.parent for logs in engine_path.glob(f"store/*/*/{_LOGS}"))
    return sum(_clean(table) for table in tables)


def forget_ghosts_of(store: Store) -> list[str]:
    """Clean the tables of an open, embedded store, and return which had ghosts; each is away for a moment.

    To be called by the thread that inserts, between two inserts. Raises OSError, ClickHouseError, StoreError.
    """
    client = store.client()
    found = client.query(
        "SELECT name, data_paths[1] FROM system.tables"
        " WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        parameters={"database": store.database},
    )
    noted = {str(name): (Path(path), _noted(Path(path))) for name, path in found.result_rows}
    # The engine's own list: what it has given up may lie about for a while.
    parts = client.query(
        "SELECT table, groupArray(name) FROM system.parts WHERE database = {database:String} AND active GROUP BY table",
        parameters={"database": store.database},
    )
    active = {str(table): list(map(str, names)) for table, names in parts.result_rows}
    haunted = [
        (name, path)
        for name, (path, blocks) in noted.items()
        if _missing(blocks, active.get(name, []))
    ]
    for name, path in haunted:
        client.command(f"DETACH TABLE `{name}` SYNC")
        try:
            _clean(path)
        finally:
            client.command(f"ATTACH TABLE `{name}`")
    return [name for name, _ in haunted]


def _clean(table: Path) -> int:
    ghosts = _ghosts(table)
    if ghosts:
        for log in (table / _LOGS).glob("*.txt"):
            lines = log.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.split("\t")[1:2] not in ([g] for g in ghosts)]
            if kept != lines:
                _replace(log, "".join(kept))
        _log.warning(
            "%s: %d blocks were noted but not stored; they can be stored now", table, len(ghosts)
        )
    return len(ghosts)


def _ghosts(table: Path) -> set[str]:
    """Return the parts that are noted and not there, of a table that no engine has open."""
    return _missing(_noted(table), [path.name for path in table.iterdir()])


def _noted(table: Path) -> set[str]:
    noted: set[str] = set()
    for log in sorted((table / _LOGS).glob("*.txt"), key=lambda log: (len(log.name), log.name)):
        for line in log.read_text().splitlines():
            fields = line.split("\t")
            if len(fields) == 3:
                (noted.add if fields[0] == _ADD else noted.discard)(fields[1])
    return noted


def _missing(noted: set[str], names: Iterable[str]) -> set[str]:
    """Return the parts of which nothing by these names has the blocks."""
    there = [span for span in map(_span, names) if span is not None]
    return {part for part in noted if not _is_there(part, there)}


def _span(name: str) -> tuple[str, int, int] | None:
    """Return the partition and the first and last block of a part."""
    match = _PART.fullmatch(name)
    return (match[1], int(match[2]), int(match[3])) if match else None


def _is_there(part: str, there: Iterable[tuple[str, int, int]]) -> bool:
    span = _span(part)
    if span is None:
        return True  # no name that we understand: left alone
    partition, first, last = span
    return any(p == partition and a <= first and last <= b for p, a, b in there)


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
