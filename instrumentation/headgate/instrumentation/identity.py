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

LIMIT = 256
"""Characters of an identifier."""
HERE = create_key("headgate-identity")
"""Under this key a context has the attributes of who was set in this process; not to be changed."""
(BAGGAGE,) = baggage.set_baggage(USER_ID, "", Context())
"""Under this key a context has its baggage."""
# The key has no public name, and by the front door user and session would each copy the baggage and the
# context once more, on every request.


class Identity(NamedTuple):
    """A user and a session; the empty string means unknown."""

    user: str = ""
    session: str = ""


NOBODY = Identity()


def identifier(value: object) -> str:
    """`value` as an identifier: text of at most LIMIT characters, empty for None."""
    if value is None:
        return ""
    text = (value if type(value) is str else str(value)).strip()[:LIMIT]
    return text if text.isascii() else encodable(text)


def attributes(identity: tuple[str, str]) -> dict[str, str]:
    """Return the attributes that say so."""
    user, session = identity
    if user and session:
        return {USER_ID: user, SESSION_ID: session}
    if user:
        return {USER_ID: user}
    return {SESSION_ID: session} if session else {}


def known(context: Context) -> dict[str, str]:
    """Return the attributes of whoever acts in `context`: set here, else received; not to be changed."""
    here = _here(context)
    sent = context.get(BAGGAGE)
    if not sent or sent is here or len(here) == len(NOBODY):
        return here
    return {**attributes(received(context)), **here}


def local(context: Context) -> Identity:
    """Return the identity set in this process, ignoring what came over the network."""
    return _identity(_here(context))


def received(context: Context) -> Identity:
    """Return the identity in the baggage of `context`, which a caller may have sent."""
    sent = context.get(BAGGAGE)
    if not isinstance(sent, dict) or not sent:
        return NOBODY
    return Identity(identifier(sent.get(USER_ID)), identifier(sent.get(SESSION_ID)))


def current(context: Context | None = None) -> Identity:
    """Return the identity in `context` (default: the current one): set here, else received."""
    return _identity(known(get_current() if context is None else context))


def within(context: Context, identity: Identity, *, propagate: bool) -> Context:
    """Return `context` with the known parts of `identity` set, in the baggage too if it propagates."""
    told = attributes(identity)
    return _set(context, {**known(context), **told}, told if propagate else {})


def serving(context: Context, found: tuple[str, str], *, propagate: bool) -> Context:
    """Return `context` for a request of the user and session `found`, else of those its baggage names.

    Whoever the thread worked for before is not who asks now.
    """
    asks = told = attributes(found)
    if context:
        if context.get(BAGGAGE):
            asks = {**attributes(received(context)), **told}
        if asks == _here(context):
            return context
    elif not told:
        return context
    return _set(context, asks, told if propagate else {})


def _set(context: Context, here: dict[str, str], told: dict[str, str]) -> Context:
    """Return `context` with `here` as its identity and `told` in its baggage."""
    if not told:
        return Context({**context, HERE: here})
    before: dict[str, object] = context.get(BAGGAGE) or {}  # type: ignore[assignment]  # OpenTelemetry's own
    return Context({**context, HERE: here, BAGGAGE: {**before, **told} if before else told})


def _here(context: Context) -> dict[str, str]:
    found: dict[str, str] = context.get(HERE, {})  # type: ignore[assignment]  # set by `_set` only
    return found


def _identity(found: dict[str, str]) -> Identity:
    return Identity(found.get(USER_ID, ""), found.get(SESSION_ID, "")) if found else NOBODY


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
