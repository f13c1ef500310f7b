"""Zero-code identity for every server: a propagator that reads it from what a request carries.

All of OpenTelemetry's server instrumentations (WSGI, ASGI, Django, gRPC, Celery …) pass incoming
headers through the propagators before they start the server's span, so this is the one place where
user and session can be known for the whole request without touching the application. Registered as
the propagator `headgate`; it must come after `baggage`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from headgate.instrumentation.attributes import SESSION_ID, USER_ID
from headgate.instrumentation.carriers import WSGI, Carried, Pair
from headgate.instrumentation.identity import BAGGAGE, HERE, LIMIT, NOBODY, identifier, serving
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.settings import read
from headgate.instrumentation.sources import Place, Source, cookie, first, parse

Finder = Callable[[Any, Getter[Any]], tuple[str, str]]


class IdentityPropagator(TextMapPropagator):
    """Takes user and session from where the settings say, else from the caller's baggage."""

    def __init__(self) -> None:
        settings = read()
        self._find = _finder(parse(settings.user_from), parse(settings.session_from))
        self._environ = self._find.environ if isinstance(self._find, Pair) else None
        self._propagate = settings.propagate

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Run in the application's thread: must not raise."""
        if context is None:
            context = get_current()
        request: Any = carrier
        try:
            # A request finds the processor's caches full of other work: there each function called
            # costs more than what it does. So what most requests need is written out.
            places = self._environ
            if places is None or type(request) is not dict or WSGI not in request:
                user, session = self._find(carrier, getter)
            else:
                user_header, user_cookie, session_header, session_cookie = places
                user = request.get(user_header, "")
                session = request.get(session_header, "")
                user = cookie(user, user_cookie) if user_cookie else user.strip()
                session = cookie(session, session_cookie) if session_cookie else session.strip()
                if len(user) + len(session) > LIMIT or not (user.isascii() and session.isascii()):
                    user, session = identifier(user), identifier(session)
            blank = not context or not (HERE in context or BAGGAGE in context)
            if blank and user and session and self._propagate:
                both = {USER_ID: user, SESSION_ID: session}
                return Context({**context, HERE: both, BAGGAGE: both})
            return serving(context, (user, session), propagate=self._propagate)
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem("reading a request", error)
            return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Do nothing: the baggage propagator sends what is to be sent."""

    @property
    def fields(self) -> set[str]:
        """None: nothing is injected."""
        return set()


def _finder(users: tuple[Source, ...], sessions: tuple[Source, ...]) -> Finder:
    """Return what finds the identifiers of a user and a session in a carrier."""
    match users, sessions:
        case (), ():
            return _nobody
        case (Place() as user,), (Place() as session,):
            return Pair(user, session)
        case (Place() as user,), ():
            return Pair(user, None)
        case (), (Place() as session,):
            return Pair(None, session)

    def find(carrier: Any, getter: Getter[Any]) -> tuple[str, str]:
        request = Carried(carrier, getter)
        return first(users, request), first(sessions, request)

    return find


def _nobody(_carrier: object, _getter: object) -> tuple[str, str]:
    return NOBODY


def ensure(names: str) -> None:
    """Make the global propagator include ours if `names` (OTEL_PROPAGATORS) does.

    OpenTelemetry reads the variable when its module is first imported, which may be before the
    distribution has set it.
    """
    current = propagate.get_global_textmap()
    members = list(getattr(current, "_propagators", [current]))
    wanted = "headgate" in [name.strip() for name in names.split(",")]
    if wanted and not any(isinstance(member, IdentityPropagator) for member in members):
        propagate.set_global_textmap(CompositePropagator([*members, IdentityPropagator()]))
