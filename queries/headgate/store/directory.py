"""Who owns a data directory: a lock on DIR/headgate.lock, and what its owner says about itself.

Ownership is the lock (`flock`), never the process id in the file: a crash frees it at once, though
the text stays. The text is one line of JSON: `pid` and `role`; a server adds `otlp_grpc`,
`otlp_http` and `api` ("host:port") once it is ready, so that other commands find it, a `token` of its
own that may ask it everything, and `tls`, the path of its certificate, if it has one. The file is
readable by its owner only. The engine's files lie in DIR/clickhouse.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate.store.errors import StoreBusy, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK_NAME = "headgate.lock"
_MOST_READS = 20

# Whoever only looks holds a shared lock for an instant; that must not make an owner give up.
_GLANCE_S = 0.2
_STEP_S = 0.05

# Longer than any line that we write, so that a new one never changes the file's size.
_LINE_BYTES = 2047


def default_data_directory(environ: dict[str, str] | os._Environ[str]) -> Path:
    """Return $HEADGATE_DATA, or the user's data directory as the XDG specification has it."""
    if environ.get("HEADGATE_DATA"):
        return Path(environ["HEADGATE_DATA"])
    base = environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "headgate"


class DataDirectory:
    """A data directory that this process owns until `close`; made by `acquire`."""

    def __init__(self, path: Path, descriptor: int, role: str) -> None:
        self.path = path
        self._descriptor = descriptor
        self._role = role
        self.announce({})

    @property
    def engine_path(self) -> Path:
        """Where the embedded engine keeps its files."""
        return self.path / "clickhouse"

    def scratch(self) -> Path:
        """Return an empty directory for temporary files; those that a crash left behind are removed."""
        path = self.path / "tmp"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        return path

    def announce(self, addresses: dict[str, str]) -> None:
        """Write who we are and where we listen, for other processes to read."""
        text = json.dumps({"pid": os.getpid(), "role": self._role, **addresses})
        # One write of one size: a reader at the same moment finds a whole line soon (see _settled).
        os.pwrite(self._descriptor, text.ljust(_LINE_BYTES).encode() + b"\n", 0)

    def close(self) -> None:
        """Give the directory up; idempotent."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def acquire(
    path: Path,
    role: str,
    *,
    wait_s: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
) -> DataDirectory:
    """Own `path`, making it if need be, for its owner only; one that is there keeps its mode.

    Waits up to `wait_s` for an owner that is no server to finish. Raises StoreBusy when a server
    owns it or the wait was too short, StoreError when the directory cannot be used.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)  # who used what is nobody else's
        descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"cannot use the data directory {path}: {error.strerror};"
            " choose another with --data DIR"
        ) from error
    waited_s = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"cannot lock the data directory {path}: {error.strerror};"
                " choose one on a local disk with --data DIR"
            ) from error
        else:
            return DataDirectory(path, descriptor, role)
        owner = read_owner(path)
        patience_s = _GLANCE_S if owner.get("role") == "server" else max(wait_s, _GLANCE_S)
        if waited_s >= patience_s:
            os.close(descriptor)
            raise StoreBusy(
                f"the data directory {path} is in use by process {owner.get('pid', 'unknown')}"
                f" ({owner.get('role', 'starting')}); stop it or choose another with --data DIR"
            )
        sleep(_STEP_S)
        waited_s += _STEP_S


def read_owner(path: Path) -> dict[str, Any]:
    """Return what the last owner of `path` wrote about itself; empty when nothing is readable."""
    try:
        owner = json.loads(_settled(path / LOCK_NAME).partition("\n")[0])
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _settled(path: Path) -> str:
    """Return a text that reads the same twice: one read may meet half of a write."""
    text = path.read_text()
    for _ in range(_MOST_READS):
        before, text = text, path.read_text()
        if text == before:
            break
    return text


def find_server(path: Path) -> dict[str, str] | None:
    """Return what the server that owns `path` now says: its addresses, pid and role.

    None when no server runs or it is not ready yet.
    """
    try:
        descriptor = os.open(path / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = read_owner(path)
        return {k: str(v) for k, v in owner.items()} if "api" in owner else None
    finally:
        os.close(descriptor)
    return None
