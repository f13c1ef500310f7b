"""The namespace package stays one: no file of ours lies directly in any `headgate/`."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PORTIONS = sorted(
    path
    for path in ROOT.glob("*/headgate/*")
    if path.is_dir() and path.name != "__pycache__" and ROOT.joinpath(".venv") not in path.parents
)


def test_there_are_portions():
    """The layout is where this test looks for it."""
    assert {p.name for p in PORTIONS} >= {"collector", "store", "queries", "web", "cli"}


def test_no_file_directly_in_the_namespace():
    """An `__init__.py` there would hide every portion of the other roots."""
    files = [path for path in ROOT.glob("*/headgate/*") if path.is_file()]
    assert files == []


@pytest.mark.parametrize("portion", PORTIONS, ids=lambda path: path.name)
def test_portion_is_a_typed_package(portion):
    """Each portion imports, is a package of its own and carries its types."""
    assert importlib.import_module(f"headgate.{portion.name}").__doc__
    assert (portion / "__init__.py").is_file()
    assert (portion / "py.typed").is_file()


def test_store_exports_what_it_says():
    """Every public name of the store is there, and the list is sorted and whole."""
    store = importlib.import_module("headgate.store")
    assert store.__all__ == sorted(
        store.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n)
    )
    for name in store.__all__:
        assert getattr(store, name).__doc__
