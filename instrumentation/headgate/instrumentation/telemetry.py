"""Opt-in telemetry: turn it on or off, see what it collects, delete it.

Off unless the user asks: by HEADGATE_TELEMETRY, by `enable()`, or by running a program under
`opentelemetry-instrument` with this package's distribution. DO_NOT_TRACK=1 wins over everything.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from headgate.instrumentation.files import Stored, listing
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.recorder import Recorder, build
from headgate.instrumentation.settings import LOCAL, OFF, OTEL, Settings, read, telemetry_mode
from headgate.instrumentation.switch import forbidden, switch

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Status:
    """What is recorded, why, and where it goes; print it to read it."""

    on: bool
    mode: str
    reason: str
    destination: str
    files: int
    bytes: int
    oldest: datetime | None
    dropped: int
    collected: tuple[str, ...]

    def __str__(self) -> str:
        state = f"on ({self.mode})" if self.on else "off"
        age = f", oldest from {self.oldest:%Y-%m-%d}" if self.oldest else ""
        lines = [
            f"Telemetry is {state}: {self.reason}.",
            f"It goes to: {self.destination}.",
            f"Local files: {self.files}, {self.bytes} bytes{age}. Dropped: {self.dropped}.",
        ]
        if self.on:
            lines += ["Collected, where it applies:", *(f"  {item}" for item in self.collected)]
        return "\n".join(lines)


class _State:
    """The recorder in use, built at the first call that needs one: importing costs nothing."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.recorder: Recorder | None = None
        self.generation = -1
        self.settings = read()


_state = _State()


def recorder() -> Recorder | None:
    """Return what to record with now; None when telemetry is off or could not be set up."""
    if _state.generation == switch.generation:
        return _state.recorder
    with _state.lock:
        if _state.generation != switch.generation:
            _state.settings = read()
            _state.recorder = _build(_state.settings)
            _state.generation = switch.generation
    return _state.recorder


def settings() -> Settings:
    """Return the settings that the recorder was built with."""
    return _state.settings


def enable(mode: str = LOCAL) -> Status:
    """Record from now on: `local` files, the application's own `otel`, or an http(s) address.

    DO_NOT_TRACK=1 and OTEL_SDK_DISABLED=true keep it off; the returned status says so.
    """
    wanted = telemetry_mode(mode)
    if reason := forbidden():
        _turn(OFF, reason)
    elif wanted == OFF:
        _turn(OFF, f"enable({mode!r}) names no way to record")
    else:
        _turn(wanted, "the program called enable()")
    return status()


def disable() -> Status:
    """Record nothing from now on; what was recorded so far is delivered or kept."""
    _turn(OFF, "the program called disable()")
    return status()


def flush() -> bool:
    """Deliver what is queued; False if something could not be delivered."""
    current = recorder() if switch.on else None
    return True if current is None else current.flush()


def status() -> Status:
    """Return what is recorded, why, and where it goes."""
    found = read()
    stored = listing(found.directory)
    current = _state.recorder
    return Status(
        on=switch.on,
        mode=switch.mode,
        reason=switch.reason,
        destination=_destination(switch.mode, found.directory),
        files=len(stored),
        bytes=sum(file.size for file in stored),
        oldest=datetime.fromtimestamp(stored[0].modified_s, timezone.utc) if stored else None,
        dropped=current.dropped if current else 0,
        collected=_collected() if switch.on else (),
    )


def purge() -> tuple[Path, ...]:
    """Delete all local telemetry of this user, whichever program wrote it, and return its paths."""
    if switch.on and switch.mode == LOCAL:
        # What is still queued must not reappear a moment later.
        flush()
    return tuple(file.path for file in listing(read().directory) if _deleted(file))


def _collected() -> tuple[str, ...]:
    # The documentation's table is loaded only for whoever asks.
    from headgate.instrumentation.declared import ATTRIBUTES

    return tuple(f"{each.name}: {each.meaning}" for each in ATTRIBUTES if each.on != "resource")


def _deleted(file: Stored) -> bool:
    try:
        file.path.unlink(missing_ok=True)
    except OSError as error:
        problem(f"deleting {file.path}", error)
        return False
    return True


def _turn(mode: str, reason: str) -> None:
    before = _state.recorder
    switch.turn(mode, reason)
    if before is not None:
        try:
            before.close()
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem("turning telemetry off", error)


def _build(found: Settings) -> Recorder | None:
    if not switch.on:
        return None
    try:
        return build(switch.mode, found)
    except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
        problem("setting up", error)
        return None


def _destination(mode: str, directory: Path) -> str:
    if mode == OFF:
        return "nowhere"
    if mode == LOCAL:
        return f"files in {directory}, never sent"
    if mode == OTEL:
        return "the application's own OpenTelemetry set-up"
    return mode
