"""A segment is delivered whole and once, by its plan; what cannot be delivered is put aside and harms nobody else."""

from __future__ import annotations

import itertools
import os
import threading
import time
from dataclasses import replace

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from spans import NOW, check_books, ledger, request, writes_fail_after

from headgate.collector import delivery, engine, plan, writer
from headgate.collector.block import Block
from headgate.collector.delivery import Delivery
from headgate.collector.errors import Permanent, Retryable
from headgate.collector.journal import SegmentFile
from headgate.collector.ledger import Entry
from headgate.collector.plan import Plan, mark_inserted, read_plan, write_plan
from headgate.collector.policy import Policy
from headgate.collector.process import Request, process, process_sampled
from headgate.collector.quarantine import Quarantine
from headgate.collector.rules import NS_PER_DAY, Identity, Rules
from headgate.collector.sampling import Sampler
from headgate.collector.segment import Segment
from headgate.collector.signals import Signal
from headgate.collector.warmup import warm_up
from headgate.store import StoreError

RULES = Rules(oldest_ns=120 * NS_PER_DAY)
COUNT_EVENTS = "SELECT count() FROM events"


class Deliverer:
    """Deliveries into a store, segment by segment, each attempt as after a restart."""

    def __init__(self, store, directory):
        self._store = store
        self._directory = directory
        self.quarantine = Quarantine(directory / "quarantine")

    def segment(self, *numbers_of_requests, entries=(), **shape) -> Segment:
        requests = [
            Request(Signal.TRACES, request(numbers, **shape), len(numbers), NOW)
            for numbers in numbers_of_requests
        ]
        identity = os.urandom(16).hex()
        path = self._directory / f"{NOW}-{identity}.journal"
        path.write_bytes(b"segment")
        return Segment(SegmentFile(path, identity, 7), (requests, list(entries)))

    def sampler(self, policy=None):
        return Sampler(
            self._directory,
            policy or Policy(),
            new_id=lambda: os.urandom(16).hex(),
            monotonic_s=time.monotonic,
        )

    def deliver(self, segment, policy=None, rules=RULES):
        sampler = self.sampler(policy)
        delivery_ = Delivery(self._store, self.quarantine, sampler, rules, retry_s=0.001)
        delivered = delivery_.deliver(segment)
        sampler.persist()
        return delivered

    def kept(self) -> list[str]:
        return sorted(path.name for path in (self._directory / "quarantine").iterdir())


@pytest.fixture(scope="module", autouse=True)
def kernels():
    """Compile before anything is timed."""
    warm_up()


@pytest.fixture
def deliverer(store, tmp_path):
    return Deliverer(store, tmp_path)


@pytest.fixture
def poison(monkeypatch):
    """Make processing fail for requests that hold these bytes, as a defect of ours would, for want of a real one."""
    marks = []

    def processing(requests, *how):
        if any(mark in one.body for mark in marks for one in requests):
            raise IndexError("a defect")
        return process_sampled(requests, *how)

    monkeypatch.setattr(delivery, "process_sampled", processing)
    return marks


def test_a_repeat_sends_nothing_again(deliverer, store):
    """However often a segment is delivered, its rows are there once: by its plan, and without it by its tokens."""
    segment = deliverer.segment([1, 2], [3], days=3)
    for _ in range(3):
        deliverer.deliver(segment)
        segment.file.plan_path.unlink()
        delivered = deliverer.deliver(segment)
    assert delivered.stored == {Signal.TRACES: 3}
    check_books(store, [1, 2, 3])


