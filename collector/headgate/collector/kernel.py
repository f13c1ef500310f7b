"""Compile the columnar kernels, and keep what was compiled.

Kernels are Numba functions that release the GIL. `kernel` checks every index; the hottest are `unchecked` or `inlined`,
where a check would cost more than the work. Rules for their authors:

- lengths are compared with what is left before anything is read or written, in all of them: without index checks
  nothing else does, and with them the index -1 still wraps and a slice silently clamps. No slices, no index below 0;
- malformed input is reported through the return value (an offset), never by raising;
- buffers come in as read-only `uint8` arrays, offsets and lengths as `int64`.

Numba's own cache does not notice an edit in a kernel that another kernel calls. The cache directory is therefore
named by a hash of all kernel sources, the Numba version and the processor. Where no directory can be written,
kernels are compiled anew by every process.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numba
import numpy as np
from llvmlite import binding

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

if TYPE_CHECKING:

    def i64(value: Any) -> int:
        """Return a number as int64, which kernels compute with; mixing int64 and uint64 would make doubles."""
else:
    i64 = np.int64

P = ParamSpec("P")
R = TypeVar("R")


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        text = source.read_bytes()
        if any(mark in text for mark in (b"@kernel", b"@unchecked", b"@inlined", b"intrinsic(")):
            digest.update(source.name.encode() + b"\0" + text)
    digest.update(f"{numba.__version__} {platform.python_version()}".encode())
    digest.update(
        f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}".encode()
    )
    return digest.hexdigest()[:24]


def _cache_directory() -> Path | None:
    base = os.environ.get("HEADGATE_KERNEL_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    directory = Path(base).expanduser() / "headgate" / "kernels" / _sources_digest()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError:
        return None
    return directory


CACHE_DIRECTORY = _cache_directory()
if CACHE_DIRECTORY is not None:
    numba.config.CACHE_DIR = str(CACHE_DIRECTORY)  # type: ignore[attr-defined]  # set at run time


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on first use: no GIL, checked indices, cached on disk."""
    compiled: Any = numba.njit(nogil=True, boundscheck=True, cache=CACHE_DIRECTORY is not None)(
        function
    )
    return compiled  # type: ignore[no-any-return]


def unchecked(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function without index checks: only for the few that check their whole range themselves first."""
    compiled: Any = numba.njit(nogil=True, boundscheck=False, cache=CACHE_DIRECTORY is not None)(
        function
    )
    return compiled  # type: ignore[no-any-return]


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function into its callers, without index checks: for what runs for every byte or string."""
    compiled: Any = numba.njit(
        nogil=True, boundscheck=False, forceinline=True, cache=CACHE_DIRECTORY is not None
    )(function)
    return compiled  # type: ignore[no-any-return]


def as_buffer(data: bytes) -> NDArray[np.uint8]:
    """Return `data` as the read-only byte array that every kernel takes."""
    return np.frombuffer(data, np.uint8)
