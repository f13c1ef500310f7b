"""Which files beside the store name somebody: requests in quarantine, and blocks that the store would not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.collector.journal import SUFFIX
from headgate.collector.record import Record, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def mentioning(directory: Path, ids: Iterable[bytes]) -> Iterator[Path]:
    """Yield the files of a quarantine that hold one of these strings as a value; raises OSError.

    A value is its length and its bytes, in OTLP as in ClickHouse's Native. Stretches of a segment that are damaged
    cannot be read: as nobody can tell whom they name, they are yielded, too.
    """
    wanted = [_length(len(each)) + each for each in ids]
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.suffix == ".damaged" or any(
            each in data for data in _contents(path) for each in wanted
        ):
            yield path


def _contents(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    if path.suffix != SUFFIX:
        yield data
        return
    key = bytes.fromhex(path.stem.rpartition("-")[2])
    for found in unpack(key, data):
        if isinstance(found, Record):
            yield found.body


def _length(size: int) -> bytes:
    """Return a varint."""
    out = bytearray()
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes([*out, size])
