"""ClickHouse fails in every way while data comes in: nothing acknowledged is lost or doubled, and all recovers."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from spans import PATIENT, QUICK, accept, check_books, pipeline, request, wait_until

from headgate.collector.errors import Retryable
from headgate.collector.plan import mark_inserted, read_plan, write_plan
from headgate.collector.signals import Signal
from headgate.store import server_store

LONG = os.environ.get("HEADGATE_FAULTS") == "long"
MIB = 1 << 20
BACKLOG_BYTES = (1024 if LONG else 12) * MIB
NOISE_BYTES = 200_000
FAILURES = ("refuses", "resets", "hangs", "forgets", "vanishes", "busy")


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "data" / "journal"


@pytest.fixture
def begin(journal):
    """Return a function that starts a pipeline into a store; closed at the end."""
    begun = []

    def start(store, limits=QUICK):
        begun.append(pipeline(store, journal, limits))
        begun[-1]._delivery._retry_s, begun[-1]._delivery._retry_max_s = 0.01, 0.1
        return begun[-1]

    yield start
    for one in begun:
        one.close(0)


@pytest.mark.parametrize("failure", FAILURES)
def test_an_outage_loses_and_doubles_nothing(begin, remote, clickhouse, store, failure):
    """Requests are acknowledged before, during and after it; all are stored once, without anybody's help."""
    pipe = begin(remote)
    accept(pipe, range(10))
    assert pipe.flush()
    clickhouse.turn(failure)
    for number in range(10, 30):
        accept(pipe, [number, 1000 + number], days=3)
    clickhouse.wait_for_failures(1 if failure == "hangs" else 3)
    assert not pipe.flush(0.1)
    clickhouse.turn("works")
    for number in range(30, 40):
        accept(pipe, [number])
    assert pipe.flush()
    check_books(store, [*range(40), *range(1010, 1030)])


def test_every_insert_may_be_the_one_whose_answer_is_lost(begin, remote, clickhouse, store):
    """At each block of a segment in turn it is committed and not answered, and once more after a restart."""
    numbers: list[int] = []
    for position in range(7):  # as many blocks as such a segment has
        pipe = begin(remote, PATIENT)
        numbers += [10 * position, 10 * position + 1]
        accept(pipe, numbers[-2:], days=2)
        clickhouse.work_for(position, "vanishes")
        pipe._journal.seal()
        clickhouse.wait_for_failures(1)
        pipe.close(0)
        clickhouse.work_for(0, "vanishes")
        again = begin(remote)
        clickhouse.wait_for_failures(1)
        clickhouse.turn("works")
        assert again.flush()
        assert again.close(10)
    check_books(store, numbers)
    tables = {token.split("/")[1] for token in clickhouse.inserts}
    assert len(tables) == 7


