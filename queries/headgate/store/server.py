"""A client of a running server's API: its address or socket, its certificate, and the token to present.

The token is the caller's, else the one that the server tells those who may read its data directory.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx

from headgate.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


def server_client(
    server: Mapping[str, str], *, token: str | None = None, timeout_s: float = 120.0
) -> httpx.Client:
    """Return a client of the server that `find_server` found; paths are relative to its API."""
    local = server.get("socket")  # where TLS would ask us for a certificate of our own
    if local:
        return httpx.Client(
            base_url="http://localhost",
            headers=_headers(token or server.get("token")),
            transport=httpx.HTTPTransport(uds=local),
            timeout=timeout_s,
            trust_env=False,
        )
    return httpx.Client(
        base_url=f"{'https' if server.get('tls') else 'http'}://{server['api']}",
        headers=_headers(token or server.get("token")),
        verify=verification(server),
        timeout=timeout_s,
        # The server is on this machine: a proxy of the environment must not come between.
        trust_env=False,
    )


def remote_client(url: str, *, token: str | None = None, timeout_s: float = 120.0) -> httpx.Client:
    """Return a client of the server whose API has this address; raises StoreError when it cannot have one."""
    if not url.startswith(("http://", "https://")):
        raise StoreError(f"{url!r} is not the address of a server: write https://host:8686")
    return httpx.Client(base_url=url, headers=_headers(token), timeout=timeout_s)


def otlp_url(server: Mapping[str, str]) -> str:
    """Return the OTLP/HTTP address of the server that `find_server` found."""
    return f"{'https' if server.get('tls') else 'http'}://{server['otlp_http']}"


def verification(server: Mapping[str, str]) -> ssl.SSLContext | bool:
    """Return what its certificate is checked by."""
    certificate = server.get("tls")
    return _pinned(certificate) if certificate else True


def _headers(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def _pinned(certificate: str) -> ssl.SSLContext:
    """Return a context that trusts this certificate and no other, whatever name it is for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=certificate)
    except OSError as error:
        raise StoreError(f"cannot read the server's certificate {certificate}: {error}") from error
    return context
