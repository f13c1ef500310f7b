"""Connections never take the files that the journal and the engine need."""

from __future__ import annotations

import resource

import pytest

from headgate.collector.descriptors import connections_each

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "each"),
    [
        (1024, 524_288, 12_544, 4096),  # what systemd gives
        (1024, UNLIMITED, 12_544, 4096),
        (20_000, 20_000, None, 4096),
        (UNLIMITED, UNLIMITED, None, 4096),
        (600, 1024, 1024, 256),
        (600, 600, None, 114),
        (100, 100, None, 16),
    ],
)
def test_what_is_left_is_shared(monkeypatch, soft, hard, raised, each):
    """The limit is raised as far as we may and want; three listeners share what is beyond our own 256."""
    set_to = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert connections_each() == each
    assert set_to == ([] if raised is None else [(raised, hard)])