def test_a_store_that_is_away_at_the_start(begin, journal, clickhouse, store):
    """Its port is closed when the collector begins: requests are taken, and stored by whoever comes next."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = server_store(f"http://127.0.0.1:{port}/{store.database}")
    pipe = begin(away)
    for number in range(10):
        accept(pipe, [number])
        accept(pipe, [number])
    assert not pipe.flush(0.3)
    assert not pipe.close(0.1)
    again = begin(server_store(f"http://127.0.0.1:{clickhouse.port}/{store.database}"))
    accept(again, [5])
    assert again.flush()
    check_books(store, range(10))


def test_memory_stays_bounded_while_the_store_is_away(begin, remote, clickhouse, store):
    """Segments move to disk: requests go on being taken far beyond what memory may hold, and all are stored."""
    limits = replace(QUICK, segment_bytes=1 << 20, memory_bytes=2 << 20)
    pipe = begin(remote, limits)
    clickhouse.turn("refuses")
    for number in range(50):
        accept(pipe, [number], filling=200_000)  # ten megabytes
        assert pipe.room.used <= limits.memory_bytes
    held = sum(s.contents is not None for s in pipe._waiting)
    assert 0 < held < len(pipe._waiting)
    clickhouse.turn("works")
    assert pipe.flush()
    assert pipe.room.used == 0
    check_books(store, range(50))


def test_overload_is_refused_and_told_when_to_come_back(begin, remote, clickhouse, store):
    """More than fits is refused with Retryable; nothing of it is counted or stored, the rest is."""
    pipe = begin(remote, replace(PATIENT, memory_bytes=1 << 20))
    outcomes: dict[int, Retryable | None] = {}

    def work(base):
        for number in range(base, base + 30):
            try:
                accept(pipe, [number], filling=200_000)
            except Retryable as error:
                outcomes[number] = error
            else:
                outcomes[number] = None

    clickhouse.turn("hangs")
    threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [error for error in outcomes.values() if error]
    assert refused
    assert {1 <= error.retry_after_s <= 3 for error in refused} == {True}
    clickhouse.turn("works")
    assert pipe.flush()
    taken = [number for number, error in outcomes.items() if error is None]
    check_books(store, taken)
    assert pipe.books.received[Signal.TRACES] == pipe.books.stored[Signal.TRACES] == len(taken)


def test_a_full_journal_pushes_back_until_the_store_is_there(begin, remote, clickhouse, store):
    """Refused when full, taken again by itself once segments are stored and removed."""
    pipe = begin(remote, replace(QUICK, segment_bytes=50_000, journal_bytes=30_000))
    clickhouse.turn("refuses")
    taken = []

    def fill():
        for number in range(10_000):
            accept(pipe, range(20 * number, 20 * number + 20))
            taken.extend(range(20 * number, 20 * number + 20))

    with pytest.raises(Retryable, match="full"):
        fill()
    clickhouse.turn("works")
    assert pipe.flush()
    wait_until(lambda: pipe.backlog_bytes == 0 or pipe._releaser.release(pipe._clock_ns()))
    accept(pipe, [10**9])
    assert pipe.flush()
    check_books(store, [*taken, 10**9])


def test_a_backlog_does_not_keep_new_data_waiting(begin, remote, clickhouse, store):
    """A start with segments waiting takes requests at once, while the store is still away."""
    pipe = begin(remote, PATIENT)
    clickhouse.turn("refuses")
    for number in range(10):
        accept(pipe, [number], filling=100_000)
        pipe._journal.seal()
    pipe.close(0)
    again = begin(remote)
    accept(again, [100])
    assert len(again._waiting) >= 10
    clickhouse.turn("works")
    assert again.flush()
    check_books(store, [*range(10), 100])


def noisy(number: int) -> bytes:
    """Return a request of one span that does not compress."""
    message = ExportTraceServiceRequest.FromString(request([number]))
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="noise").value.bytes_value = os.urandom(NOISE_BYTES)
    return message.SerializeToString()


@pytest.mark.timeout(1200 if LONG else 180)
def test_a_large_backlog_drains_while_new_data_is_taken(begin, remote, clickhouse, store):
    """A gibibyte in the long form: requests are taken from the first moment on, and all of it is stored once."""
    pipe = begin(remote, PATIENT)
    clickhouse.turn("refuses")
    number = 0
    while pipe.backlog_bytes < BACKLOG_BYTES:
        pipe.accept(Signal.TRACES, noisy(number)).result(20)
        number += 1
    pipe.close(0)
    again = begin(remote, replace(QUICK, memory_bytes=80 * MIB))
    clickhouse.turn("works")
    taken = 0
    while again.backlog_bytes > BACKLOG_BYTES // 2:
        accept(again, [10**9 + taken])
        taken += 1
        assert again.room.used < 80 * MIB
    assert taken, "nothing came in while it drained"
    assert again.flush(600)
    check_books(store, [*range(number), *range(10**9, 10**9 + taken)])


def test_an_upgrade_finishes_what_an_earlier_version_planned(begin, remote, clickhouse, store):
    """A segment half inserted and one untouched, both with plans: each row is stored once, under the tokens planned."""
    pipe = begin(remote, PATIENT)
    for numbers in ([1, 2, 3], [4, 5]):
        accept(pipe, numbers)
        pipe._journal.seal()
        clickhouse.work_for(2, "refuses")
        clickhouse.wait_for_failures(1)
    pipe.close(0)
    plans = sorted(pipe._journal._directory.glob("*.plan"))
    assert plans, "nothing was planned"
    for path in plans:
        found = read_plan(path)
        assert found is not None
        earlier, inserted = found
        write_plan(path, replace(earlier, code="an earlier version"))
        for _ in range(inserted):
            mark_inserted(path)
    sent_before = len(clickhouse.inserts)
    clickhouse.turn("works")
    again = begin(remote)
    assert again.flush()
    check_books(store, [1, 2, 3, 4, 5])
    assert again.quarantine.count == 0
    assert not set(clickhouse.inserts[:sent_before]) & set(clickhouse.inserts[sent_before:])


def test_two_collectors_with_copies_of_a_journal(remote, store, tmp_path, clickhouse):
    """A directory that was copied and is delivered twice at the same time is stored once."""
    first = pipeline(remote, tmp_path / "a" / "journal", PATIENT)
    clickhouse.turn("refuses")
    for number in range(20):
        accept(first, [number])
        if number % 4 == 3:
            first._journal.seal()
    first.close(0)
    (tmp_path / "b" / "journal").mkdir(parents=True)
    for path in (tmp_path / "a" / "journal").glob("*.journal"):
        (tmp_path / "b" / "journal" / path.name).write_bytes(path.read_bytes())
    clickhouse.turn("works")
    both = [pipeline(remote, tmp_path / name / "journal") for name in ("a", "b")]
    for one in both:
        assert one.flush()
        assert one.close(10)
    check_books(store, range(20))
