"""Versions of installed distributions."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata


@lru_cache(maxsize=256)
def installed(name: str) -> str:
    """Return the version of the installed distribution `name`, or the empty string."""
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
