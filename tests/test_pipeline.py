"""What is acknowledged is stored, exactly once, whatever happens in between; what is refused is told so and counted."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from concurrent.futures import Future, wait
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from spans import (
    MINUTE,
    NOW,
    PATIENT,
    QUICK,
    accept,
    check_books,
    ledger,
    pipeline,
    request,
    wait_until,
)

from headgate.collector.errors import Malformed, Retryable
from headgate.collector.filling import Filling, Limits
from headgate.collector.journal import Journal
from headgate.collector.process import Request
from headgate.collector.retransmission import REMEMBER_NS
from headgate.collector.signals import Signal
from headgate.collector.warmup import warm_up


@pytest.fixture(scope="module", autouse=True)
def kernels():
    """Compile before anything is timed."""
    warm_up()


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "data" / "journal"


@pytest.fixture
def begin(store, journal):
    """Return a function that starts a pipeline on the same store and journal; closed at the end."""
    begun = []

    def start(**options):
        begun.append(pipeline(store, journal, **options))
        return begun[-1]

    yield start
    for one in begun:
        one.close(0)


def crash(pipe):
    """Leave the journal as a kill would: nothing more is stored, sealed or released."""
    pipe._releaser.release = lambda now_ns: None
    pipe._delivery.stop()
    with pipe._changed:
        pipe._finished = True
        pipe._changed.notify_all()
    pipe._thread.join(10)


def segments(journal):
    return sorted(journal.glob("*.journal"))


def test_flush_shows_everything_acknowledged(begin, store):
    """Rows, rollups and ledger have it when flush returns, also for many threads at once."""
    pipe = begin(limits=PATIENT)

    def work(base):
        for number in range(base, base + 20):
            accept(pipe, [number])
            if number % 10 == 0:
                assert pipe.flush()
                found = store.client().query("SELECT count() FROM otel_traces").result_rows
                assert found[0][0] >= number - base + 1

    threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pipe.flush()
    numbers = [1000 * i + j for i in range(4) for j in range(20)]
    check_books(store, numbers)
    assert pipe.books.received == pipe.books.stored == {Signal.TRACES: len(numbers)}


def test_flush_of_nothing_is_immediate(begin, journal):
    """A report about an idle collector waits for nothing and writes nothing."""
    pipe = begin(limits=PATIENT)
    for _ in range(100):
        assert pipe.flush(0.5)
    assert list(journal.iterdir()) == []


@pytest.mark.parametrize("sealed", [False, True])
def test_acknowledged_before_a_crash_is_stored_after_it(begin, store, sealed):
    """What was acknowledged and not yet stored is found by the next process, in sealed segments and the open one."""
    first = begin(limits=PATIENT)
    crash(first)
    for number in range(10):
        accept(first, [number, 100 + number])
        if sealed:
            first._journal.seal()
    second = begin(limits=QUICK)
    assert second.flush()
    check_books(store, [*range(10), *range(100, 110)])


def test_stored_before_a_crash_is_not_stored_again(begin, store, journal):
    """Segments that a crash left behind after their rows were inserted double nothing, however often that happens."""

    def not_now():
        raise OSError("the disk does not answer")

    numbers = []
    for restart in range(4):
        pipe = begin(limits=QUICK, make_durable=not_now)
        numbers += [restart, 100 + restart]
        accept(pipe, numbers[-2:], days=40)
        assert pipe.flush()
        check_books(store, numbers)
        crash(pipe)
    assert len(segments(journal)) == 4
    pipe = begin(limits=QUICK)
    assert pipe.flush()
    check_books(store, numbers)


def test_a_wiped_journal_doubles_and_loses_nothing(begin, store, journal):
    """A directory that begins anew uses ids that were never used: its rows are not taken for old ones."""
    for attempt in range(3):
        pipe = begin()
        accept(pipe, [attempt])
        assert pipe.flush()
        assert pipe.close(10)
        for path in journal.iterdir():
            path.unlink()
    check_books(store, range(3))


def test_a_restored_journal_doubles_nothing(begin, store, journal, tmp_path):
    """Segments put back from a copy, after they were delivered, are recognised by their tokens."""
    pipe = begin(limits=PATIENT)
    crash(pipe)
    accept(pipe, [1, 2, 3])
    pipe._journal.close()
    (segment,) = segments(journal)
    copy = segment.read_bytes()
    for _ in range(3):
        again = begin()
        assert again.flush()
        assert again.close(10)
        assert segments(journal) == []
        segment.write_bytes(copy)
    again = begin()
    assert again.flush()
    check_books(store, [1, 2, 3])


def test_a_retransmission_is_dropped_and_counted(begin, store):
    """The same bytes again are acknowledged and not stored: at once, after storing, and after two crashes in a row."""
    body = request([1, 2])
    pipe = begin()
    pipe.accept(Signal.TRACES, body).result(20)
    pipe.accept(Signal.TRACES, body).result(20)
    assert pipe.flush()
    pipe.accept(Signal.TRACES, body).result(20)
    assert pipe.flush()
    assert check_books(store, [1, 2])["Duplicate"] == 4
    assert pipe.books.received == {Signal.TRACES: 6}
    assert pipe.books.stored == {Signal.TRACES: 2}
    assert pipe.books.duplicate == {Signal.TRACES: 4}
    for _ in range(2):
        crash(pipe)
        pipe = begin()
        pipe.accept(Signal.TRACES, body).result(20)
        accept(pipe, [3])
        assert pipe.flush()
    books = check_books(store, [1, 2, 3])
    assert books["Duplicate"] == 4 + 2 + 3


def test_a_retransmission_after_release_and_crash_is_dropped(begin, store, journal):
    """Once its segment is removed, the digest log still knows the request."""
    now = [NOW]
    pipe = begin(clock_ns=lambda: now[0])
    accept(pipe, [1])
    assert pipe.flush()
    now[0] += MINUTE
    wait_until(lambda: not segments(journal))
    for restart in range(3):
        crash(pipe)
        pipe = begin(clock_ns=lambda: now[0])
        accept(pipe, [1])
        assert pipe.books.duplicate[Signal.TRACES] == 1, restart
    now[0] = NOW + REMEMBER_NS + 1
    accept(pipe, [1])
    assert pipe.books.duplicate[Signal.TRACES] == 1, "ten minutes have passed"


def test_a_retransmission_gives_back_what_its_receiver_held(begin):
    """Otherwise the room fills up with requests that are stored once only."""
    pipe = begin()
    body = request([1, 2])
    for _ in range(3):
        pipe.room.take(len(body))
        pipe.accept(Signal.TRACES, body, held=len(body)).result(20)
    assert pipe.flush()
    assert pipe.room.used == 0


def test_what_was_left_out_is_told_after_a_crash_too(begin, store):
    """With the good items, and not when the segment is due: nothing else would know of it then."""
    pipe = begin(limits=PATIENT)
    sent = ExportTraceServiceRequest.FromString(request([1, 2, 3]))
    sent.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    partial = pipe.accept(Signal.TRACES, sent.SerializeToString()).result(20)
    assert partial.rejected == 1
    wait_until(lambda: not pipe.books.pending)
    crash(pipe)
    again = begin(limits=QUICK)
    assert again.flush()
    assert ledger(store) == {
        "Received": 3, "Stored": 2, "SampledOut": 0, "Rejected": 1, "Duplicate": 0
    }  # fmt: skip


def bad(names):
    """Return a request of one span a service, each with a trace id that is none."""
    made = ExportTraceServiceRequest()
    for name in names:
        batch = made.resource_spans.add()
        batch.resource.attributes.add(key="service.name").value.string_value = name
        batch.scope_spans.add().spans.add(trace_id=b"short", span_id=b"8 bytes.")
    return made.SerializeToString()


def test_services_of_bad_items_are_limited_like_others(begin, store):
    """A sender of bad items cannot fill the ledger with names: beyond a thousand an hour they are `__other__`."""
    clock = [NOW]
    pipe = begin(limits=PATIENT, clock_ns=lambda: clock[0])
    sent = [[f"service {number}" for number in range(1003)], ["service 7"], ["x" * 2000]]
    for names in sent:
        with pytest.raises(Malformed, match="not taken"):
            pipe.accept(Signal.TRACES, bad(names))
    clock[0] += 3600 * 10**9
    with pytest.raises(Malformed, match="not taken"):
        pipe.accept(Signal.TRACES, bad(["service 1002"]))
    assert pipe.flush()
    found = store.client().query(
        "SELECT ServiceName, sum(Rejected), sum(Other) FROM ledger GROUP BY ServiceName"
    )
    books = {name: (rejected, other) for name, rejected, other in found.result_rows}
    assert len(books) == 1002
    assert books["__other__"] == (4, 4)
    assert books["service 7"] == (2, 0)
    assert books["service 1002"] == (1, 0), "in another hour"


def test_storing_waits_for_what_cannot_be_released(begin, store):
    """ClickHouse forgets old tokens: no more is stored than a restart could repeat under tokens it remembers."""
    clock = [NOW]
    broken = True

    def make_durable():
        if broken:
            raise OSError("the disk does not answer")

    pipe = begin(
        limits=replace(QUICK, segment_items=1),
        make_durable=make_durable,
        clock_ns=lambda: clock[0],
    )
    pipe._releaser._many = 2
    for number in range(8):
        accept(pipe, [number])
        pipe._journal.seal()
    wait_until(lambda: pipe._releaser.behind)
    assert not pipe.flush(1.0)
    assert pipe.waiting_segments > 0
    assert len(pipe._releaser._stored) == 4
    broken = False
    clock[0] += 10 * 10**9
    assert pipe.flush()
    check_books(store, range(8))


def test_requests_without_identity_are_never_dropped(begin, store):
    """Items without ids and times, and requests without items, may come twice and mean it."""
    pipe = begin()
    message = ExportLogsServiceRequest()
    message.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "no time"
    bare = message.SerializeToString()
    for _ in range(2):
        pipe.accept(Signal.LOGS, bare).result(20)
        pipe.accept(Signal.TRACES, b"").result(20)
    assert pipe.flush()
    assert pipe.books.duplicate.total() == 0
    assert store.client().query("SELECT count() FROM otel_logs").result_rows == [(2,)]


def test_a_retry_joins_the_original_that_is_being_written(begin, store, monkeypatch):
    """Both get the one outcome; when it is a refusal, nothing was received, and the third attempt is stored."""
    pipe = begin()
    go_on, fails = threading.Event(), [True]
    real = pipe._journal._commit

    def slow(group):
        if group:
            go_on.wait(20)
            if fails.pop():
                for one in group:
                    one.done(Retryable("no"))
                fails.append(False)
                return
            fails.append(False)
        real(group)

    monkeypatch.setattr(pipe._journal, "_commit", slow)
    body = request([1])
    original, retry = pipe.accept(Signal.TRACES, body), pipe.accept(Signal.TRACES, body)
    assert retry is original
    assert not original.done()
    go_on.set()
    with pytest.raises(Retryable):
        retry.result(20)
    assert +pipe.books.received == +pipe.books.duplicate == {}
    pipe.accept(Signal.TRACES, body).result(20)
    pipe.accept(Signal.TRACES, body).result(20)
    assert pipe.flush()
    assert check_books(store, [1])["Duplicate"] == 1


def test_a_client_that_hangs_up_does_no_harm(begin, store):
    """An outcome cannot be cancelled: the request is stored, and so is everybody else's."""
    pipe = begin()
    for number in range(20):
        pipe.accept(Signal.TRACES, request([number])).cancel()
    accept(pipe, [100])
    assert pipe.flush()
    check_books(store, [*range(20), 100])


