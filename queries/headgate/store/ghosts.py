"""Tokens of parts that never came to be: found in the deduplication logs of the embedded engine, and taken out.

The engine writes a block's token into the table's log before it makes the part visible. A kill between the two, and
whatever else ends an insert there, leaves a token without a part, a ghost: the block would be taken for a repetition
when it is sent again, and its rows would be missing for ever. A log line is `operation, part, token` (1 adds); its part
is there if a directory of the table holds the same blocks, alone or merged with others.

A line that was torn (the disk was full) makes the engine forget all that follow it when it opens the table: such lines
are taken out, and the whole one that may stand behind on the same line is kept.

Parts that expired are not there either. Forgetting their tokens is harmless: what is sent again are the segments of the
last seconds, and rows that had expired then expire again.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from headgate.store.whole import parts_in, span_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate.store.whole import Span

_log = logging.getLogger(__name__)
_LOGS = "deduplication_logs"
_ADD, _DROP = "1", "2"


def forget_ghosts(table: Path) -> int:
    """Clean the logs of a table that no engine has open; return how many ghosts there were. Raises OSError."""
    ghosts = missing(noted(table), parts_in(table).values())
    for log in _logs(table):
        lines = log.read_text().splitlines(keepends=True)
        records = [record for record in map(_record, lines) if record is not None]
        kept = ["\t".join(record) + "\n" for record in records if record[1] not in ghosts]
        if kept != lines:
            _replace(log, "".join(kept))
    if ghosts:
        _log.warning(
            "%s: %d blocks were noted but not stored; they can be stored now", table, len(ghosts)
        )
    return len(ghosts)


def noted(table: Path) -> set[str]:
    """Return the parts that the table's logs have tokens of. Raises OSError."""
    names: set[str] = set()
    for log in _logs(table):
        for line in log.read_text().splitlines(keepends=True):
            record = _record(line)
            if record is not None:
                (names.add if record[0] == _ADD else names.discard)(record[1])
    return names


def remembers(table: Path) -> bool:
    """Return whether the table remembers tokens at all. Raises OSError."""
    return bool(_logs(table))


def missing(names: Iterable[str], there: Iterable[Span]) -> set[str]:
    """Return the parts whose blocks nothing that is there holds."""
    there = list(there)
    spans = ((name, span_of(name)) for name in names)
    # A name that we do not understand is left alone.
    return {name for name, span in spans if span and not any(t.holds(span) for t in there)}


def _logs(table: Path) -> list[Path]:
    """Return a table's logs, oldest first; none for a table that remembers no tokens."""
    return sorted((table / _LOGS).glob("*.txt"), key=lambda log: (len(log.name), log.name))


def _record(line: str) -> tuple[str, str, str] | None:
    """Return operation, part and token of a line, or of the whole one behind a torn one; None where there is none."""
    fields = line.removesuffix("\n").split("\t")[-3:]
    if len(fields) < 3 or not line.endswith("\n") or fields[0][-1:] not in {_ADD, _DROP}:
        return None
    return fields[0][-1], fields[1], fields[2]


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
