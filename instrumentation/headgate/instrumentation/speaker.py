"""Whose code reports: a library speaks in its own name. Imports no OpenTelemetry."""

from __future__ import annotations

import sys

UNKNOWN = "headgate"
_SKIPPED = ("headgate.instrumentation", "contextlib")


def speaker() -> str:
    """Return the top-level package of the nearest caller outside this package."""
    frame = sys._getframe(1)  # noqa: SLF001  # the documented way to the caller's module
    while frame is not None:
        module = str(frame.f_globals.get("__name__", UNKNOWN))
        if not module.startswith(_SKIPPED):
            return module.partition(".")[0]
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return UNKNOWN