def test_what_cannot_be_written_was_never_received(begin, monkeypatch):
    """While it is not durable, nothing is counted: a counter that goes down again is a restart for who reads it."""
    pipe = begin()
    seen = []

    def fail(_descriptor):
        seen.append(pipe.books.received[Signal.TRACES])
        raise OSError(errno.EIO, "the disk is broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(Retryable, match="cannot be written"):
            accept(pipe, [1, 2])
    assert seen == [0]
    assert pipe.books.received[Signal.TRACES] == 0
    assert pipe.room.used == 0, "a refused request holds nothing"
    accept(pipe, [1, 2])
    assert pipe.books.received[Signal.TRACES] == 2


def test_malformed_requests_are_counted(begin, store):
    """They are refused at once, neighbours are stored, and the ledger says so."""
    pipe = begin(limits=PATIENT)
    with pytest.raises(Malformed):
        pipe.accept(Signal.TRACES, b"\xff")
    accept(pipe, [1])
    with pytest.raises(Malformed):
        pipe.accept(Signal.LOGS, b"\xff")
    assert pipe.flush()
    check_books(store, [1], rejected=2)
    with pytest.raises(Malformed):
        pipe.accept(Signal.LOGS, b"\xff")
    assert pipe.close(20), "what is only counted is written too"
    assert ledger(store)["Rejected"] == 3


def test_what_was_refused_is_recorded_by_itself(begin, store):
    """Nothing good comes, nobody asks for a flush: the ledger tells of refusals within the age of a segment."""
    pipe = begin()
    with pytest.raises(Malformed):
        pipe.accept(Signal.TRACES, b"\xff")
    wait_until(lambda: ledger(store)["Rejected"] == 1)


def test_segments_are_sealed_by_items(begin, store):
    """A segment holds little more than its limit of items, without being asked."""
    pipe = begin(limits=replace(PATIENT, segment_items=100))
    for number in range(40):
        accept(pipe, range(10 * number, 10 * number + 10))
    wait_until(lambda: pipe._stored_count >= 4)
    check_books(store, range(400))


def test_segments_are_sealed_by_bytes(begin, store):
    """Bytes count as they are in memory, not as they compress: both must stay bounded."""
    pipe = begin(limits=replace(PATIENT, segment_bytes=1 << 20))
    for number in range(8):
        accept(pipe, [number], filling=300_000)
    wait_until(lambda: pipe._stored_count >= 2)
    check_books(store, range(8))


def test_a_segment_is_no_more_than_a_part_of_the_memory():
    """So that two of them, the one that is written and the one that is processed, leave room for what comes."""
    filling = Filling(Limits(segment_bytes=1 << 30, memory_bytes=7000))
    filling.add(Request(Signal.TRACES, bytes(1999), 1, NOW), 0.0)
    assert not filling.full
    filling.add(Request(Signal.TRACES, bytes(1), 1, NOW), 0.0)
    assert filling.full


@pytest.mark.parametrize(("many", "age"), [(3, "idle_age_s"), (50, "busy_age_s")])
def test_segments_are_sealed_by_age(begin, store, many, age):
    """Few items wait for one age, many for the other."""
    pipe = begin(limits=replace(PATIENT, busy_items=40, **{age: 0.2}))
    accept(pipe, range(many))
    wait_until(lambda: pipe._stored_count)
    check_books(store, range(many))


def test_close_stores_everything_and_refuses_the_rest(begin, store, journal):
    """Nothing is left in the journal but digests; who comes later is told to come back."""
    pipe = begin(limits=PATIENT)
    for number in range(10):
        accept(pipe, [number])
    assert pipe.close(20)
    with pytest.raises(Retryable):
        pipe.accept(Signal.TRACES, request([99]))
    check_books(store, range(10))
    assert {path.suffix for path in journal.iterdir()} == {".digests"}


def test_close_under_load_answers_everybody(begin, store):
    """Every request has an outcome, and exactly those that were acknowledged are stored."""
    pipe = begin()
    outcomes: dict[int, Future[None]] = {}
    begun = threading.Event()

    def work(base):
        for number in range(base, base + 2000):
            try:
                outcomes[number] = pipe.accept(Signal.TRACES, request([number]))
            except Retryable:
                return
            if number - base == 50:
                begun.set()

    threads = [threading.Thread(target=work, args=(10_000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    assert pipe.close(30)
    for thread in threads:
        thread.join()
    assert not wait(outcomes.values(), 10).not_done
    check_books(store, [number for number, outcome in outcomes.items() if not outcome.exception()])


def test_damage_costs_one_request(begin, store, journal, caplog):
    """After a byte of a waiting segment has flipped, its request is reported and put aside, the others are stored."""
    pipe = begin(limits=PATIENT)
    crash(pipe)
    for number in range(3):
        accept(pipe, [number, 10 + number])
    pipe._journal.close()
    (segment,) = segments(journal)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0x10
    segment.write_bytes(data)
    again = begin()
    assert again.flush()
    check_books(store, [0, 2, 10, 12])
    assert "are damaged" in caplog.text
    assert again.quarantine.count == 1
    accept(again, [1, 11])
    assert again.flush()
    check_books(store, [0, 1, 2, 10, 11, 12]), "whose request was lost may send it again"


def test_a_segment_that_vanishes_stops_nothing(begin, store, journal, caplog, monkeypatch):
    """It is reported; the other segments are stored."""
    pipe = begin(limits=PATIENT, clock_ns=itertools.count(NOW).__next__)
    crash(pipe)
    for number in range(3):
        accept(pipe, [number])
        pipe._journal.seal()
    pipe._journal.close()
    real = Journal.leftovers

    def losing(self):
        found = real(self)
        found[1].path.unlink()
        return found

    monkeypatch.setattr(Journal, "leftovers", losing)
    last = begin()
    assert last.flush()
    assert "has vanished before it was stored" in caplog.text
    check_books(store, [0, 2])


def test_a_torn_tail_is_cut(begin, store, journal):
    """A record that was being written when the machine went down is not delivered, and is taken when it comes again."""
    pipe = begin(limits=PATIENT)
    crash(pipe)
    accept(pipe, [1])
    accept(pipe, [2])
    pipe._journal.close()
    (segment,) = segments(journal)
    segment.write_bytes(segment.read_bytes()[:-1])
    again = begin()
    accept(again, [2])
    assert again.flush()
    assert check_books(store, [1, 2])["Duplicate"] == 0


def test_a_clock_set_back_shifts_and_doubles_nothing(begin, store):
    """Arrivals go back by hours between and within processes: order, retransmissions and release survive it."""
    now = [NOW]
    numbers = []
    for restart in range(3):
        pipe = begin(clock_ns=lambda: now[0])
        for step in range(5):
            number = 10 * restart + step
            accept(pipe, [number])
            accept(pipe, [number])
            numbers.append(number)
            now[0] -= 3600 * 10**9
            accept(pipe, [number])
        assert pipe.flush()
        if restart:
            accept(pipe, [0])
            assert pipe.flush()
        crash(pipe)
    books = check_books(store, numbers)
    assert books["Duplicate"] == 2 * len(numbers) + 2


def test_release_waits_for_the_store_to_be_durable(begin, store, journal):
    """A segment is removed after `make_durable` has returned, never before; a failure is tried again without haste."""
    calls = []
    works = threading.Event()

    def make_durable():
        calls.append(len(segments(journal)))
        if not works.is_set():
            raise OSError("the disk does not answer")

    now = [NOW]
    pipe = begin(clock_ns=lambda: now[0], make_durable=make_durable)
    accept(pipe, [1])
    assert pipe.flush()
    assert calls == []
    now[0] += 3 * 10**9
    wait_until(lambda: calls)
    threading.Event().wait(1.2)
    assert calls == [1], "and not again before its time"
    works.set()
    now[0] += 3 * 10**9
    wait_until(lambda: not segments(journal) and pipe.backlog_bytes == 0)
    assert calls == [1, 1]
