"""Owning a data directory: one process at a time, freed by any death, found by others."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headgate.store import (
    StoreBusy,
    StoreError,
    acquire,
    default_data_directory,
    find_server,
)
from headgate.store.directory import LOCK_NAME

ADDRESSES = {"otlp_grpc": "127.0.0.1:1", "otlp_http": "127.0.0.1:2", "api": "127.0.0.1:3"}

OWNER = """
import sys
from pathlib import Path
from headgate.store import acquire
directory = acquire(Path(sys.argv[1]), sys.argv[2])
if sys.argv[2] == "server":
    directory.announce({"api": "127.0.0.1:3"})
print("mine", flush=True)
sys.stdin.read()
directory.close()
"""


class Owner:
    """Another process that owns a directory until it is told to end or killed."""

    def __init__(self, path: Path, role: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(path), role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "mine\n"

    def finish(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def own():
    owners: list[Owner] = []

    def start(path: Path, role: str) -> Owner:
        owners.append(Owner(path, role))
        return owners[-1]

    yield start
    for owner in owners:
        if owner.process.poll() is None:
            owner.kill()


def test_second_process_is_told_who_has_it(tmp_path, own):
    """A directory that a server owns is refused with the owner's pid, its role and a way out."""
    owner = own(tmp_path / "data", "server")
    slept: list[float] = []
    with pytest.raises(StoreBusy) as caught:
        acquire(tmp_path / "data", "report", wait_s=60, sleep=slept.append)
    assert str(caught.value) == (
        f"the data directory {tmp_path / 'data'} is in use by process {owner.process.pid} (server);"
        " stop it or choose another with --data DIR"
    )
    assert sum(slept) < 1, "a server is not waited for"


def test_kill_frees_the_directory(tmp_path, own):
    """After SIGKILL of its owner a directory can be owned at once, and no server is found in it."""
    owner = own(tmp_path, "server")
    assert find_server(tmp_path) is not None
    owner.kill()
    assert b"127.0.0.1:3" in (tmp_path / LOCK_NAME).read_bytes(), "the dead owner's text is left"
    assert find_server(tmp_path) is None
    acquire(tmp_path, "report", sleep=pytest.fail).close()


def test_reader_waits_for_reader(tmp_path, own):
    """A short-lived reader is waited for, and the directory is taken when it ends."""
    owner = own(tmp_path, "report")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if sum(slept) > 2:
            owner.finish()

    acquire(tmp_path, "report", wait_s=30, sleep=sleep).close()
    assert 2 < sum(slept) < 3


def test_reader_waits_no_longer_than_told(tmp_path, own):
    """A reader that does not end makes the second give up after its patience."""
    own(tmp_path, "report")
    slept: list[float] = []
    with pytest.raises(StoreBusy, match=r"\(report\)"):
        acquire(tmp_path, "report", wait_s=3, sleep=slept.append)
    assert sum(slept) == pytest.approx(3, abs=0.1)


def test_same_process_cannot_own_twice(tmp_path):
    """The lock belongs to one DataDirectory, not to the process."""
    directory = acquire(tmp_path, "server")
    with pytest.raises(StoreBusy):
        acquire(tmp_path, "report", sleep=lambda _: None)
    directory.close()
    directory.close()
    acquire(tmp_path, "report").close()


def test_find_server(tmp_path):
    """A server is found once it has announced its addresses, and until it closes."""
    assert find_server(tmp_path / "nowhere") is None
    assert find_server(tmp_path) is None
    directory = acquire(tmp_path, "server")
    assert find_server(tmp_path) is None, "not ready yet"
    directory.announce(ADDRESSES)
    assert find_server(tmp_path) == {"pid": str(os.getpid()), "role": "server", **ADDRESSES}
    directory.announce({"api": "x:1"})
    assert find_server(tmp_path) == {"pid": str(os.getpid()), "role": "server", "api": "x:1"}
    directory.close()
    assert find_server(tmp_path) is None
    reader = acquire(tmp_path, "report")
    assert find_server(tmp_path) is None, "a reader is no server"
    reader.close()


