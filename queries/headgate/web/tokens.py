"""Bearer tokens: a file of hashed tokens, each of one tenant and one role, and who a presented one is.

A token is 256 random bits, so that a fast hash (SHA-256) keeps it as safe as a slow one would; the file holds no
token, only hashes. It is written whole and renamed, and read again when it has changed: tokens are made and revoked
without a restart. Once there was such a file, a token is required, whatever becomes of the file.

    ingest   sends telemetry
    read     asks reports
    admin    does both, and changes settings (REQ-ACC-01)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)
FILE_NAME = "tokens.json"
PREFIX = "hg_"
LOOK_S = 1.0
"""How long a change of the file may go unnoticed."""

_TENANT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_TAKEN = frozenset({"system", "information_schema", "INFORMATION_SCHEMA", "default"})


class Role(StrEnum):
    """What a token allows."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: not the token. `tenant` is a ClickHouse database, empty for the server's own."""

    id: str
    name: str
    tenant: str
    role: Role
    sha256: str
    created: datetime
    expires: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in the file."""
        expires = self.expires and self.expires.isoformat()
        return {**asdict(self), "created": self.created.isoformat(), "expires": expires}

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Token:
        """Return what `to_json` wrote; raises ValueError, KeyError or TypeError for anything else."""
        expires = entry["expires"]
        times = {
            "created": datetime.fromisoformat(entry["created"]),
            "expires": datetime.fromisoformat(expires) if expires else None,
        }
        tenant = str(entry["tenant"])
        if tenant:
            check_tenant(tenant)
        return Token(**{**entry, **times, "role": Role(entry["role"])})


def check_tenant(name: str) -> str:
    """Return a tenant's name; raises StoreError when no database can be called so."""
    if not _TENANT.fullmatch(name) or name in _TAKEN:
        raise StoreError(
            f"{name!r} is no name for a tenant: use letters, digits and _, such as acme or team_7"
        )
    return name


def digest(secret: str | bytes) -> str:
    """Return what the file holds of a token."""
    return hashlib.sha256(secret.encode() if isinstance(secret, str) else secret).hexdigest()


def read_tokens(path: Path) -> list[Token]:
    """Return the tokens of a file, none when it is not there; raises StoreError when it cannot be read."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["tokens"]
        return [Token.from_json(entry) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"cannot read the tokens in {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, StoreError) as error:
        raise StoreError(
            f"{path} is no file of tokens ({error}); restore it, or make tokens anew in another"
        ) from error


def create_token(
    path: Path, *, name: str, tenant: str, role: Role, now: datetime, expires: datetime | None
) -> tuple[Token, str]:
    """Add a token to the file, making the file if need be; return it with its secret, which is nowhere else."""
    secret = PREFIX + secrets.token_urlsafe(32)
    made = Token(secrets.token_hex(4), name, tenant, role, digest(secret), now, expires)
    with _changing(path) as tokens:
        tokens.append(made)
    return made, secret


def revoke_token(path: Path, identity: str) -> Token:
    """Remove a token by its id; raises StoreError when there is none."""
    with _changing(path) as tokens:
        found = [token for token in tokens if token.id == identity]
        if not found:
            known = ", ".join(token.id for token in tokens) or "none"
            raise StoreError(f"there is no token {identity!r} in {path}; known are {known}")
        tokens.remove(found[0])
    return found[0]


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[Token]]:
    """Yield the tokens to be changed in place and write them, one process at a time."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        tokens = read_tokens(path)
        yield tokens
        _write(path, tokens, directory)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    finally:
        os.close(directory)


def _write(path: Path, tokens: Sequence[Token], directory: int) -> None:
    text = json.dumps({"tokens": [token.to_json() for token in tokens]}, indent=1)
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
    os.fsync(directory)


class Tokens:
    """The tokens in force: a look-up by digest, and a look at the file every LOOK_S at most. Any thread."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        also: Sequence[Token] = (),
    ) -> None:
        """Read the file; `also` are tokens that stand in none. Raises StoreError when it cannot be read."""
        self._path = path
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._also = {token.sha256: token for token in also}
        self._by_digest = dict(self._also)
        self._state: tuple[int, int, int] | None = None
        self._looked_s = monotonic_s()
        self.required = False
        self._read(self._look())

    def find(self, secret: str | bytes) -> Token | None:
        """Return the token that is presented, if it is one and has not expired."""
        self._refresh()
        presented = digest(secret)
        # The look-up is by a hash that its sender cannot steer byte by byte; the comparison takes constant time.
        found = self._by_digest.get(presented)
        if found is None or not hmac.compare_digest(found.sha256, presented):
            return None
        return None if found.expires and found.expires <= self._clock() else found

    def check_required(self) -> bool:
        """Return whether there is or was a file, so that a token must be presented."""
        if not self.required:
            self._refresh()
        return self.required

    def _refresh(self) -> None:
        now_s = self._monotonic_s()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        state = self._look()
        if state == self._state:
            return
        try:
            self._read(state)
        except StoreError as error:
            self._state = state
            log.error("%s; the tokens read before stay in force", error)  # noqa: TRY400  # no trace is needed

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            log.error("cannot look at %s: %s", self._path, error)  # noqa: TRY400  # no trace is needed
            return self._state
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self, state: tuple[int, int, int] | None) -> None:
        if state is None:
            if self.required:
                log.error("%s has vanished; its tokens stay in force until it is back", self._path)
            self._state = state
            return
        tokens = read_tokens(self._path)
        self._by_digest = {**self._also, **{token.sha256: token for token in tokens}}
        self._state, self.required = state, True
