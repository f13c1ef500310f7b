"""Write attributes of our own onto a span, cheaply."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span


def write(span: Span, attributes: Mapping[str, str | bool], *, replace: bool = True) -> None:
    """Set attributes whose values need no check; with `replace` false, only those that are not there."""
    # TRICKY: they are put where the SDK keeps a span's attributes. By the front door each would be
    # checked, copied and locked again: a fifth of the whole cost of a span.
    try:
        inner = span._attributes._dict  # type: ignore[attr-defined]  # noqa: SLF001  # as said
    except AttributeError:
        inner = None
    if type(inner) is dict:
        if replace:
            inner.update(attributes)
        else:
            for name, value in attributes.items():
                inner.setdefault(name, value)
    elif span.is_recording():
        present = () if replace else getattr(span, "attributes", None) or ()
        span.set_attributes({key: value for key, value in attributes.items() if key not in present})
