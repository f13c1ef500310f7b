"""Shared fixtures: one embedded engine a test process, a fresh database a test.

The embedded engine allows one path per process, so every test that needs it in-process shares
`engine_path`; tests that need an engine of their own start a subprocess.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from headgate.collector.warmup import compiled, warm_up
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.store import Store

# Strategies, the slow twin and the block reader are modules that several tests import.
sys.path.insert(0, str(Path(__file__).parent))

# A busy machine must not make a test fail.
settings.register_profile("headgate", deadline=None)
settings.load_profile("headgate")

_number = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _kernels() -> None:
    """Compile once before servers are started, which would say that they do."""
    if not compiled():
        warm_up()


@pytest.fixture(scope="session")
def engine_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the directory of the engine that this process shares, held open until the end."""
    path = tmp_path_factory.mktemp("engine")
    keeper = embedded_store(path, "default")
    keeper.client()
    yield path
    keeper.close()


@pytest.fixture
def empty_store(engine_path: Path) -> Iterator[Store]:
    """Yield a database of its own name without any table; dropped afterwards."""
    store = embedded_store(engine_path, f"test_{next(_number)}")
    store.create_database()
    yield store
    store.client().command(f"DROP DATABASE IF EXISTS `{store.database}` SYNC")
    store.close()


@pytest.fixture
def store(empty_store: Store) -> Store:
    """Return a database with the whole schema and no rows (about 0.2 s); dropped afterwards."""
    migrate(empty_store)
    # Rows of fixed dates must not expire while a test looks at them.
    empty_store.client().command("SYSTEM STOP TTL MERGES")
    return empty_store
