"""A tenant whose database hangs or fails keeps nobody else waiting."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from headgate.collector.errors import Retryable
from headgate.collector.tenants import Tenants
from headgate.store import StoreError


@dataclass
class Opened:
    """What stands for a pipeline: here nothing is asked of it but its name and to close."""

    database: str
    closed: threading.Event = field(default_factory=threading.Event)

    def close(self, _timeout_s: float) -> None:
        self.closed.set()


class Town:
    """Tenants of a store that hangs until it is told to go on; `begun` are the openings, `now_s` is the time."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go_on = threading.Event()
        self.fails = False
        self.now_s = 100.0
        made: Any = Tenants(Opened("own"), self._open, monotonic_s=lambda: self.now_s)
        self.tenants: Tenants = made

    def _open(self, tenant: str) -> Any:
        self.begun.append(tenant)
        self.go_on.wait(30)
        if self.fails:
            raise StoreError("no such disk")
        return Opened(tenant)


@pytest.fixture
def town():
    made = Town()
    yield made
    made.go_on.set()


def test_an_opening_is_waited_for_by_everybody_for_a_while(town):
    """From its begin on: the first waits, those who come late are told at once; then it is there."""
    with pytest.raises(Retryable, match="takes long"):
        town.tenants.pipeline("acme", patience_s=0.05)
    town.now_s += 60
    for _ in range(100):
        with pytest.raises(Retryable, match="takes long"):
            town.tenants.pipeline("acme")
    assert town.begun == ["acme"]
    assert town.tenants.known("acme") is None
    assert len(town.tenants.all()) == 1, "who asks how all are does not wait"
    assert town.tenants.pipeline("") is town.tenants.own
    town.go_on.set()
    found = town.tenants.pipeline("acme", patience_s=None)
    assert found.database == "acme"
    assert town.tenants.pipeline("acme") is found is town.tenants.known("acme")
    assert town.begun == ["acme"]


def test_what_cannot_be_opened_is_tried_again(town):
    """By the next request, and not before."""
    town.fails = True
    town.go_on.set()
    for tries in (1, 2):
        with pytest.raises(Retryable, match="cannot be opened now"):
            town.tenants.pipeline("acme", patience_s=None)
        assert len(town.begun) == tries
    town.fails = False
    assert town.tenants.pipeline("acme", patience_s=None).database == "acme"


def test_a_stop_does_not_wait_for_an_opening(town):
    """What is open is closed, and so is what opens later."""
    with pytest.raises(Retryable):
        town.tenants.pipeline("acme", patience_s=0.0)
    opening, _ = town.tenants._openings["acme"]
    town.tenants.close(1.0)
    assert town.tenants.own.closed.is_set()
    with pytest.raises(Retryable, match="stopping"):
        town.tenants.pipeline("other")
    town.go_on.set()
    with pytest.raises(Retryable, match="stopping"):
        opening.result(30)
