"""Memory between segments: keep what one has freed for the next, and give it back when none comes.

A fresh page costs the kernel a fault and 4 KiB of zeros, a third of what processing costs in all. Segments need
the same memory again and again, which glibc would return to the system every time. Elsewhere nothing is changed.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_NEVER = 1 << 30
_PAD_BYTES = 16 << 20


def _libc() -> ctypes.CDLL | None:
    """Return glibc, or None where the C library is another."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def keep_freed_memory() -> None:
    """From now on, keep freed memory in this process, all threads sharing it; call it before they start."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(_ARENA_MAX, 1)
        libc.mallopt(_MMAP_THRESHOLD, _NEVER)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
        libc.mallopt(_TOP_PAD, _PAD_BYTES)


def give_back_memory() -> None:
    """Return freed memory to the system."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
