"""Headers of a request as OpenTelemetry's server instrumentations pass it on: a carrier and a getter.

WSGI environs and ASGI scopes are read directly. Their getters make each name again for every request,
and ASGI's decodes all headers to find one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.instrumentation.identity import identifier
from headgate.instrumentation.sources import Place, Request, cookie

if TYPE_CHECKING:
    from opentelemetry.propagators.textmap import CarrierT, Getter


WSGI = "wsgi.url_scheme"
"""Every WSGI environ has this key (PEP 3333)."""


class Header(NamedTuple):
    """A header's name, as getters, WSGI and ASGI spell it."""

    name: str
    wsgi: str
    asgi: bytes


@lru_cache(maxsize=64)
def spelled(name: str) -> Header:
    """Return the spellings of `name`."""
    low = name.lower()
    return Header(low, "HTTP_" + low.upper().replace("-", "_"), low.encode("latin-1", "replace"))


def value(carrier: Any, getter: Getter[Any], header: Header) -> str:
    """Return the header's value, or the empty string; HTTP/2 may split cookies, which are joined."""
    if type(carrier) is dict:
        if WSGI in carrier:
            return carrier.get(header.wsgi) or ""
        if "asgi" in carrier and type(headers := carrier.get("headers")) is list:
            found = b""
            for name, each in headers:
                if name == header.asgi:
                    found = found + b"; " + each if found else each
            return found.decode("latin-1")
    values = getter.get(carrier, header.name)
    return next(iter(values), "") if values else ""


class Carried(Request):
    """A request of which there is no more than a carrier."""

    __slots__ = ("_getter",)

    def __init__(self, carrier: CarrierT, getter: Getter[CarrierT]) -> None:
        self.raw = carrier
        self._getter: Getter[Any] = getter
        self._cookies = None

    def header(self, name: str) -> str:
        """Return the header's value, or the empty string."""
        return value(self.raw, self._getter, spelled(name))


class Pair:
    """User and session of a request, where each is one header, one cookie or nothing."""

    __slots__ = ("_session", "_session_header", "_user", "_user_header")

    def __init__(self, user: Place | None, session: Place | None) -> None:
        self._user_header = spelled(user.header) if user else None
        self._user = user.cookie if user else ""
        self._session_header = spelled(session.header) if session else None
        self._session = session.cookie if session else ""

    def __call__(self, carrier: Any, getter: Getter[Any]) -> tuple[str, str]:
        """Return the two identifiers."""
        header, other = self._user_header, self._session_header
        user = value(carrier, getter, header) if header else ""
        session = user if other is header else value(carrier, getter, other) if other else ""
        if self._user:
            user = cookie(user, self._user)
        if self._session:
            session = cookie(session, self._session)
        return identifier(user), identifier(session)

    @property
    def environ(self) -> tuple[str, str, str, str]:
        """The same for WSGI: the user's key in the environ and cookie in its value, the session's both."""
        user, session = self._user_header, self._session_header
        return (
            user.wsgi if user else "",
            self._user,
            session.wsgi if session else "",
            self._session,
        )
