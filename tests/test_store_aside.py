"""Calls beside each other: they run at the same time, none waits for a thread, and none outlives the asking."""

from __future__ import annotations

import subprocess
import sys
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


def beside() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("headgate-store")]


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
        assert len({call() for call in begun.values()}) == THREADS


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


ENDING = """
import sys, threading, time
from functools import partial
from headgate.store.aside import Aside

aside = Aside()

def ask():
    threading.main_thread().join()
    time.sleep(0.05)
    with aside.begun({number: partial(pow, number, 2) for number in range(4)}) as begun:
        print(*(call() for call in begun.values()))

with aside.begun({"first": str}) as begun:
    begun["first"]()
threading.Thread(target=ask).start()
"""


def test_calls_are_made_when_the_program_is_ending() -> None:
    """A thread that asks after the main thread has ended gets its answers: it makes them itself."""
    ran = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["0", "1", "4", "9"]


def test_a_sibling_that_is_closed_leaves_threads_to_others(store: Store) -> None:
    """Only the store that threads were made for ends them."""
    with store.aside.begun({"one": threading.get_ident}) as begun:
        begun["one"]()
    store.sibling("other").close()
    assert beside()


def test_a_store_that_is_closed_has_no_threads(store: Store) -> None:
    """The handles of other threads go with the store, and it can be used again."""
    for _ in range(2):
        run("trend", store, now=datetime(2026, 11, 20, tzinfo=UTC))
        assert beside()
        store.close()
        assert not beside()
