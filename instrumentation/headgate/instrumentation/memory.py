"""Memory of this process: resident size by psutil if installed, the peak from the operating system."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    import resource as _usage
except ImportError:  # Windows has no such module
    _usage = None  # type: ignore[assignment]

# getrusage counts kibibytes, except on macOS.
_UNIT = 1 if sys.platform == "darwin" else 1024


class Memory(NamedTuple):
    """Bytes; None where it cannot be known."""

    resident: int | None
    peak: int | None


def measure() -> Memory:
    """Measure now; some ten microseconds with psutil, so only when memory was asked for."""
    peak = None if _usage is None else _usage.getrusage(_usage.RUSAGE_SELF).ru_maxrss * _UNIT
    return Memory(_resident(os.getpid())(), peak)


@lru_cache(maxsize=2)
def _resident(pid: int) -> Callable[[], int | None]:
    # Keyed by process, because a handle made before a fork would describe the parent.
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]  # optional, and slow to import
    except ImportError:
        return lambda: None
    process = psutil.Process(pid)
    return lambda: int(process.memory_info().rss)
