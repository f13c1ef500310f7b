"""The environment variables of this package, read in one place.

Everything that OpenTelemetry already has a variable for is left to it. A value that makes no sense
means the default, never an exception: these are read inside somebody else's program.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

OFF = "off"
LOCAL = "local"
OTEL = "otel"
_NO = frozenset({"", "0", "false", "no", "off", "none", "disabled"})
_YES = frozenset({"1", "true", "yes", "on", "local", "enabled"})


class Settings(NamedTuple):
    """The settings in force; `mode` is off, local, otel or an address, `asked` whether it was set."""

    do_not_track: bool
    mode: str
    asked: bool
    directory: Path
    max_bytes: int
    max_days: float
    track_memory: bool
    user_from: str
    session_from: str
    propagate: bool
    inherit_context: bool
    asgi_spans: bool
    exit_timeout_s: float
    debug: bool


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from `environ`."""
    return Settings(
        do_not_track=_flag(environ, "DO_NOT_TRACK", default=False),
        mode=telemetry_mode(environ.get("HEADGATE_TELEMETRY", "")),
        asked="HEADGATE_TELEMETRY" in environ,
        directory=Path(environ.get("HEADGATE_TELEMETRY_DIR") or state_directory(environ)),
        max_bytes=int(_number(environ, "HEADGATE_TELEMETRY_MAX_BYTES", 20 * 1024 * 1024)),
        max_days=_number(environ, "HEADGATE_TELEMETRY_MAX_DAYS", 30),
        track_memory=_flag(environ, "HEADGATE_TRACK_MEMORY", default=False),
        user_from=environ.get("HEADGATE_USER_FROM", ""),
        session_from=environ.get("HEADGATE_SESSION_FROM", ""),
        propagate=_flag(environ, "HEADGATE_PROPAGATE", default=True),
        inherit_context=_flag(environ, "HEADGATE_INHERIT_CONTEXT", default=False),
        asgi_spans=_flag(environ, "HEADGATE_ASGI_SPANS", default=False),
        exit_timeout_s=_number(environ, "HEADGATE_EXIT_TIMEOUT", 2),
        debug=_flag(environ, "HEADGATE_DEBUG", default=False),
    )


def telemetry_mode(text: str) -> str:
    """Return the mode asked for; what is not understood is off, because consent is never guessed."""
    text = text.strip()
    low = text.lower()
    if low in _YES:
        return LOCAL
    if low == OTEL:
        return OTEL
    if low.startswith(("http://", "https://")):
        return text
    return OFF


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return the user's directory for local telemetry, by XDG on Unix, in LOCALAPPDATA on Windows."""
    if os.name == "nt":
        root = Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        home = Path(environ.get("HOME") or "/nonexistent")
        root = Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    return root / "headgate" / "telemetry"


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    if name not in environ:
        return default
    return environ[name].strip().lower() not in _NO


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(environ.get(name, default))
    except ValueError:
        return default
    return value if 0 <= value < float("inf") else default
