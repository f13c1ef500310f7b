"""Product events: log records with an event name, as OpenTelemetry defines them.

`event`, `feature` and `nps` never raise: what cannot be recorded is dropped, with at most one
warning a process.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import TYPE_CHECKING

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context, get_current

from headgate.instrumentation import attributes as names
from headgate.instrumentation import telemetry
from headgate.instrumentation.encodable import encodable
from headgate.instrumentation.identity import identifier
from headgate.instrumentation.quiet import once, problem
from headgate.instrumentation.redact import attribute
from headgate.instrumentation.speaker import speaker
from headgate.instrumentation.switch import switch
from headgate.instrumentation.versions import installed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AnyValue

_COMMENT = 2000


def event(
    name: str, value: float | None = None, *, user: str | None = None, **attributes: object
) -> str:
    """Record that `name` happened, now, and return the event's id, empty if nothing was recorded.

    The id has 32 hexadecimal digits. `value` is the number that reports add up (revenue, amount).
    `user` overrides the current one. Attributes may be of any type; what OTLP has no type for is
    recorded as text.
    """
    return record(name, attributes, value, user)


def feature(
    key: str,
    variant: str = "",
    value: object = None,
    *,
    user: str | None = None,
    **attributes: object,
) -> str:
    """Record the use or evaluation of a feature, as OpenTelemetry's `feature_flag.evaluation` event."""
    flag: dict[str, object] = {
        names.FEATURE_KEY: key,
        names.FEATURE_VARIANT: variant or None,
        names.FEATURE_VALUE: value,
    }
    return record(names.EVENT_FEATURE, {**attributes, **flag}, None, user)


def nps(score: int, comment: str = "", *, user: str | None = None) -> str:
    """Record a whole score from 0 to 10 for "how likely are you to recommend us" (REQ-NPS-01)."""
    try:
        number = int(score)
        valid = number == float(score) and 0 <= number <= 10
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        once.say(
            f"An NPS score is a whole number from 0 to 10; {str(score)[:40]!r} was not recorded."
        )
        return ""
    text = str(comment)[:_COMMENT] if comment else None
    answer: dict[str, object] = {names.NPS_SCORE: number, names.NPS_COMMENT: text}
    return record(names.EVENT_NPS, answer, number, user)


def record(
    name: str, attributes: Mapping[str, object], value: float | None, user: str | None
) -> str:
    """Emit an event if telemetry is on; never raises."""
    if not switch.on:
        return ""
    try:
        extra: dict[str, AnyValue] = {
            key: attribute(item) for key, item in attributes.items() if item is not None
        }
        return emit(name, extra, value, user)
    except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
        problem(f"event {name!r}", error)
        return ""


def emit(
    name: str,
    attributes: Mapping[str, AnyValue],
    value: float | None = None,
    user: str | None = None,
    context: Context | None = None,
) -> str:
    """Send one event to the recorder in use; may raise."""
    recorder = telemetry.recorder()
    if recorder is None:
        return ""
    name = encodable(str(name).strip()[:256])
    if not name:
        raise ValueError("an event needs a name")
    context = get_current() if context is None else context
    identity = recorder.identity(context)
    # random bytes, because uuid4 would cost twice as much
    chosen = secrets.token_hex(16)
    found: dict[str, AnyValue] = {**attributes, names.EVENT_ID: chosen}
    if who := identifier(user) or identity.user:
        found[names.USER_ID] = who
    if identity.session:
        found.setdefault(names.SESSION_ID, identity.session)
    number = _finite(value)
    if number is not None:
        found[names.EVENT_VALUE] = number
    now = time.time_ns()
    scope = speaker()
    recorder.logger(scope, installed(scope)).emit(
        LogRecord(
            timestamp=now,
            observed_timestamp=now,
            context=recorder.parent(context),
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            attributes=found,
            event_name=name,
        )
    )
    return chosen


def _finite(value: object) -> float | None:
    if value is None:
        return None
    number = float(value)  # type: ignore[arg-type]  # anything that float() takes, Decimal included; else the caller reports it
    if math.isfinite(number):
        return number
    once.say("An event's value must be a finite number; the event was recorded without it.")
    return None
