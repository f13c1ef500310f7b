"""Where a request says who asks: a header, a cookie, a token's claim, or the application's function.

A JWT is read, not verified: this is analytics, never authorization. HEADGATE_USER_FROM and
HEADGATE_SESSION_FROM use the notation that `parse` reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

from headgate.instrumentation.identity import identifier
from headgate.instrumentation.quiet import once, problem


class Request:
    """What a source may look at: headers by name, and the server's own object.

    `raw` is the ASGI scope, the WSGI environ, or whatever carried the headers.
    """

    __slots__ = ("_cookies", "_headers", "raw")

    def __init__(self, headers: Callable[[str], str | None], raw: object) -> None:
        self._headers = headers
        self._cookies: str | None = None
        self.raw = raw

    def header(self, name: str) -> str:
        """Return the header's value, or the empty string."""
        return self._headers(name.lower()) or ""

    def cookie(self, name: str) -> str:
        """Return the cookie's value, or the empty string."""
        if self._cookies is None:
            self._cookies = self.header("cookie")
        return cookie(self._cookies, name)


def cookie(header: str, name: str) -> str:
    """Return the value of a cookie in the text of a `cookie` header, or the empty string."""
    # The library's parser takes ten times as long, on every request, and so does looking at each of
    # many cookies when the one that is wanted stands where browsers put it.
    at = header.find(name)
    if at < 0:
        return ""
    begin = at + len(name)
    if (at == 0 or header[at - 2 : at] == "; ") and header.startswith("=", begin):
        end = header.find(";", begin)
        value = header[begin + 1 : end] if end > 0 else header[begin + 1 :]
    else:
        pairs = (pair.partition("=") for pair in header.split(";"))
        value = next((value for key, _, value in pairs if key.strip() == name), "")
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


Source = Callable[[Request], object]


@dataclass(frozen=True, slots=True)
class Place:
    """The source that is one header, or one of the cookies in it."""

    header: str
    cookie: str = ""

    def __call__(self, request: Request) -> str:
        """Return what is there, or the empty string."""
        return request.cookie(self.cookie) if self.cookie else request.header(self.header)


def first(sources: Sequence[Source], request: Request) -> str:
    """Return the first identifier that a source finds, or the empty string; errors find nothing."""
    for source in sources:
        try:
            if (value := source(request)) != "" and (found := identifier(value)):
                return found
        except Exception as error:  # noqa: BLE001, PERF203  # the application's own callback, or a foreign token
            problem("finding out who asks", error)
    return ""


@lru_cache(maxsize=32)
def parse(text: str) -> tuple[Source, ...]:
    """Return the sources of a list such as `jwt:authorization:sub,cookie:uid`, without unknown ones."""
    return tuple(
        source for item in text.split(",") if item.strip() and (source := _source(item.strip()))
    )


def claim(token: str, name: str) -> str:
    """Return the claim `name` of a JSON Web Token, unverified, or the empty string."""
    parts = token.strip().split(".")
    if len(parts) != 3 or len(token) > 16384:
        return ""
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return ""
    value = payload.get(name) if isinstance(payload, dict) else None
    return str(value) if isinstance(value, str | int) else ""


def _source(item: str) -> Source | None:
    kind, _, rest = item.partition(":")
    if kind == "header" and rest:
        return Place(rest.lower())
    if kind == "cookie" and rest:
        return Place("cookie", rest)
    if kind == "jwt" and rest:
        return _token(*rest.partition(":")[::2])
    if kind == "call" and ":" in rest:
        return _callback(*rest.split(":", 1))
    once.say(
        f"{item!r} names no place where a request says who asks: use header:, cookie:, jwt: or "
        "call:module:function."
    )
    return None


def _token(place: str, name: str) -> Source:
    def source(request: Request) -> str:
        cookie = place.removeprefix("cookie.")
        text = request.header(place) if cookie == place else request.cookie(cookie)
        # "Bearer x.y.z" and a bare token are both common.
        return claim(text.rpartition(" ")[2], name or "sub")

    return source


def _callback(module: str, function: str) -> Source:
    def source(request: Request) -> object:
        # Imported at the first request: when the settings are read the application does not exist
        # yet.
        return getattr(import_module(module), function)(request)

    return source