@pytest.fixture
def lookers(tmp_path):
    """Three threads that look for a server all the time; what they saw."""
    stop = threading.Event()
    seen: list[object] = []

    def look() -> None:
        while not stop.wait(0.001):
            seen.append(find_server(tmp_path))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield seen
    stop.set()
    for thread in threads:
        thread.join()


def test_lookers_do_not_take_each_other_for_a_server(tmp_path, lookers):
    """What a killed server left behind is not believed, however many look at once."""
    (tmp_path / LOCK_NAME).write_text('{"pid": 1, "role": "server", "api": "127.0.0.1:3"}\n')
    enough = len(lookers) + 1000
    while len(lookers) < enough:
        assert find_server(tmp_path) is None
    assert not any(lookers)


def test_lookers_do_not_keep_an_owner_out(tmp_path, lookers):
    """A directory can be owned at any moment while others look."""
    enough = len(lookers) + 50
    turns = 0
    while turns < 50 or len(lookers) < enough:  # both have had their turns
        acquire(tmp_path, "report").close()
        turns += 1
    assert not any(lookers)


def test_announcement_is_read_whole(tmp_path):
    """While a server announces again and again, a reader finds every time one of its texts."""
    directory = acquire(tmp_path, "server")
    directory.announce(ADDRESSES)
    stop = threading.Event()

    def announce() -> None:
        while not stop.is_set():
            directory.announce(ADDRESSES)
            directory.announce({"api": "x:1"})

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        found = [find_server(tmp_path) for _ in range(2000)]
    finally:
        stop.set()
        thread.join()
        directory.close()
    assert {server and server["api"] for server in found} <= {"x:1", ADDRESSES["api"]}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("a file"), "File exists"),
        (lambda path: (path / LOCK_NAME).mkdir(parents=True), "Is a directory"),
    ],
)
def test_unusable_directory(tmp_path, make, reason):
    """A directory that cannot be used is one sentence with the reason and a way out."""
    path = tmp_path / "data"
    make(path)
    with pytest.raises(StoreError) as caught:
        acquire(path, "server")
    assert str(caught.value) == (
        f"cannot use the data directory {path}: {reason}; choose another with --data DIR"
    )
    assert find_server(path) is None


@pytest.mark.skipif(not Path("/proc/1").exists(), reason="needs a file system without new files")
def test_read_only_place():
    """A place where nothing can be made is one sentence too."""
    with pytest.raises(StoreError, match="cannot use the data directory /proc/headgate: "):
        acquire(Path("/proc/headgate"), "server")


def test_broken_lock_text(tmp_path):
    """A lock file that holds anything but a JSON object says nothing about its owner."""
    directory = acquire(tmp_path, "server")
    for text in (b"", b"\xff\xfe", b"[1]", b'{"api":'):
        (tmp_path / LOCK_NAME).write_bytes(text)
        assert find_server(tmp_path) is None
        with pytest.raises(StoreBusy, match=r"process unknown \(starting\)"):
            acquire(tmp_path, "report", sleep=lambda _: None)
    directory.close()


def test_default_data_directory():
    """HEADGATE_DATA wins, then XDG_DATA_HOME, then the home directory; empty means unset."""
    home = Path("~/.local/share/headgate").expanduser()
    assert default_data_directory({"HEADGATE_DATA": "/a", "XDG_DATA_HOME": "/b"}) == Path("/a")
    assert default_data_directory({"HEADGATE_DATA": "", "XDG_DATA_HOME": "/b"}) == Path(
        "/b/headgate"
    )
    assert default_data_directory({}) == home


def test_scratch_begins_empty(tmp_path):
    """Temporary files that a crash left behind are gone at the next start, and nobody else may look."""
    owned = acquire(tmp_path, "server")
    (owned.scratch() / "left.raw").write_bytes(b"rows")
    scratch = owned.scratch()
    owned.close()
    assert list(scratch.iterdir()) == []
    assert scratch.stat().st_mode & 0o077 == 0


def test_what_is_made_is_its_owners_only(tmp_path):
    """It holds who used what; a directory that is there keeps its mode, as whoever made it may share it."""
    acquire(tmp_path / "new" / "data", "server").close()
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o750)
    acquire(shared, "server").close()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o750