def test_a_segment_of_more_days_than_tokens_are_kept_is_resumed(deliverer, store, monkeypatch):
    """The first blocks' tokens are forgotten when the last block fails: the plan knows that they are stored."""
    for table in ("otel_traces", "events", "usage_minute", "otel_traces_trace_id_ts", "user_hour"):
        store.client().command(
            f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 60"
        )
    segment = deliverer.segment(range(120), days=120)
    real, left = delivery.insert_block, [10]

    def insert(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise SystemExit  # a kill
        real(*arguments)

    monkeypatch.setattr(delivery, "insert_block", insert)
    monkeypatch.setattr(engine, "_TOGETHER", 1)
    with pytest.raises(SystemExit):
        deliverer.deliver(segment)
    earlier = read_plan(segment.file.plan_path)
    assert earlier is not None
    assert earlier[1] == 10 < len(earlier[0].blocks)
    left[0] = 1000
    deliverer.deliver(segment)
    check_books(store, range(120))


def test_a_write_that_the_engine_does_not_tell_of_costs_no_rows(
    deliverer, store, monkeypatch, caplog
):
    """At each block of a segment in turn its parts, or its views', are cut off: in the end all is stored once."""
    for table in ("otel_traces", "otel_traces_trace_id_ts", "usage_minute", "user_hour"):
        # A table that was repaired merges again, and these rows are old.
        store.client().command(f"ALTER TABLE {table} REMOVE TTL")
    real, left = delivery.insert_block, [0]

    def insert(store, token, block):
        left[0] -= 1
        if left[0]:
            real(store, token, block)
        else:
            with writes_fail_after(len(block.data)):  # what is sent is a file, too
                real(store, token, block)

    monkeypatch.setattr(delivery, "insert_block", insert)
    position, fails = 0, []
    while left[0] <= 0:  # there was such a block in the last segment
        position += 1
        left[0] = position
        caplog.clear()
        deliverer.deliver(deliverer.segment(range(10 * position, 10 * position + 10), days=2))
        fails.append("they are inserted again" in caplog.text)
    assert fails == [True] * (position - 1) + [False]
    assert position > 7
    check_books(store, range(10, 10 * position + 10))


def test_after_the_machine_went_down_everything_is_sent_again(deliverer, store, monkeypatch):
    """What the plan says is stored may have been lost with the machine: tokens alone decide then."""
    segment = deliverer.segment([1, 2])
    deliverer.deliver(segment)
    store.client().command("TRUNCATE TABLE events")
    sent = []
    real = delivery.insert_block

    def insert(store, token, block):
        sent.append(token)
        real(store, token, block)

    monkeypatch.setattr(delivery, "insert_block", insert)
    deliverer.deliver(segment)
    assert sent == []
    monkeypatch.setattr(plan, "boot_id", lambda: "another")
    deliverer.deliver(segment)
    found = read_plan(segment.file.plan_path)
    assert found is not None
    assert sent == [token for token, _ in found[0].blocks]


def test_versions_do_not_mix_within_a_segment(deliverer, store, monkeypatch, caplog):
    """Another version that would divide the rows differently leaves the segment to the one that began, and says so."""
    half_done, other = deliverer.segment([1, 2]), deliverer.segment([3])
    real, left = delivery.insert_block, [1]

    def insert(*arguments):
        if left.pop() == 0:
            raise SystemExit  # a kill
        left.append(0)
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "insert_block", insert)
        with pytest.raises(SystemExit):
            deliverer.deliver(half_done)

    def upgraded(*how):
        processed = process_sampled(*how)
        return replace(processed, blocks=[processed.blocks[0], *processed.blocks])

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "code_version", lambda: "later")
        patch.setattr(delivery, "process_sampled", upgraded)
        assert deliverer.deliver(half_done).stored == {}
    assert "stored in part by another version" in caplog.text
    assert not half_done.file.path.exists()
    assert len(deliverer.kept()) == 2, "the segment and its plan"
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "code_version", lambda: "later")
        deliverer.deliver(other)

    for name in deliverer.kept():
        path = half_done.file.path.parent / "quarantine" / name
        path.rename(half_done.file.path.parent / name)
    deliverer.deliver(half_done)
    check_books(store, [1, 2, 3])


