"""Who may do what over the API: the token of a request names its tenant, whose application answers.

Without a file of tokens everybody who reaches the API may do everything, in the server's own database. With one, a
request carries `Authorization: Bearer TOKEN`; a browser may send the token as the password of Basic authentication,
for looking only, since it would send that along from other people's pages too. Reading, of which exports are a part,
takes the role read or admin, anything else admin (REQ-ACC-01). What tells only whether the server lives is open to all.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from headgate.store import StoreError
from headgate.web.tokens import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headgate.web.tokens import Token, Tokens

    App = Callable[[Any, Any, Any], Awaitable[None]]

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_READING = "/api/exports"
_CHALLENGE = {"www-authenticate": 'Bearer, Basic realm="headgate, the token is the password"'}


class Guarded:
    """The ASGI application that asks for a token and passes on to the tenant's own.

    The token that was presented is in the scope, as `scope["token"]`, None where none is needed.
    """

    def __init__(self, tokens: Tokens, app_of: Callable[[str], App]) -> None:
        """`app_of(tenant)` may block, and raise StoreError; the tenant is empty for the server's own database."""
        self._tokens = tokens
        self._app_of = app_of
        self._apps: dict[str, App] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        token = None
        if scope["type"] == "http" and self._tokens.check_required():
            is_open = scope["path"] in OPEN_PATHS
            token, refused = (None, None) if is_open else self._judge(scope)
            if refused is not None:
                await refused(scope, receive, send)
                return
        scope["token"] = token
        tenant = token.tenant if token else ""
        app = self._apps.get(tenant)
        if app is None:
            try:
                app = self._apps[tenant] = await asyncio.to_thread(self._app_of, tenant)
            except StoreError as error:
                await JSONResponse({"error": str(error)}, 503)(scope, receive, send)
                return
        await app(scope, receive, send)

    def _judge(self, scope: Any) -> tuple[Token | None, JSONResponse | None]:
        safe = scope["method"] in _SAFE
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        secret = _secret(given, basic=safe)
        token = self._tokens.find(secret) if secret else None
        if token is None:
            said = "this token is not known, or has expired" if secret else "a token is needed"
            hint = f"{said}: send Authorization: Bearer TOKEN; `headgate token create` makes one"
            return None, JSONResponse({"error": hint}, 401, _CHALLENGE)
        reads = safe or scope["path"].startswith(_READING)
        needed = (Role.READ, Role.ADMIN) if reads else (Role.ADMIN,)
        if token.role not in needed:
            said = f"the token {token.name!r} has the role {token.role}, and this takes {needed[0]}"
            return None, JSONResponse({"error": said}, 403)
        return token, None


def bearer(authorization: bytes) -> bytes:
    """Return the token of an Authorization header, or nothing."""
    scheme, _, secret = authorization.partition(b" ")
    return secret.strip() if scheme.lower() == b"bearer" else b""


def _secret(authorization: bytes, *, basic: bool) -> bytes:
    scheme, _, rest = authorization.partition(b" ")
    if basic and scheme.lower() == b"basic":
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return bearer(authorization)
