"""The journal's guarantees: durable before it is said, whole records only, in order, bounded, and at rest when idle."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import threading
from pathlib import Path

import pytest

from headgate.collector.errors import Retryable
from headgate.collector.journal import Append, Journal, SegmentFile, read, read_digests
from headgate.collector.quarantine import Quarantine
from headgate.collector.record import FRAME_BYTES, TRACES, Record, pack


class Book:
    """A journal over a directory, with a clock and ids of its own, and what it reported."""

    def __init__(self, directory, limit_bytes=1 << 30, reserve_bytes=0, start=1):
        self.directory = directory
        self.quarantine = Quarantine(directory / "quarantine")
        self.sealed: list[SegmentFile] = []
        self.results: dict[int, SegmentFile | Retryable] = {}
        self._told = threading.Condition()
        clock = itertools.count(start)
        self.journal = Journal(
            directory,
            clock_ns=lambda: next(clock),
            new_id=lambda: os.urandom(16).hex(),
            limit_bytes=limit_bytes,
            reserve_bytes=reserve_bytes,
            sealed=self._seal,
        )

    def _seal(self, segment):
        with self._told:
            self.sealed.append(segment)
            self._told.notify_all()

    def append(self, number: int, body: bytes = b"body", then=lambda result: None):
        """Append record `number`; `then` is called in the journal's thread with its result."""

        def done(result):
            then(result)
            with self._told:
                self.results[number] = result
                self._told.notify_all()

        record = Record(TRACES, number, 1, number.to_bytes(16, "big"), body)
        self.journal.append(Append(pack(record), 1, done))

    def told(self, numbers) -> list[SegmentFile | Retryable]:
        """Wait for the results of these records and return them."""
        with self._told:
            assert self._told.wait_for(lambda: set(numbers) <= set(self.results), 20)
            return [self.results[number] for number in numbers]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def wait_sealed(self, count: int) -> None:
        with self._told:
            assert self._told.wait_for(lambda: len(self.sealed) >= count, 20)

    def numbers(self, segment) -> list[int]:
        """Return the numbers of the records in a segment's file."""
        return [record.arrival_ns for record in read(segment, self.quarantine)]


@pytest.fixture
def book(tmp_path):
    book = Book(tmp_path / "journal")
    book.journal.start()
    yield book
    book.journal.close()


@pytest.fixture
def syncs(monkeypatch):
    """Return the sizes of the files synced, in order; the sync itself is done."""
    sizes: list[int] = []
    real = os.fdatasync

    def counted(descriptor):
        real(descriptor)
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", counted)
    return sizes


