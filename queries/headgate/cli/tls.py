"""TLS of a server: one certificate for OTLP and the API, client certificates where a CA for them is given."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

import grpc

from headgate.cli.settings import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.cli.settings import ServeSettings

log = logging.getLogger(__name__)


class Certificates:
    """What TLS is spoken with; `reload` takes renewed files into use for connections to come."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        """Read the files; raises ConfigurationError when they cannot be used."""
        self.cert = cert
        self._key = key
        self._client_ca = client_ca
        self.context = self._load()
        self._renewed = False

    def factory(self, *_: object) -> ssl.SSLContext:
        """Return the context, as uvicorn asks for it."""
        return self.context

    def reload(self) -> None:
        """Read the files again; those that cannot be used are reported, and the ones in use stay."""
        try:
            self._load()
            self.context.load_cert_chain(self.cert, self._key)
        except (ConfigurationError, OSError) as error:
            log.error("the certificate stays as it is: %s", error)  # noqa: TRY400  # no trace is needed
            return
        self._renewed = True

    def grpc(self) -> grpc.ServerCredentials:
        """Return gRPC's credentials, which follow a reload."""

        def renewed() -> Any:
            if not self._renewed:
                return None
            self._renewed = False
            return self._configuration()

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), renewed, self._client_ca is not None
        )

    def _configuration(self) -> Any:  # grpc does not export its type
        pair = (self._key.read_bytes(), self.cert.read_bytes())
        roots = self._client_ca.read_bytes() if self._client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        name = "tls_cert"
        try:
            context.load_cert_chain(self.cert, self._key)
            if self._client_ca:
                name = "tls_client_ca"
                context.load_verify_locations(self._client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:  # ssl.SSLError is one
            files = self._client_ca if name == "tls_client_ca" else f"{self.cert} with {self._key}"
            raise ConfigurationError(
                f"{name}: {files} cannot be used: {error.strerror or error}; give PEM files that belong together"
            ) from error
        return context


def certificates(settings: ServeSettings) -> Certificates | None:
    """Return what TLS is spoken with, None for plain text; raises ConfigurationError."""
    cert, key = settings.tls_cert, settings.tls_key
    if cert is not None and key is not None:
        return Certificates(cert, key, settings.tls_client_ca)
    if cert is None and key is None and settings.tls_client_ca is None:
        return None
    missing = "tls_key" if cert is not None else "tls_cert"
    raise ConfigurationError(
        f"{missing} is missing: TLS takes tls_cert and tls_key, both PEM files"
    )