def test_another_version_that_makes_the_same_rows_finishes(deliverer, store, monkeypatch):
    """An upgrade that changes nothing for a waiting segment delivers it."""
    segment = deliverer.segment([1, 2])
    deliverer.deliver(segment)
    monkeypatch.setattr(delivery, "code_version", lambda: "later")
    deliverer.deliver(segment)
    check_books(store, [1, 2])
    assert deliverer.quarantine.count == 0


def test_a_record_damaged_in_between_does_not_hold_up_the_rest(deliverer, store):
    """The same code may find fewer rows than it began with: what is left is delivered under the same tokens."""
    segment = deliverer.segment([1, 2], [3])
    requests, entries = segment.contents
    damaged = Segment(segment.file, (requests[:1], entries))
    write_plan(segment.file.plan_path, Plan(plan.code_version(), tuple(plan_of(segment))))
    deliverer.deliver(damaged)
    check_books(store, [1, 2])


def plan_of(segment):
    requests, entries = segment.contents
    for number, block in enumerate(process(requests, entries)):
        yield f"{segment.file.id}/{block.table}/{number}", block.rows


def test_a_plan_cut_off_at_any_byte_counts_as_none(tmp_path):
    """Nothing was inserted before the plan was whole; behind it marks count, one a block."""
    path = tmp_path / "a.plan"
    written = Plan("code", (("t/0", 3), ("u/1", 4)), b"what\nwas..chosen")
    assert read_plan(path) is None
    write_plan(path, written)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert read_plan(path) is None
    path.write_bytes(whole)
    for count in range(3):
        assert read_plan(path) == (written, count)
        mark_inserted(path)


