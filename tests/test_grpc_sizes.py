"""Room is made for what a connection is expected to send, and few are read of whom nothing is known."""

from __future__ import annotations

import pytest

from headgate.collector.errors import Retryable
from headgate.collector.grpc_sizes import ORDINARY_BYTES, Sizes

MIB = 1 << 20
LIMIT = 64 * MIB


def sizes(newcomers: int = 1, hurried: list[int] | None = None, at_once: int = 9) -> Sizes:
    said = [] if hurried is None else hurried
    return Sizes(LIMIT, newcomers, lambda: said.append(1), at_once=at_once, wait_s=0.01)


def test_a_connection_is_expected_to_send_what_it_sent():
    """The largest of its last messages, an ordinary one at least; a large one is forgotten by halves."""
    known = sizes()
    assert known.expected("a") == ORDINARY_BYTES
    known.learn("a", 40 * MIB)
    assert (known.expected("a"), known.expected("b")) == (40 * MIB, ORDINARY_BYTES)
    for expected in (20 * MIB, 10 * MIB, 5 * MIB):
        known.learn("a", 100)
        assert known.expected("a") == expected
    known.learn("a", LIMIT + 1)
    assert known.expected("a") == LIMIT


def test_new_connections_take_turns():
    """One at a time here: another is told to come again, and the slow one hurried; who is known does not wait."""
    hurried: list[int] = []
    known = sizes(hurried=hurried)
    known.learn("known", 100)
    with known.reading("a") as first:
        assert first
        with known.reading("known") as again:
            assert not again
        with pytest.raises(Retryable, match="too many new connections"), known.reading("b"):
            pass
        assert hurried == [1]
    with known.reading("b"):
        pass


def test_a_turn_ends_however_it_ends():
    """A message that never came holds no place."""
    known = sizes()
    with pytest.raises(ValueError, match="gone"), known.reading("a"):
        raise ValueError("gone")
    with known.reading("b"):
        pass


def test_a_connection_sends_so_many_at_once():
    """One more is told to come again, and takes nobody's place; others are not concerned."""
    known = sizes(at_once=2)
    known.learn("a", 100)
    known.learn("b", 100)
    with known.reading("a"):
        with known.reading("a"), known.reading("b"):
            with pytest.raises(Retryable, match="too many messages of one"), known.reading("a"):
                pass
            with known.reading("b"):
                pass
        with known.reading("a"):
            pass


def test_what_is_remembered_is_bounded(monkeypatch):
    """The connections that were silent for longest are forgotten first."""
    monkeypatch.setattr("headgate.collector.grpc_sizes._REMEMBERED", 2)
    known = sizes()
    for name in ("a", "b", "a", "c"):
        known.learn(name, 2 * MIB)
    assert [known.expected(name) for name in "abc"] == [2 * MIB, ORDINARY_BYTES, 2 * MIB]
