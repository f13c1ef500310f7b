"""Leave a context without complaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.context import detach as otel_detach

if TYPE_CHECKING:
    from contextvars import Token


def detach(token: Token[Context]) -> None:
    """Leave a context.

    One that was entered elsewhere (a generator finished by another task) is left as it is, silently.
    """
    reset = getattr(getattr(token, "var", None), "reset", None)
    if reset is None:
        otel_detach(token)
        return
    try:
        reset(token)
    except ValueError:
        # The token belongs to another context, which is gone or not ours to change.
        return
