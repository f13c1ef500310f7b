"""Who is acting, and in which session.

Kept in the OpenTelemetry context, copied onto every span and log record.

The context carries identity through async tasks and, with `boundaries`, through threads and
processes. W3C baggage carries it to other services, in any language, under the same names;
HEADGATE_PROPAGATE=false keeps it here. Baggage goes to *every* service called, third parties
included, so use identifiers that mean nothing outside.
"""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry import baggage
from opentelemetry.context import Context, create_key, get_current, set_value
from opentelemetry.trace import Span, get_current_span

from headgate.instrumentation.attributes import SESSION_ID, USER_ID
from headgate.instrumentation.redact import encodable

_LIMIT = 256
_KEY = create_key("headgate-identity")


class Identity(NamedTuple):
    """A user and a session; the empty string means unknown."""

    user: str = ""
    session: str = ""


NOBODY = Identity()


def identifier(value: object) -> str:
    """`value` as an identifier: text of at most 256 characters, empty for None."""
    return "" if value is None else encodable(str(value).strip()[:_LIMIT])


def local(context: Context) -> Identity:
    """Return the identity set in this process, ignoring what came over the network."""
    found = context.get(_KEY)
    return found if type(found) is Identity else NOBODY


def received(context: Context) -> Identity:
    """Return the identity in the baggage of `context`, which a caller may have sent."""
    return Identity(
        identifier(baggage.get_baggage(USER_ID, context)),
        identifier(baggage.get_baggage(SESSION_ID, context)),
    )


def current(context: Context | None = None) -> Identity:
    """Return the identity in `context` (default: the current one).

    Set here, else received as baggage.
    """
    if context is None:
        context = get_current()
    here = local(context)
    if here.user and here.session:
        return here
    there = received(context)
    return Identity(here.user or there.user, here.session or there.session)


def within(
    context: Context, identity: Identity, *, propagate: bool, replace: bool = False
) -> Context:
    """`context` with `identity` set, in the baggage too if it is to `propagate`.

    Unknown parts keep their value, or are forgotten if the identity is to `replace` the one before.
    """
    before = NOBODY if replace else current(context)
    after = Identity(identity.user or before.user, identity.session or before.session)
    if after == local(context) == received(context):
        return context
    context = set_value(_KEY, after, context)
    if propagate:
        for name, value in ((USER_ID, identity.user), (SESSION_ID, identity.session)):
            if value:
                context = baggage.set_baggage(name, value, context)
    return context


def mark(identity: Identity, context: Context | None = None) -> None:
    """Write `identity` on the current span and on the span that entered this process.

    Which began before it was known.
    """
    span = get_current_span(context)
    for target in dict.fromkeys((span, entry(span))):
        if target.is_recording():
            if identity.user:
                target.set_attribute(USER_ID, identity.user)
            if identity.session:
                target.set_attribute(SESSION_ID, identity.session)


def entry(span: Span) -> Span:
    """Return the outermost span of this process around `span`.

    `span` itself if it is that or if it is not ours.
    """
    found: Span = getattr(span, "_headgate_entry", span)
    return found