@pytest.fixture
def small_disk(tmp_path):
    """Yield a directory on a disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_nothing_is_called_done_before_it_is_on_disk(book, syncs):
    """When a record's sender is told, the record can be read back and the file was synced behind it."""
    seen = []

    def then(segment):
        seen.append((book.numbers(segment), segment.size, syncs[-1]))

    for number in range(50):
        book.append(number, then=then)
        book.told([number])
    for number, (found, size, synced) in enumerate(seen):
        assert number in found
        assert synced >= size == (number + 1) * (size // (number + 1))


def test_records_that_wait_are_synced_together(book, syncs):
    """What arrives while the disk is busy shares the next sync."""
    busy, go_on = threading.Event(), threading.Event()

    def block(_):
        busy.set()
        go_on.wait(20)

    book.append(0, then=block)
    assert busy.wait(20)
    for number in range(1, 201):
        book.append(number)
    go_on.set()
    results = book.told(range(201))
    assert len(syncs) == 2
    assert book.numbers(results[0]) == list(range(201)), "in the order of their arrival"


def test_many_threads_lose_nothing(book):
    """Appends and seals from many threads: each record is in one segment, in its thread's order."""

    def work(base):
        for number in range(base, base + 100):
            book.append(number)
            if number % 10 == 0:
                book.journal.seal()

    threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [1000 * i + j for i in range(8) for j in range(100)]
    book.told(everything)
    book.journal.seal()
    book.append(10_000)
    book.told([10_000])
    found = [number for segment in book.sealed for number in book.numbers(segment)]
    assert sorted(found) == everything
    for base in range(0, 8000, 1000):
        mine = [number for number in found if base <= number < base + 1000]
        assert mine == sorted(mine)
    sizes = sum(segment.size for segment in [*book.sealed, book.results[10_000]])
    assert book.journal.backlog_bytes == sizes
    for segment in list(book.sealed):
        assert segment.items == len(book.numbers(segment))
        book.journal.release(segment)
    assert book.journal.backlog_bytes == book.results[10_000].size


def test_sealing_cuts_between_what_was_before_and_after(book):
    """A seal closes what was appended before it; one without anything to close does nothing."""
    book.journal.seal()
    book.append(1)
    book.append(2)
    book.journal.seal()
    book.journal.seal()
    book.append(3)
    book.journal.seal()
    book.wait_sealed(2)
    assert [book.numbers(segment) for segment in book.sealed] == [[1, 2], [3]]


def test_closing_seals_and_refuses_what_comes_later(tmp_path):
    """What was appended before is written and sealed; what comes after is refused at once and not forgotten."""
    book = Book(tmp_path)
    book.journal.start()
    for number in range(20):
        book.append(number)
    book.journal.close()
    book.append(99)
    assert [book.numbers(segment) for segment in book.sealed] == [list(range(20))]
    assert isinstance(book.results[99], Retryable)
    assert not book.journal._thread.is_alive()


def test_closing_under_fire_answers_everybody(tmp_path):
    """Whoever appends while the journal closes is told either that it is written or that it is not."""
    book = Book(tmp_path)
    book.journal.start()
    begun = threading.Event()

    def work(base):
        for number in range(base, base + 300):
            book.append(number)
            begun.set()

    threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(20)
    book.journal.close()
    for thread in threads:
        thread.join()
    results = book.told([1000 * i + j for i in range(4) for j in range(300)])
    written = sum(isinstance(result, SegmentFile) for result in results)
    assert sum(len(book.numbers(segment)) for segment in book.sealed) == written


def test_a_full_journal_refuses_and_recovers(tmp_path):
    """Beyond its limit senders are told to come back; released segments make room."""
    book = Book(tmp_path, limit_bytes=5000)
    book.journal.start()
    for number in range(4):
        book.append(number, os.urandom(1000))
        book.told([number])
    book.append(4, os.urandom(1000))
    (refused,) = book.told([4])
    assert isinstance(refused, Retryable)
    assert 1 <= refused.retry_after_s <= 3
    assert "full" in str(refused)
    book.journal.seal()
    book.wait_sealed(1)
    assert book.numbers(book.sealed[0]) == [0, 1, 2, 3]
    book.journal.release(book.sealed[0])
    book.append(5, os.urandom(1000))
    assert isinstance(book.told([5])[0], SegmentFile)
    book.journal.close()


def test_leftovers_come_back_oldest_first(tmp_path):
    """Another process finds every segment, torn or whole, in order, and nothing else that lies there."""
    book = Book(tmp_path)
    book.journal.start()
    for number in range(5):
        book.append(number)
        book.journal.seal()
    book.wait_sealed(5)
    book.journal.close()
    (tmp_path / f"7-{'0' * 32}.journal").touch()
    (tmp_path / "stray.journal").write_bytes(b"not ours")
    (tmp_path / f"8-{'1' * 32}.plan").touch()
    kept_plan = book.sealed[0].plan_path
    kept_plan.touch()
    torn = book.sealed[-1]
    torn.path.write_bytes(torn.path.read_bytes()[:-1])

    again = Book(tmp_path, start=100)
    found = again.journal.leftovers()
    assert [segment.id for segment in found] == [segment.id for segment in book.sealed]
    assert [again.numbers(segment) for segment in found] == [[0], [1], [2], [3], []]
    assert [[at for at, _ in read_digests(segment)] for segment in found[3:]] == [[3], []]
    assert again.journal.backlog_bytes == sum(segment.size for segment in found)
    assert sorted(p.name for p in tmp_path.glob("*.plan")) == [kept_plan.name]
    assert (tmp_path / "stray.journal").exists()
    assert len(list(tmp_path.glob("*.journal"))) == 6


def test_damage_is_put_aside_and_reported(tmp_path, caplog):
    """A flipped byte costs its record, which is kept as a file; the log names file and position."""
    book = Book(tmp_path)
    book.journal.start()
    for number in range(3):
        book.append(number)
    book.journal.close()
    segment = book.sealed[0]
    data = bytearray(segment.path.read_bytes())
    one = len(data) // 3
    data[one + FRAME_BYTES + 2] ^= 0xFF
    segment.path.write_bytes(data)
    assert book.numbers(segment) == [0, 2]
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert kept.read_bytes() == data[one : 2 * one]
    assert f"{segment.path.name}: bytes {one} to {2 * one} are damaged" in caplog.text
    assert book.quarantine.count == 1


def test_an_idle_journal_rests(book, syncs):
    """Without appends there is neither a file nor a sync nor a thread that wakes up."""
    book.append(1)
    book.journal.seal()
    book.wait_sealed(1)
    before = len(syncs), book.files()
    idle = os.times()
    threading.Event().wait(1.0)
    spent = os.times()
    assert (len(syncs), book.files()) == before
    assert spent.user + spent.system - idle.user - idle.system < 0.5


def test_a_disk_that_is_full_refuses_and_recovers(small_disk):
    """Senders are told to come back, the file has whole acknowledged records only, and room makes it go on."""
    book = Book(
        small_disk / "journal", reserve_bytes=-(1 << 30)
    )  # not even looking, so that writes fail
    book.journal.start()
    for number in range(100):
        book.append(number, os.urandom(50_000))
        book.told([number])
    results = book.told(range(100))
    refused = {n for n, result in enumerate(results) if isinstance(result, Retryable)}
    assert 0 in set(range(100)) - refused
    assert 99 in refused
    assert "No space" in str(results[99])
    book.append(100, b"tiny")
    book.told([100])
    book.journal.seal()
    book.journal.close()
    stored = [number for segment in book.sealed for number in book.numbers(segment)]
    accepted = [n for n, result in book.results.items() if isinstance(result, SegmentFile)]
    assert stored == accepted
    assert not (small_disk / "journal" / "quarantine").exists(), "no torn record was left"

    again = Book(small_disk / "journal", start=1000)
    for segment in again.journal.leftovers():
        again.journal.release(segment)
    again.journal.start()
    again.append(1, os.urandom(50_000))
    assert isinstance(again.told([1])[0], SegmentFile)
    again.journal.close()


def test_room_is_kept_for_what_makes_room(small_disk):
    """The journal stops before the disk is full: digests and plans must still be written to release anything."""
    book = Book(small_disk / "journal", reserve_bytes=300_000)
    book.journal.start()
    for number in range(100):
        book.append(number, os.urandom(20_000))
        book.told([number])
    assert isinstance(book.results[99], Retryable)
    assert "make room" in str(book.results[99])
    disk = os.statvfs(small_disk)
    assert 300_000 - 4096 <= disk.f_bavail * disk.f_frsize < 330_000
    assert len(book.sealed) == 1, "what is there was sealed, so that it can be stored and removed"
    book.journal.release(book.sealed[0])
    book.append(100, os.urandom(20_000))
    assert isinstance(book.told([100])[0], SegmentFile)
    book.journal.close()


def test_a_failing_sync_refuses_the_group_and_leaves_the_file(book, monkeypatch):
    """After a sync that failed nothing of the group is in the file, and nothing more is written to it."""
    book.append(1)
    book.told([1])

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        book.append(2)
        assert isinstance(book.told([2])[0], Retryable)
    book.append(3)
    (segment,) = book.told([3])
    assert [book.numbers(one) for one in book.sealed] == [[1]]
    assert book.numbers(segment) == [3]
    assert book.sealed[0].path.stat().st_size == book.sealed[0].size
    assert book.journal.backlog_bytes == book.sealed[0].size + segment.size


def test_a_directory_that_cannot_be_synced_leaves_no_file(book, monkeypatch):
    """A segment whose name is not durable is not used, and neither file nor descriptor stays behind."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("headgate.collector.journal.sync_directory", fail)
        for number in range(5):
            book.append(number)
            assert isinstance(book.told([number])[0], Retryable)
    assert book.files() == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    book.append(9)
    assert isinstance(book.told([9])[0], SegmentFile)


def test_a_group_larger_than_a_write_is_written_whole(book, monkeypatch):
    """The system may take less than it is given: the rest follows."""
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:1000], at))
    book.append(1, os.urandom(10_000))
    (segment,) = book.told([1])
    assert book.numbers(segment) == [1]
