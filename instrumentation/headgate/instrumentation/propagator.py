"""Zero-code identity for every server: a propagator that reads it from what a request carries.

All of OpenTelemetry's server instrumentations (WSGI, ASGI, Django, gRPC, Celery …) pass incoming
headers through the propagators before they start the server's span, so this is the one place where
user and session can be known for the whole request without touching the application. Registered as
the propagator `headgate`; it must come after `baggage`.
"""

from __future__ import annotations

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

from headgate.instrumentation.identity import NOBODY, Identity, serving
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.settings import read
from headgate.instrumentation.sources import Request, first, parse


class IdentityPropagator(TextMapPropagator):
    """Takes user and session from where the settings say, else from the caller's baggage."""

    def __init__(self) -> None:
        settings = read()
        self._users = parse(settings.user_from)
        self._sessions = parse(settings.session_from)
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
        try:
            found = self._found(carrier, getter) if self._users or self._sessions else NOBODY
            return serving(context, found, propagate=self._propagate)
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

    def _found(self, carrier: CarrierT, getter: Getter[CarrierT]) -> Identity:
        request = _Carried(carrier, getter)
        return Identity(first(self._users, request), first(self._sessions, request))


class _Carried(Request):
    """A request as OpenTelemetry's instrumentations see it: a carrier, and what reads headers from it."""

    __slots__ = ("_getter",)

    def __init__(self, carrier: CarrierT, getter: Getter[CarrierT]) -> None:
        self.raw = carrier
        self._getter: Getter[Any] = getter
        self._cookies = None

    def header(self, name: str) -> str:
        carrier: Any = self.raw
        headers = carrier.get("headers") if type(carrier) is dict and "asgi" in carrier else None
        if type(headers) is list:
            # An ASGI scope, of which the instrumentation's getter would decode every header. Names
            # are in lower case there, and HTTP/2 may split the cookie header.
            wanted = name.lower().encode("latin-1", "replace")
            found = [value for key, value in headers if key == wanted]
            return b"; ".join(found).decode("latin-1") if found else ""
        values = self._getter.get(carrier, name.lower())
        return next(iter(values), "") if values else ""


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
