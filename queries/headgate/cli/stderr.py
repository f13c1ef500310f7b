"""What a server logs: to standard error, by LOG_LEVEL."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


def log_to_stderr(environ: Mapping[str, str]) -> None:
    """Log what LOG_LEVEL says, WARNING unless given; raises StoreError for what is no level."""
    name = environ.get("LOG_LEVEL") or "WARNING"
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        known = ", ".join(logging.getLevelNamesMapping())
        raise StoreError(f"LOG_LEVEL {name!r} is no level; use one of {known}")
    logging.basicConfig(level=level, format="%(levelname)s %(message)s")
    if level >= logging.WARNING:  # these log what they also raise, and we tell that in our words
        for library in ("clickhouse_connect", "urllib3"):
            logging.getLogger(library).setLevel(logging.ERROR)
