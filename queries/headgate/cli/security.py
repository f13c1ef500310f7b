"""What a server asks of those who come: TLS, certificates, tokens; decided before anything is opened."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headgate.cli.listening import check_public
from headgate.cli.tls import certificates
from headgate.store import default_data_directory
from headgate.web.tokens import FILE_NAME, PREFIX, Role, Token, Tokens, digest

if TYPE_CHECKING:
    from headgate.cli.settings import ServeSettings
    from headgate.cli.tls import Certificates


@dataclass(frozen=True, slots=True)
class Security:
    """`local_token` is one for those who may read the data directory, of this process only."""

    certificates: Certificates | None
    tokens: Tokens
    local_token: str

    def announcement(self) -> dict[str, str]:
        """Return what commands on this machine need to ask the server."""
        told = {"token": self.local_token}
        if self.certificates:
            told["tls"] = str(self.certificates.cert.absolute())
        return told


def secure(settings: ServeSettings) -> Security:
    """Read certificates and tokens; raises ConfigurationError or StoreError when the server must not start so."""
    data = settings.data or default_data_directory(os.environ)
    secret = PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    local = Token("local", "this machine", "", Role.ADMIN, digest(secret), now)
    tokens = Tokens(
        settings.tokens or data / FILE_NAME,
        clock=lambda: datetime.now(UTC),
        monotonic_s=time.monotonic,
        also=[local],
    )
    check_public(settings, asks=tokens.check_required())
    return Security(certificates(settings), tokens, secret)
