"""Parts whose files are not whole: recognised by their sizes, and set aside while no engine has the table open.

A packed part is one archive: a version, the number of its files, then name, offset and size of each, then the files.
The engine does not compare that with the archive's size, neither when it opens a table nor later; the files of a part
that is not packed it does compare, when it opens the table. Whatever is missing makes the archive shorter than it says:
it is written from its beginning to its end.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = logging.getLogger(__name__)
_PART = re.compile(r"(.+?)_(\d+)_(\d+)_\d+(?:_\d+)?")
_ARCHIVE, _VERSION = "data.packed", b"\0"


class Span(NamedTuple):
    """The blocks that a part holds, from `first` to `last` of a partition; each insert makes one."""

    partition: str
    first: int
    last: int

    @property
    def single(self) -> bool:
        """Whether this is what one insert made."""
        return self.first == self.last

    def holds(self, other: Span) -> bool:
        """Return whether the other's blocks are among these."""
        return (
            self.partition == other.partition
            and self.first <= other.first
            and other.last <= self.last
        )


def span_of(name: str) -> Span | None:
    """Return the blocks of a part by its name; None for a name that no part has."""
    match = _PART.fullmatch(name)
    return Span(match[1], int(match[2]), int(match[3])) if match else None


def parts_in(table: Path) -> dict[str, Span]:
    """Return what parts lie in a table's directory, visible or not. Raises OSError."""
    spans = {path.name: span_of(path.name) for path in table.iterdir()}
    return {name: span for name, span in spans.items() if span is not None}


def is_whole(part: Path) -> bool:
    """Return whether a part's archive is as long as it says; True where there is none that we can read.

    Raises OSError.
    """
    try:
        with (part / _ARCHIVE).open("rb") as file:
            version = file.read(1)
            if version not in {_VERSION, b""}:
                return True
            end = max((offset + size for offset, size in _entries(file)), default=1)
            return (part / _ARCHIVE).stat().st_size >= end
    except FileNotFoundError:
        return True
    except EOFError:
        return False


def set_aside_broken(table: Path) -> int:
    """Move the parts of a table that are not whole to `detached/`, and return how many. Raises OSError.

    Those that a broken part was merged of are visible in its place when the table is opened again.
    """
    spans = parts_in(table)
    broken = [name for name in spans if not is_whole(table / name)]
    for name in broken:
        set_aside(table, name, "broken")
        merged, rest = spans[name], [s for n, s in spans.items() if n not in broken]
        if any(span.holds(merged) for span in rest):
            fate = "a part that was merged of it is there"
        elif any(merged.holds(span) for span in rest):
            fate = "what it was merged of is in its place"
        elif merged.single:
            fate = "its rows are stored again if the journal has them"
        else:
            fate = "what it was merged of is gone: its rows are lost"
        _log.error(
            "%s: part %s could not be written whole and is kept in detached/; %s", table, name, fate
        )
    return len(broken)


def set_aside(table: Path, name: str, why: str) -> None:
    """Move a part to `detached/` of a table that no engine has open; `why` stands before its name. Raises OSError."""
    detached = table / "detached"
    detached.mkdir(exist_ok=True)
    target, number = detached / f"{why}_{name}", 0
    while target.exists():
        number += 1
        target = detached / f"{why}_{name}_try{number}"
    (table / name).rename(target)


def _entries(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield offset and size of each file of an archive; raises EOFError where it ends too early."""
    for _ in range(_number(file)):
        _exactly(file, _length(file))
        yield _number(file), _number(file)


def _length(file: BinaryIO) -> int:
    """Read a length of seven bits a byte, the lowest first."""
    length = shift = 0
    while True:
        byte = _exactly(file, 1)[0]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length
        shift += 7


def _number(file: BinaryIO) -> int:
    return int.from_bytes(_exactly(file, 8), "little")


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data
