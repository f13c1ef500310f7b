"""A segment is divided for processing and inserted whole: as many parts, and the same rows, as without portions."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spans import NOW, check_books, request

from headgate.collector import delivery, portion
from headgate.collector.block import Block
from headgate.collector.delivery import Delivery
from headgate.collector.journal import SegmentFile
from headgate.collector.ledger import Entry
from headgate.collector.portion import MOST_TOGETHER, joined, portions
from headgate.collector.process import Request, process_sampled
from headgate.collector.quarantine import Quarantine
from headgate.collector.rules import NS_PER_DAY, Rules
from headgate.collector.segment import Segment
from headgate.collector.signals import Signal

PARTS = "SELECT table, count() FROM system.parts WHERE database = currentDatabase() GROUP BY table"


@settings(max_examples=200)
@given(st.lists(st.integers(0, 9000), max_size=60), st.integers(1, 20_000))
def test_portions_are_the_requests(sizes, limit):
    """Every request is in one portion, in its order; beside its first it has no more bytes than allowed."""
    requests = [Request(Signal.TRACES, bytes(size), 1, NOW) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portion, "PORTION_BYTES", limit)
        found = portions(requests)
    assert [one for some in found for one in some] == requests
    assert all(found) or found == [[]]
    for some in found:
        assert sum(len(one.body) for one in some[1:]) <= limit


BLOCKS = st.lists(
    st.tuples(st.sampled_from(("a", "b", "ledger")), st.integers(1, 400), st.booleans()),
    max_size=60,
)


@settings(max_examples=200)
@given(BLOCKS)
def test_joined_blocks_hold_all_rows(drawn):
    """Of each table the same bytes, rows and refusals come in the same order; the ledger is last; limits are kept."""
    blocks = [
        Block(
            table, size, (os.urandom(size),), None,
            (lambda n=n: [Entry(n, Signal.TRACES, b"", "Rejected", 1, 1)]) if told else None,
        )
        for n, (table, size, told) in enumerate(drawn)
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portion, "MOST_BYTES", 1000)
        found = joined(blocks)
    for table in ("a", "b", "ledger"):
        before = [b for b in blocks if b.table == table]
        after = [b for b in found if b.table == table]
        assert b"".join(b.data for b in after) == b"".join(b.data for b in before)
        assert sum(b.rows for b in after) == sum(b.rows for b in before)
        refused = [
            [entry for b in bs if b.refused for entry in b.refused()] for bs in (before, after)
        ]
        assert refused[0] == refused[1]
        assert all(len(b.pieces) <= MOST_TOGETHER and b.size <= 1000 for b in after)
    behind = [b.table for b in found if any(c.table == "ledger" for c in found[: found.index(b)])]
    assert set(behind) <= {"ledger"}


@pytest.fixture
def segment(tmp_path, monkeypatch):
    """Make a segment of forty requests that is processed in several portions."""
    requests = [
        Request(Signal.TRACES, request([2 * i, 2 * i + 1], days=3), 2, NOW) for i in range(40)
    ]
    monkeypatch.setattr(portion, "PORTION_BYTES", sum(len(one.body) for one in requests) // 4 + 1)
    assert len(portions(requests)) == 4
    identity = os.urandom(16).hex()
    path = tmp_path / f"{NOW}-{identity}.journal"
    path.write_bytes(b"segment")
    return Segment(SegmentFile(path, identity, 7), (requests, []))


def deliver(store, tmp_path, segment):
    rules = Rules(oldest_ns=120 * NS_PER_DAY)
    return Delivery(store, Quarantine(tmp_path / "quarantine"), None, rules).deliver(segment)


def test_portions_are_inserted_as_one(store, tmp_path, segment):
    """Each table gets one part a partition, however many portions there are, and counts what came."""
    store.client().command("SYSTEM STOP MERGES")
    assert deliver(store, tmp_path, segment).stored == {Signal.TRACES: 80}
    check_books(store, range(80))
    parts = dict(store.client().query(PARTS).result_rows)
    assert parts["otel_traces"] == parts["events"] == parts["usage_minute"] == 3
    assert parts["user_seen"] == parts["ledger"] == 1


def test_a_kill_at_any_insert_doubles_nothing(store, tmp_path, segment, monkeypatch):
    """Killed before each insert in turn, and after it but before it is noted, every row is there once."""
    real, left = delivery.insert_block, [0]
    attempts = 0

    def insert(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise SystemExit  # a kill
        real(*arguments)

    def mark(path, blocks):
        if left[0] == 0:
            raise SystemExit  # a kill

    monkeypatch.setattr(delivery, "insert_block", insert)
    monkeypatch.setattr(delivery, "mark_inserted", mark)
    while True:
        left[0], attempts = attempts, attempts + 1
        try:
            deliver(store, tmp_path, segment)
            break
        except SystemExit:
            continue
    assert attempts > 6
    check_books(store, range(80))


def test_a_poisoned_request_leaves_its_portion(store, tmp_path, segment, monkeypatch):
    """What cannot be processed is put aside; the rest of its portion, and the others, are stored once."""
    mark = b"\x12\x08" + (40).to_bytes(8, "big")

    def processing(requests, *how):
        if any(mark in one.body for one in requests):
            raise IndexError("a defect")
        return process_sampled(requests, *how)

    monkeypatch.setattr(delivery, "process_sampled", processing)
    for _ in range(2):
        delivered = deliver(store, tmp_path, segment)
        assert delivered.rejected == {Signal.TRACES: 2}
    check_books(store, [n for n in range(80) if n not in {40, 41}], rejected=2)
