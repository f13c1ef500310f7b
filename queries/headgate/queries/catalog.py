"""The reports there are: found in the folders of `headgate.queries.reports`, so that adding one is adding a folder."""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from headgate.queries.errors import UnknownReport, guess
from headgate.queries.source import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headgate.queries.declaration import Report

_RELATION = re.compile(r"\{(\w+):Identifier\}")
_SHARED = re.compile(r"\{(\w+):With\}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A report by its name: its declaration and its queries, SQL text by query name."""

    name: str
    report: Report
    queries: Mapping[str, str]

    @property
    def relations(self) -> frozenset[str]:
        """The relations its queries read."""
        return relations_of(self.queries.values())


def relations_of(statements: Iterable[str]) -> frozenset[str]:
    """Return the relations that statements read."""
    return frozenset(found for text in statements for found in _RELATION.findall(text))


def names() -> list[str]:
    """Return the names of all reports, sorted."""
    folders = files("headgate.queries").joinpath("reports").iterdir()
    return sorted(f.name for f in folders if f.is_dir() and f.joinpath("__init__.py").is_file())


@functools.cache
def entry(name: str) -> Entry:
    """Return a report by its name; raises UnknownReport, with the names there are."""
    known = names()
    if name not in known:
        raise UnknownReport(f"there is no report {name!r}{guess(name, known)}")
    package = f"headgate.queries.reports.{name}"
    report: Report = importlib.import_module(package).REPORT
    queries = {
        file.name.removesuffix(".sql"): _statement(package, file.name)
        for file in files(package).iterdir()
        if file.name.endswith(".sql")
    }
    for borrowed in report.borrows:
        lender, query = borrowed.split(".")
        queries[query] = _statement(f"headgate.queries.reports.{lender}", f"{query}.sql")
    return Entry(name, report, queries)


def _statement(package: str, file: str) -> str:
    """Return a statement, with what its WITH clause shares with others (`{name:With}`) from `sources/`."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    while _SHARED.search(text):
        text = _SHARED.sub(lambda found: sql(found[1]).rstrip(), text)
    return text
