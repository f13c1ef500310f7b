"""Local telemetry: OTLP/JSON lines in files on this machine, bounded in size and age.

The format is that of OpenTelemetry's file exporter: each line is one export request as OTLP/JSON,
so any collector reads it, and so do `headgate report --data` and `headgate import`. Rules: a line is written whole
or not at all; a full or read-only disk costs data, never an error; another process's files are only ever
deleted, by age or when all files together exceed the cap.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.instrumentation.quiet import problem

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIX = ".otlp.jsonl"
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on the directory; a single file is closed at an eighth of `max_bytes`."""

    max_bytes: int
    max_age_s: float

    @property
    def file_bytes(self) -> int:
        """Size at which a new file is begun."""
        return max(self.max_bytes // 8, 1)

    @classmethod
    def of(cls, max_bytes: int, max_days: float) -> Limits:
        """Limits from the settings' units."""
        return cls(max_bytes, max_days * _DAY_S)


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of local telemetry."""

    path: Path
    size: int
    modified_s: float


def listing(directory: Path) -> list[Stored]:
    """Return the telemetry files in `directory`, oldest first; none if it cannot be read."""
    found = []
    try:
        for item in os.scandir(directory):
            if item.name.endswith(SUFFIX) and item.is_file(follow_symlinks=False):
                stat = item.stat()
                found.append(Stored(Path(item.path), stat.st_size, stat.st_mtime))
    except OSError:
        # A file that a neighbour has just deleted, or no directory: what was seen so far is the
        # answer.
        pass
    return sorted(found, key=lambda stored: (stored.modified_s, stored.path.name))


def prune(directory: Path, limits: Limits, now_s: float, keep: Path | None = None) -> None:
    """Delete files past their age and then the oldest until the rest fits the cap; `keep` stays."""
    files = listing(directory)
    total = sum(stored.size for stored in files)
    for stored in files:
        if stored.path == keep:
            continue
        if now_s - stored.modified_s > limits.max_age_s or total > limits.max_bytes:
            stored.path.unlink(missing_ok=True)
            total -= stored.size


class Lines:
    """Appends lines to rotating files, one a process, and counts what could not be written.

    They are called `SIGNAL-TIME-PID-RANDOM.otlp.jsonl`.
    """

    def __init__(
        self, directory: Path, signal: str, limits: Limits, clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._signal = signal
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._pid = 0
        self._size = 0
        self.dropped = 0

    def write(self, line: bytes, items: int) -> bool:
        """Append `line`, which ends with a newline and holds `items`; False if it had to be dropped."""
        with self._lock:
            try:
                self._append(line)
            except OSError as error:
                self.dropped += items
                self._path = None
                problem("writing local files", error)
                return False
            return True

    def _append(self, line: bytes) -> None:
        if (
            self._path is None
            or self._pid != os.getpid()
            or self._size + len(line) > self._limits.file_bytes
        ):
            self._begin()
        path = self._path
        assert path is not None  # noqa: S101  # _begin set it or raised
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):
                # The disk filled in mid-line: take the part back, so that the file stays readable.
                os.ftruncate(descriptor, before)
                raise OSError(28, "no space left for a whole line")
            self._size = before + len(line)
        finally:
            os.close(descriptor)

    def _begin(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        now_s = self._clock()
        prune(
            self._directory,
            Limits(self._limits.max_bytes - self._limits.file_bytes, self._limits.max_age_s),
            now_s,
        )
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
        self._pid = os.getpid()
        self._path = (
            self._directory / f"{self._signal}-{stamp}-{self._pid}-{secrets.token_hex(4)}{SUFFIX}"
        )
        self._size = 0
