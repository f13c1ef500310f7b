"""Who is acting, and in which session: kept in the context, copied onto every span and log record.

The context carries identity through async tasks and, with `boundaries`, through threads and
processes. W3C baggage carries it to other services, in any language, under the same names;
HEADGATE_PROPAGATE=false keeps it here. Baggage goes to *every* service called, third parties
included, so use identifiers that mean nothing outside.
"""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry import baggage
from opentelemetry.context import Context, create_key, get_current
from opentelemetry.trace import Span, get_current_span

from headgate.instrumentation.attributes import SESSION_ID, USER_ID
from headgate.instrumentation.encodable import encodable

_LIMIT = 256
_KEY = create_key("headgate-identity")
KNOWN = create_key("headgate-identity-attributes")
"""Under this key a context has the attributes of whoever acts in it, if both parts were set here."""
# Where a context keeps its baggage. The key has no public name, and by the front door user and
# session would each copy the baggage and the context once more, on every request.
(_BAGGAGE,) = baggage.set_baggage(USER_ID, "", Context())


class Identity(NamedTuple):
    """A user and a session; the empty string means unknown."""

    user: str = ""
    session: str = ""


NOBODY = Identity()


def identifier(value: object) -> str:
    """`value` as an identifier: text of at most 256 characters, empty for None."""
    if value is None:
        return ""
    text = (value if type(value) is str else str(value)).strip()[:_LIMIT]
    return text if text.isascii() else encodable(text)


def attributes(identity: Identity) -> dict[str, str]:
    """Return the attributes that say so."""
    user, session = identity
    if user and session:
        return {USER_ID: user, SESSION_ID: session}
    if user:
        return {USER_ID: user}
    return {SESSION_ID: session} if session else {}


def known(context: Context) -> dict[str, str]:
    """Return the attributes of whoever acts in `context`; not to be changed."""
    # Prepared once for a request and not for each of its spans.
    found: dict[str, str] | None = context.get(KNOWN)  # type: ignore[assignment]  # set by `_set` only
    return attributes(current(context)) if found is None else found


def local(context: Context) -> Identity:
    """Return the identity set in this process, ignoring what came over the network."""
    found = context.get(_KEY)
    return found if type(found) is Identity else NOBODY


def received(context: Context) -> Identity:
    """Return the identity in the baggage of `context`, which a caller may have sent."""
    sent = context.get(_BAGGAGE)
    if not isinstance(sent, dict) or not sent:
        return NOBODY
    return Identity(identifier(sent.get(USER_ID)), identifier(sent.get(SESSION_ID)))


def current(context: Context | None = None) -> Identity:
    """Return the identity in `context` (default: the current one): set here, else received."""
    if context is None:
        context = get_current()
    here = local(context)
    if here.user and here.session:
        return here
    there = received(context)
    if there is NOBODY:
        return here
    return Identity(here.user or there.user, here.session or there.session)


def within(context: Context, identity: Identity, *, propagate: bool) -> Context:
    """Return `context` with the known parts of `identity` set, in the baggage too if it propagates."""
    before = current(context)
    after = Identity(identity.user or before.user, identity.session or before.session)
    return _set(context, after, identity if propagate else NOBODY)


def serving(context: Context, found: Identity, *, propagate: bool) -> Context:
    """Return `context` for a request of whoever was `found`, else of whom its baggage names.

    Whoever the thread worked for before is not who asks now.
    """
    asks = found
    if context.get(_BAGGAGE):
        sent = received(context)
        asks = Identity(found.user or sent.user, found.session or sent.session)
    if asks == context.get(_KEY, NOBODY):
        return context
    return _set(context, asks, found if propagate else NOBODY)


def _set(context: Context, here: Identity, sent: Identity) -> Context:
    """Return `context` with `here` as its identity and the known parts of `sent` in its baggage."""
    who = attributes(here)
    told = who if sent is here else attributes(sent)
    known = who if len(who) == len(here) else None
    if not told:
        return Context({**context, _KEY: here, KNOWN: known})
    before: dict[str, object] = context.get(_BAGGAGE) or {}  # type: ignore[assignment]  # OpenTelemetry's own
    baggage_now = {**before, **told} if before else told
    return Context({**context, _KEY: here, KNOWN: known, _BAGGAGE: baggage_now})


def mark(identity: Identity, context: Context | None = None) -> None:
    """Write `identity` on the current span and on the one that entered this process before it was known."""
    span = get_current_span(context)
    for target in dict.fromkeys((span, entry(span))):
        if target.is_recording():
            target.set_attributes(attributes(identity))


def entry(span: Span) -> Span:
    """Return the outermost span of this process around `span`, or `span` itself."""
    found: Span = getattr(span, "_headgate_entry", span)
    return found
