"""Identity for ASGI and WSGI applications in code: middlewares that find who asks.

For applications whose framework is not instrumented, or whose users are known only to a callback.
Under `opentelemetry-instrument`, HEADGATE_USER_FROM does the same without code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

from opentelemetry.context import Context, attach, get_current

from headgate.instrumentation.detach import detach
from headgate.instrumentation.identity import Identity, mark, within
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.settings import read
from headgate.instrumentation.sources import Request, Source, first, parse

Scope = MutableMapping[str, Any]
Environ = dict[str, Any]
"""What one server passes to one application."""


class _Identifier:
    """Finds out who asks and enters a context that says so."""

    def __init__(self, user: str | Source, session: str | Source) -> None:
        self._users = parse(user) if isinstance(user, str) else (user,)
        self._sessions = parse(session) if isinstance(session, str) else (session,)
        self._propagate = read().propagate

    def context(self, request: Request) -> Context | None:
        """Return the context to serve `request` in; None if nobody is known."""
        try:
            identity = Identity(first(self._users, request), first(self._sessions, request))
            if not any(identity):
                return None
            mark(identity)
            return within(get_current(), identity, propagate=self._propagate)
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem("reading a request", error)
            return None


class IdentifyASGI:
    """ASGI middleware that finds user and session: notations of HEADGATE_USER_FROM, or functions.

    A function gets a `Request` and returns an identifier or None.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        user: str | Source = "",
        session: str | Source = "",
    ) -> None:
        self._app = app
        self._identifier = _Identifier(user, session)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one connection."""
        context = None
        if scope.get("type") in ("http", "websocket"):
            context = self._identifier.context(Request(_asgi_headers(scope), scope))
        if context is None:
            await self._app(scope, receive, send)
            return
        token = attach(context)
        try:
            await self._app(scope, receive, send)
        finally:
            detach(token)


class IdentifyWSGI:
    """WSGI middleware that finds user and session: notations of HEADGATE_USER_FROM, or functions.

    A function gets a `Request` and returns an identifier or None.
    """

    def __init__(
        self,
        app: Callable[[Environ, Any], Iterable[bytes]],
        user: str | Source = "",
        session: str | Source = "",
    ) -> None:
        self._app = app
        self._identifier = _Identifier(user, session)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        context = self._identifier.context(Request(_wsgi_headers(environ), environ))
        if context is None:
            return self._app(environ, start_response)
        token = attach(context)
        try:
            body = self._app(environ, start_response)
        finally:
            detach(token)
        # A file is left to the server, which knows a faster way.
        whole = isinstance(body, (list, tuple)) or type(body) is environ.get("wsgi.file_wrapper")
        return body if whole else _Body(body, context)


class _Body:
    """A response that is still being made while it is sent, each step in its request's context."""

    def __init__(self, body: Iterable[bytes], context: Context) -> None:
        self._steps = iter(body)
        self._context = context
        self.close: Callable[[], object] = getattr(body, "close", _nothing)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = attach(self._context)
        try:
            return next(self._steps)
        finally:
            detach(token)


def _nothing() -> None:
    pass


def _asgi_headers(scope: Scope) -> Callable[[str], str | None]:
    def header(name: str) -> str | None:
        wanted = name.encode("latin-1", "replace")
        found = [value for key, value in scope.get("headers", ()) if key.lower() == wanted]
        # HTTP/2 may split the cookie header.
        return b"; ".join(found).decode("latin-1") if found else None

    return header


def _wsgi_headers(environ: Environ) -> Callable[[str], str | None]:
    def header(name: str) -> str | None:
        value = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value if isinstance(value, str) else None

    return header
