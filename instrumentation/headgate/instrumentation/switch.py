"""Whether anything is recorded at all: one attribute that the hot path of `@track` reads.

This module imports no OpenTelemetry, so that a library which offers telemetry costs its users
nothing while it is off. Precedence: DO_NOT_TRACK, then OTEL_SDK_DISABLED, then a call of `enable`
or `disable`, then HEADGATE_TELEMETRY, then off.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headgate.instrumentation.settings import OFF, read

if TYPE_CHECKING:
    from collections.abc import Mapping


class Switch:
    """The state; `generation` grows with each change, so that cached tracers can be told stale."""

    __slots__ = ("generation", "mode", "on", "reason")

    def __init__(self, *, on: bool, mode: str, reason: str) -> None:
        self.on = on
        self.mode = mode
        self.reason = reason
        self.generation = 0

    def turn(self, mode: str, reason: str) -> None:
        """Change to `mode`, off included."""
        self.mode = mode
        self.reason = reason
        self.generation += 1
        self.on = mode != OFF


def forbidden(environ: Mapping[str, str] = os.environ) -> str:
    """Why nothing may be recorded, or the empty string."""
    if read(environ).do_not_track:
        return "DO_NOT_TRACK is set"
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "OTEL_SDK_DISABLED is true"
    return ""


def decide(environ: Mapping[str, str]) -> Switch:
    """Return the state that the environment asks for."""
    if reason := forbidden(environ):
        return Switch(on=False, mode=OFF, reason=reason)
    settings = read(environ)
    if settings.mode != OFF:
        return Switch(on=True, mode=settings.mode, reason="HEADGATE_TELEMETRY asks for it")
    reason = "HEADGATE_TELEMETRY says so" if settings.asked else "nobody turned it on"
    return Switch(on=False, mode=OFF, reason=reason)


switch = decide(os.environ)