def test_a_poisoned_request_harms_nobody_else(deliverer, store, poison, caplog):
    """It is kept as it came and counted as rejected; its neighbours are stored, and a repeat doubles nothing."""
    segment = deliverer.segment(
        *([10 * i, 10 * i + 1] for i in range(9)),
        entries=[Entry(NOW // 10**9 // 60 * 60, Signal.LOGS, b"", "Rejected", 5, 50)],
    )
    bad = (40).to_bytes(8, "big")
    poison.append(b"\x12\x08" + bad)
    for _ in range(2):
        delivered = deliverer.deliver(segment)
        assert delivered.rejected == {Signal.TRACES: 2}
        assert delivered.stored == {Signal.TRACES: 16}
    good = [10 * i + j for i in range(9) for j in range(2) if i != 4]
    check_books(store, good, rejected=7)
    (name,) = deliverer.kept()
    assert (deliverer._directory / "quarantine" / name).read_bytes() == request([40, 41])
    assert "cannot be processed; it is kept as" in caplog.text


def test_all_poisoned(deliverer, store, poison):
    """A segment of nothing else is counted and done with."""
    poison.append(b"")
    deliverer.deliver(deliverer.segment([1], [2], [3]))
    check_books(store, [], rejected=3)
    assert len(deliverer.kept()) == 3


def test_a_lack_of_memory_divides_nothing(deliverer, store, monkeypatch):
    """It is no request's fault and may pass: a repeat must not send the same rows under other tokens."""
    segment = deliverer.segment([1, 2], [3])
    deliverer.deliver(segment)
    failures = [MemoryError(), OSError("no"), MemoryError()]

    def short(requests, *how):
        if failures:
            raise failures.pop()
        return process_sampled(requests, *how)

    monkeypatch.setattr(delivery, "process_sampled", short)
    deliverer.deliver(segment)
    assert failures == []
    check_books(store, [1, 2, 3])
    assert deliverer.quarantine.count == 0


def test_a_quarantine_that_cannot_be_written_is_waited_for(deliverer, store, poison, monkeypatch):
    """A full disk loses no poisoned request either: it is tried again until it is kept."""
    poison.append(b"\x12\x08" + (2).to_bytes(8, "big"))
    real, failures = Quarantine.keep, [OSError("full")] * 3

    def keep(self, name, data):
        if failures:
            raise failures.pop()
        return real(self, name, data)

    monkeypatch.setattr(Quarantine, "keep", keep)
    deliverer.deliver(deliverer.segment([1], [2], [3]))
    check_books(store, [1, 3], rejected=1)
    assert len(deliverer.kept()) == 1


def test_a_block_that_is_never_taken_is_put_aside(deliverer, store, monkeypatch, caplog):
    """The engine finds its bytes wrong: they are kept, the other tables have their rows."""

    def spoiled(requests, *how):
        processed = process_sampled(requests, *how)
        blocks = [
            Block(b.table, b.rows, (b.data[:-3],) if b.table == "events" else b.pieces)
            for b in processed.blocks
        ]
        return replace(processed, blocks=blocks)

    monkeypatch.setattr(delivery, "process_sampled", spoiled)
    deliverer.deliver(deliverer.segment([1, 2]))
    assert store.client().query(COUNT_EVENTS).result_rows == [(0,)]
    assert ledger(store)["Stored"] == 2
    assert "the rows are kept as" in caplog.text
    assert len(deliverer.kept()) == 1


def test_a_refused_block_is_in_the_ledger(deliverer, store, monkeypatch):
    """Rows that the store never takes are rejected in their minute and service, once, and the ledger closes."""

    def spoiled(requests, *how):
        processed = process_sampled(requests, *how)
        blocks = [
            replace(b, pieces=(b.data[:-3],)) if b.table == "otel_traces" else b
            for b in processed.blocks
        ]
        return replace(processed, blocks=blocks)

    monkeypatch.setattr(delivery, "process_sampled", spoiled)
    segment = deliverer.segment([1, 2], [3])
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "mark_inserted", _kill)
        with pytest.raises(SystemExit):
            deliverer.deliver(segment)
    delivered = deliverer.deliver(segment)
    assert (delivered.stored[Signal.TRACES], delivered.rejected[Signal.TRACES]) == (0, 3)
    rows = store.client().query(
        "SELECT ServiceName, toUnixTimestamp(Time), sum(Received), sum(Stored), sum(Rejected) FROM ledger GROUP BY ALL"
    )
    assert rows.result_rows == [("shop", NOW // 60_000_000_000 * 60, 3, 0, 3)]
    assert store.client().query("SELECT sum(Calls) FROM usage_minute").result_rows == [(3,)]


def test_a_long_pause_ends_when_there_is_little_time_left(deliverer, store, monkeypatch):
    """Whoever stops does not wait out the pause after a failure: what has healed meanwhile is tried at once."""
    monkeypatch.setattr(Delivery, "_pauses", lambda _: itertools.repeat(600.0))
    real, failed, healed = delivery.insert_block, threading.Event(), threading.Event()

    def insert(*arguments):
        if not healed.is_set():
            failed.set()
            raise Retryable("no room")
        real(*arguments)

    monkeypatch.setattr(delivery, "insert_block", insert)
    waiting = Delivery(store, deliverer.quarantine, retry_s=0.001)
    thread = threading.Thread(target=waiting.deliver, args=(deliverer.segment([1, 2]),))
    thread.start()
    assert failed.wait(60)
    healed.set()
    waiting.hasten()
    thread.join(60)
    assert not thread.is_alive()
    check_books(store, [1, 2])


def test_a_missing_table_is_waited_for(deliverer, store, monkeypatch):
    """A person can make it: meanwhile nothing is thrown away, and nothing doubled then."""
    client = store.client()
    client.command("RENAME TABLE events TO away")
    attempts = []

    def wait(self, pause_s, error):
        attempts.append(pause_s)
        if len(attempts) == 3:
            client.command("RENAME TABLE away TO events")

    monkeypatch.setattr(Delivery, "_wait", wait)
    deliverer.deliver(deliverer.segment([1, 2]))
    assert attempts == [0.001, 0.002, 0.004], "each pause twice as long"
    check_books(store, [1, 2])
    assert deliverer.quarantine.count == 0


def test_a_segment_that_cannot_be_read_is_put_aside(deliverer, store, monkeypatch, caplog):
    """A disk that gives errors for one segment does not hold up the next one."""
    segment = Segment(deliverer.segment([1]).file, None)
    failures = []

    def load(self, quarantine):
        failures.append(1)
        raise OSError("input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "load", load)
        deliverer.deliver(segment)
    assert len(failures) == 5
    assert not segment.file.path.exists()
    assert len(deliverer.kept()) == 1
    assert "input/output error" in caplog.text


def test_stopping_ends_the_waiting(deliverer, store):
    """A delivery under way finishes what works and gives up what does not."""
    segment = deliverer.segment([1])
    stopped = Delivery(store, deliverer.quarantine, retry_s=60)
    stopped.stop()
    stopped.deliver(deliverer.segment([2]))
    store.client().command("RENAME TABLE events TO away")
    with pytest.raises(Retryable):
        stopped.deliver(segment)
    store.client().command("RENAME TABLE away TO events")
    deliverer.deliver(segment)
    check_books(store, [1, 2])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Code: 252. DB::Exception: Too many partitions for single INSERT block", Permanent),
        ("Code: 252. DB::Exception: Too many parts (300 with average size of 1 MiB)", Retryable),
        ("Received ClickHouse exception, code: 117, server response: x", Permanent),
        ("Code: 33. DB::Exception: Cannot read all data", Permanent),
        ("Code: 60. DB::Exception: Table x does not exist", Retryable),
        ("Code: 81. DB::Exception: Database x does not exist", Retryable),
        ("Code: 107. DB::Exception: File /tmp/x doesn't exist", Retryable),
        ("Code: 241. DB::Exception: Memory limit (total) exceeded", Retryable),
        ("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space", Retryable),
        ("Code: 242. DB::Exception: Table is in readonly mode", Retryable),
        ("Code: 516. DB::Exception: Authentication failed", Retryable),
        ("HTTP driver exception: Connection refused", Retryable),
    ],
)
def test_what_may_heal_is_told_from_what_never_will(said, expected):
    """ClickHouse's answers, by whether the same rows can ever be taken."""
    assert type(writer._classify(Block("t", 1, ()), DatabaseError(said))) is expected


def test_a_store_that_cannot_be_opened_is_waited_for():
    """Also the very first connection of the thread may fail."""

    class Away:
        embedded = False

        def client(self):
            raise StoreError("cannot use ClickHouse")

    with pytest.raises(Retryable):
        writer.insert_block(Away(), "token", Block("t", 1, ()))


def test_settings_that_change_before_a_repeat(deliverer, store, monkeypatch):
    """A segment that was begun is finished by the rules of its plan; with another key it is put aside whole."""
    segment, locked = deliverer.segment(range(1, 21)), deliverer.segment([31], [32])
    counting = replace(RULES, dimensions=(("where", ("service.name",)),))
    hashing = replace(counting, identity=Identity(key=b"k" * 16))
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "insert_block", _kill)
        for rules, begun in ((counting, segment), (hashing, locked)):
            with pytest.raises(SystemExit):
                deliverer.deliver(begun, rules=rules)
    plain = replace(RULES, dimensions=(), identity=Identity(user=("other",)))
    deliverer.deliver(segment, rules=plain)
    users = store.client().query("SELECT DISTINCT UserId FROM events ORDER BY UserId").result_rows
    assert users == [(f"user {number}",) for number in range(7)]
    rows = "SELECT Dimension, Value, sum(Calls) FROM dimension_quarter GROUP BY ALL"
    assert store.client().query(rows).result_rows == [("where", "shop", 20)]
    deliverer.deliver(locked, rules=plain)
    assert f"{locked.file.path.name}" in deliverer.kept()
    assert (
        b"k" * 16
        not in (deliverer._directory / "quarantine" / locked.file.plan_path.name).read_bytes()
    )


def _kill(*_):
    raise SystemExit
