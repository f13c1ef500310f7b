"""A request that comes again is recognised: while it is under way, for ten minutes after, and across restarts."""

from __future__ import annotations

import os
from concurrent.futures import Future
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.collector.journal import SegmentFile
from headgate.collector.record import TRACES, Record, frame, pack
from headgate.collector.retransmission import REMEMBER_NS, Retransmissions, digest
from headgate.collector.signals import Signal

NOW = 1_790_000_000_000_000_000
A, B = b"a" * 16, b"b" * 16


@pytest.fixture
def known(tmp_path):
    return Retransmissions(tmp_path)


def restarted(known, now_ns):
    again = Retransmissions(known._directory)
    again.load(now_ns)
    return again


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_digest_tells_databases_signals_and_bodies_apart(one, other):
    """The same bytes have the same digest only for the same database and signal."""
    places = [
        ("a", Signal.TRACES),
        ("a", Signal.LOGS),
        ("b", Signal.TRACES),
        ("a\0traces", Signal.LOGS),
    ]
    found = [digest(database, signal, one) for database, signal in places]
    assert len(set(found)) == len(places)
    assert (digest("a", Signal.LOGS, one) == digest("a", Signal.LOGS, other)) == (one == other)


def test_a_retry_joins_the_original_under_way(known):
    """It gets the very outcome of the original, done or failed."""
    outcome: Future[None] = Future()
    assert known.find(A, NOW) is None
    known.begin(A, NOW, outcome)
    assert known.find(A, NOW + 1) is outcome
    assert known.find(B, NOW) is None


def test_an_accepted_request_answers_at_once(known):
    """Its retry finds an outcome that is done."""
    known.begin(A, NOW, Future())
    known.accepted(A, NOW)
    assert known.find(A, NOW).result(0) is None


def test_a_refused_request_may_come_again(known):
    """A failure forgets it: the retry is a new request."""
    known.begin(A, NOW, Future())
    known.failed(A)
    assert known.find(A, NOW) is None


def test_ten_minutes(known):
    """After ten minutes and no earlier it is new again."""
    known.accepted(A, NOW)
    assert known.find(A, NOW + REMEMBER_NS) is not None
    assert known.find(A, NOW + REMEMBER_NS + 1) is None


def test_what_is_old_takes_no_place(known):
    """A tenant that sends little holds what ten minutes take, not what the table can; the young stay."""
    for minute in range(60):
        known.begin(bytes([minute]) * 16, NOW + minute * 60 * 10**9, Future())
    assert len(known._known) == 11
    assert known.evicted_early == 0
    assert known.find(bytes([49]) * 16, NOW + 59 * 60 * 10**9) is not None


def test_a_clock_set_back_forgets_nothing(known):
    """Requests from a future that the clock left again are still known: in memory, and after a restart."""
    known.accepted(A, NOW)
    known.persist("one", [(NOW, A)], NOW)
    for back_ns in (1, REMEMBER_NS, 3600 * 10**9, 400 * 86400 * 10**9):
        assert known.find(A, NOW - back_ns) is not None
        assert restarted(known, NOW - back_ns).find(A, NOW - back_ns) is not None


def test_a_full_table_gives_up_the_oldest_and_counts_it(tmp_path):
    """The number of places is fixed however requests come in; only one given up before its time is counted."""
    known = Retransmissions(tmp_path, places=3)
    names = [bytes([i]) * 16 for i in range(6)]
    for number, name in enumerate(names[:4]):
        known.begin(name, NOW + number, Future())
        known.accepted(name, NOW + number)
    assert known.evicted_early == 1
    assert [known.find(name, NOW) is not None for name in names[:4]] == [False, True, True, True]
    known.accepted(names[4], NOW + 2 * REMEMBER_NS)
    assert known.evicted_early == 1, "that one was too old to matter"
    known.begin(names[2], NOW, Future())
    known.begin(names[5], NOW, Future())
    assert known.find(names[2], NOW) is not None, "what comes anew is the youngest"
    assert len(known._known) == 3


def test_digests_survive_restarts(known):
    """A second and a third process know what the first one logged, for ten minutes."""
    known.persist("one", [(NOW, A), (NOW + 5, B)], NOW)
    for later_ns in (0, 1, REMEMBER_NS):
        again = restarted(known, NOW + later_ns)
        assert again.find(A, NOW + later_ns) is not None
    assert restarted(known, NOW + REMEMBER_NS + 1).find(A, NOW + REMEMBER_NS + 1) is None
    assert restarted(known, NOW + REMEMBER_NS + 1).find(B, NOW + REMEMBER_NS + 1) is not None


def test_old_logs_are_removed(known, tmp_path):
    """The directory holds ten minutes of logs, also those of an earlier process, and no more."""
    minutes = [NOW + i * 60 * 10**9 for i in range(30)]
    for number, now_ns in enumerate(minutes[:15]):
        known.persist(f"{number:02}", [(now_ns, os.urandom(16))], now_ns)
    again = restarted(known, minutes[14])
    for number, now_ns in enumerate(minutes[15:], 15):
        again.persist(f"{number:02}", [(now_ns, os.urandom(16))], now_ns)
        again.persist("nothing", [], now_ns)
    left = sorted(path.stem for path in tmp_path.glob("*.digests"))
    assert left == [f"{number:02}" for number in range(19, 30)]


def test_a_torn_log_is_read_as_far_as_it_goes(known, tmp_path):
    """A crash in the middle of a log leaves whole entries; its segment is still there for the others."""
    known.persist("one", [(NOW, A), (NOW, B)], NOW)
    path = tmp_path / "one.digests"
    whole = path.read_bytes()
    counts = []
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        again = restarted(known, NOW)
        counts.append((again.find(A, NOW) is not None) + (again.find(B, NOW) is not None))
    assert counts[-1] == 2
    assert counts[24] == 1
    assert all(one <= two for one, two in pairwise(counts))


def test_a_segment_left_by_a_crash_is_recalled(known, tmp_path):
    """The requests of a segment are known before it is delivered, except what was torn off: that was never accepted."""
    segment = SegmentFile(tmp_path / f"1-{'ab' * 16}.journal", "ab" * 16)
    pieces = []
    for number, identity in enumerate((A, B)):
        payload = pack(Record(TRACES, NOW + number, 1, identity, b"body"))
        pieces.append(frame(segment.key, payload) + payload)
    segment.path.write_bytes(pieces[0] + pieces[1][:-1])
    segment.size = len(pieces[0] + pieces[1]) - 1
    known.recall(segment)
    assert known.find(A, NOW) is not None
    assert known.find(B, NOW) is None


def test_a_segment_that_cannot_be_read_stops_nothing(known, tmp_path, caplog):
    """Its digests are unknown, and the log says so."""
    known.recall(SegmentFile(tmp_path / f"1-{'ab' * 16}.journal", "ab" * 16, 1))
    assert "will not be noticed" in caplog.text
