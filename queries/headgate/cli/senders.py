"""Who sends: from the Authorization of an OTLP request to the pipeline of its tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.collector.errors import Forbidden, Unauthenticated
from headgate.web.access import bearer
from headgate.web.tokens import Role

if TYPE_CHECKING:
    from headgate.collector.pipeline import Pipeline
    from headgate.collector.tenants import Tenants
    from headgate.web.tokens import Tokens


class Senders:
    """Looks tokens up for the receivers; `refusals` is where they count who is turned away."""

    def __init__(self, tokens: Tokens, tenants: Tenants) -> None:
        self._tokens = tokens
        self._tenants = tenants
        self.refusals = tenants.refusals

    def known(self, authorization: bytes) -> Pipeline | None:
        """Return the pipeline if it is open, without waiting; raises Unauthenticated or Forbidden."""
        return self._tenants.known(self._tenant(authorization))

    def pipeline(self, authorization: bytes) -> Pipeline:
        """Return the pipeline, opening it if need be; raises Unauthenticated, Forbidden or Retryable."""
        return self._tenants.pipeline(self._tenant(authorization))

    def _tenant(self, authorization: bytes) -> str:
        if not self._tokens.check_required():
            return ""
        token = self._tokens.find(bearer(authorization))
        if token is None:
            raise Unauthenticated(
                "the token is not known, or has expired; ask who runs the collector for another"
                if authorization
                else "a token is needed; send authorization: Bearer TOKEN"
            )
        if token.role is Role.READ:
            raise Forbidden(
                f"the token {token.name!r} may read, not send; use one with the role ingest"
            )
        return token.tenant
