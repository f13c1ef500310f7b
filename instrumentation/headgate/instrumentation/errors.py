"""An exception as span attributes: class, message without secrets, frames without source or values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headgate.instrumentation.attributes import (
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)
from headgate.instrumentation.redact import clean
from headgate.instrumentation.wrapper import GENERATED

if TYPE_CHECKING:
    from types import TracebackType

_OURS = str(Path(__file__).parent)

_FRAMES = 50


def type_name(error: BaseException) -> str:
    """Return the class as OpenTelemetry writes it: qualified, without `builtins`."""
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "") else f"{module}.{kind.__qualname__}"


def message(error: BaseException) -> str:
    """Return what the exception says, redacted, at most 1024 characters, even if its `__str__` fails."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # whatever a foreign class does
        return "(no message: its __str__ failed)"
    return clean(text, 1024)


def attributes(error: BaseException) -> dict[str, str]:
    """Return the exception event's attributes."""
    name, text = type_name(error), message(error)
    lines = ["Traceback (most recent call last):", *_frames(error.__traceback__), f"{name}: {text}"]
    return {EXCEPTION_TYPE: name, EXCEPTION_MESSAGE: text, EXCEPTION_STACKTRACE: "\n".join(lines)}


def _frames(traceback: TracebackType | None) -> list[str]:
    lines = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename != GENERATED and not code.co_filename.startswith(_OURS):
            path = clean(code.co_filename, 512)
            lines.append(f'  File "{path}", line {traceback.tb_lineno}, in {code.co_name}')
        traceback = traceback.tb_next
    if len(lines) > _FRAMES:
        # Deep recursion: where it began and where it broke are what tells bugs apart.
        lines = [*lines[:10], f"  ... {len(lines) - _FRAMES} frames ...", *lines[10 - _FRAMES :]]
    return lines
