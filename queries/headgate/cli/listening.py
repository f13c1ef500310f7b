"""Where a server listens: sockets, and who may come there."""

from __future__ import annotations

import ipaddress
import logging
import socket
from typing import TYPE_CHECKING

from headgate.cli.address import join_address, split_address
from headgate.cli.settings import ConfigurationError, flag
from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from headgate.cli.settings import ServeSettings
    from headgate.store import DataDirectory

log = logging.getLogger(__name__)
SOCKET_NAME = "api.sock"
LISTENERS = ("otlp_grpc", "otlp_http", "api")


def listen(address: str, name: str, *, shared: bool = False) -> socket.socket:
    """Return a listening socket, `shared` with other workers; raises StoreError when the address cannot be had."""
    listener = _bind(address, name, shared=shared)
    listener.listen(1024)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return HOST:PORT, or the path of a socket of this machine."""
    name = listener.getsockname()
    return str(name) if listener.family == socket.AF_UNIX else join_address(*name[:2])


def bind_shared(address: str, name: str) -> socket.socket:
    """Return a socket that keeps an address for workers to share, and takes no connections itself.

    Raises StoreError when the address is in use by others, or cannot be had.
    """
    listener = listen(address, name)  # alone: somebody else's is told
    host, port = listener.getsockname()[:2]
    listener.close()
    return _bind(join_address(host, port), name, shared=True)


def listen_locally(directory: Path) -> socket.socket | None:
    """Return a listening socket in the data directory, for its owner only; None where it cannot be, which is logged."""
    path = directory.absolute() / SOCKET_NAME
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)  # what a crash has left
        listener.bind(str(path))
        path.chmod(0o600)  # nobody connects before it listens
        listener.listen(1024)
    except OSError as error:  # the path is too long, say
        listener.close()
        log.warning("commands on this machine cannot ask the server, at %s: %s", path, error)
        return None
    return listener


def _bind(address: str, name: str, *, shared: bool) -> socket.socket:
    host, port = split_address(address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        option = socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:  # the latter: a name that cannot be a host's
        raise cannot_listen(address, name, error) from error
    return listener


def cannot_listen(address: str, name: str, error: Exception) -> StoreError:
    """Return the sentence for an address that cannot be had."""
    reason = (isinstance(error, OSError) and error.strerror) or error
    return StoreError(
        f"cannot listen on {address} ({reason}); stop what uses it or choose another with"
        f" {flag(name)} HOST:PORT"
    )


def announce(
    directory: DataDirectory, addresses: Mapping[str, str], access: Mapping[str, str]
) -> None:
    """Tell people, on standard output, and other commands, in the lock file, where a server listens.

    `access` is what commands need besides: a token, and `tls`, the path of the certificate, where there is one.
    """
    directory.announce({**addresses, **access})
    scheme = "https" if "tls" in access else "http"
    print(  # noqa: T201  # the one line that a server prints
        f"headgate is ready: OTLP/gRPC {addresses['otlp_grpc']}, OTLP/HTTP {addresses['otlp_http']},"
        f" API {scheme}://{addresses['api']}, data {directory.path}",
        flush=True,
    )


def check_public(settings: ServeSettings, *, asks: bool) -> None:
    """Refuse to be reachable for other machines while nothing is asked of them; `asks` says that tokens are needed.

    Raises ConfigurationError.
    """
    if asks or settings.allow_anonymous or settings.tls_client_ca:
        return
    for name in LISTENERS:
        address = getattr(settings, name)
        if not _is_loopback(split_address(address)[0]):
            raise ConfigurationError(
                f"{flag(name)} {address} can be reached from other machines, and everybody there could send and read"
                " everything: make a token with `headgate token create`, or allow that with --allow-anonymous"
            )


def _is_loopback(host: str) -> bool:
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return True  # nobody can listen there; that is told by who tries
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)
