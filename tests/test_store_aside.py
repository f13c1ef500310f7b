"""Calls beside each other: they run at the same time, none waits for a thread, and none outlives the asking."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from headgate.queries import run
from headgate.store.aside import THREADS, Aside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.store import Store

SOON_S = 20


@pytest.fixture
def aside() -> Iterator[Aside]:
    made = Aside()
    yield made
    made.close()


def test_calls_run_at_the_same_time(aside: Aside) -> None:
    """Two calls and the caller meet at one barrier."""
    meet = threading.Barrier(THREADS + 1)
    calls = {number: partial(meet.wait, SOON_S) for number in range(THREADS)}
    with aside.begun(calls) as begun:
        meet.wait(SOON_S)
        assert sorted(call() for call in begun.values()) != [0] * THREADS


def test_no_call_waits_for_a_thread(aside: Aside) -> None:
    """While all threads are busy whoever wants a result makes the call."""
    go = threading.Event()
    busy = {number: partial(go.wait, SOON_S) for number in range(THREADS)}
    with aside.begun(busy) as waiting:
        with aside.begun({"mine": threading.get_ident}) as begun:
            assert begun["mine"]() == threading.get_ident()
        go.set()
        assert all(call() for call in waiting.values())


def test_calls_may_begin_calls(aside: Aside) -> None:
    """More calls than threads, each beginning as many: all are made, and none waits for ever."""

    def several(number: int) -> int:
        inner = {n: partial(int, n) for n in range(number, number + 5)}
        with aside.begun(inner) as begun:
            return sum(call() for call in begun.values())

    with aside.begun({n: partial(several, n) for n in range(20)}) as begun:
        assert [call() for call in begun.values()] == [5 * n + 10 for n in range(20)]


def test_what_a_call_raises_is_raised_where_its_result_is_wanted(aside: Aside) -> None:
    """The error of one call is the caller's, and the other's result is still there."""
    calls = {"wrong": partial(int, "x"), "right": partial(int, "7")}
    with aside.begun(calls) as begun:
        with pytest.raises(ValueError, match="'x'"):
            begun["wrong"]()
        assert begun["right"]() == 7


def test_nothing_runs_afterwards(aside: Aside) -> None:
    """An asking that fails ends when the calls that run have ended, and those that do not run never do."""
    running, go = threading.Barrier(THREADS + 1), threading.Event()
    done: list[str] = []

    def slow() -> None:
        running.wait(SOON_S)
        go.wait(SOON_S)
        done.append("slow")

    calls = dict.fromkeys(("one", "other"), slow) | {"later": partial(done.append, "later")}

    def fail() -> None:
        with aside.begun(calls):
            running.wait(SOON_S)
            threading.Timer(0.05, go.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert done == ["slow"] * THREADS


def test_a_store_that_is_closed_has_no_threads(store: Store) -> None:
    """The handles of other threads go with the store, and it can be used again."""

    def beside() -> list[str]:
        return [t.name for t in threading.enumerate() if t.name.startswith("headgate-store")]

    for _ in range(2):
        run("trend", store, now=datetime(2026, 11, 20, tzinfo=UTC))
        assert beside()
        store.close()
        assert not beside()
