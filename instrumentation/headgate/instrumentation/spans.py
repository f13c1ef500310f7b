"""Write attributes of our own onto a span, cheaply."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span


def write(span: Span, attributes: Mapping[str, str | bool]) -> None:
    """Set attributes whose values need no check."""
    # TRICKY: they are put where the SDK keeps a span's attributes. By the front door each would be
    # checked, copied and locked again: a fifth of the whole cost of a span.
    try:
        inner = span._attributes._dict  # type: ignore[attr-defined]  # noqa: SLF001  # as said
    except AttributeError:
        inner = None
    if type(inner) is dict:
        inner.update(attributes)
    else:
        span.set_attributes(attributes)
