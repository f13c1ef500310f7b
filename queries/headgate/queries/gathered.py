"""A copy of the uses that a question is about, made once and read by all of its statements.

To find uses by their attributes means reading the attributes of every row, seconds for some millions, and again in each
statement of a report. So the uses that match are first copied into a temporary table in the store's memory, without
what no statement names. Temporary tables belong to a session: here a handle of the embedded engine, on a server a
session of this answer's own, which ends with what is in it should the `DROP` never arrive.

What is not copied is read as before: more rows than a copy may have, the third copy at the same time, a statement
that looks for attributes few uses have (the index of stored uses finds those), and whatever the store refuses.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.queries.source import RAW, sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from headgate.queries.source import Source
    from headgate.store import Store

_log = logging.getLogger(__name__)
MOST_ROWS = 4_000_000
"""Of at most so many uses a copy is made: some 250 MB, at 60 bytes each."""
MOST_WIDE_ROWS = 2_500_000
"""Likewise with their attributes: some 330 MB, at 130 bytes each."""
_AT_ONCE = threading.BoundedSemaphore(2)
_COLUMNS = (
    "Timestamp", "Kind", "ServiceName", "Operation", "Outcome", "Failed", "Duration", "UserId", "UserHash", "SessionId",
    "HasSession", "TraceId", "SpanId", "Value", "Attributes", "Resource", "ErrorType", "ErrorMessage", "ErrorStack",
    "Fingerprint",
)  # fmt: skip
_ALWAYS = ("Draw", "Weight")
_SUMMED = ("usage", "users")
_KEPT = "span_uses"
_GONE = ("UNKNOWN_TABLE", "SESSION_NOT_FOUND")


def reads_uses(source: Source, text: str) -> bool:
    """Return whether a statement reads rows that are derived from uses, which a copy can stand in for."""
    read = {source.relations.get(name) for name in _relations(text)}
    whole = {_KEPT} if "every_use" not in source.definitions else set()
    return bool(read & ({*RAW.values()} | whole))


@contextlib.contextmanager
def gathered(
    store: Store, source: Source, parameters: Mapping[str, Any], texts: Iterable[str]
) -> Iterator[Source]:
    """Yield the source with a copy in place of its uses for these statements, the source itself where there is none.

    `parameters` are those of the statements. The copy is gone afterwards.
    """
    asked = list(texts)
    worth = source.raw and len(asked) > 1
    if not worth or not _AT_ONCE.acquire(blocking=False):
        yield source
        return
    try:
        name = f"gathered_{uuid.uuid4().hex}"
        session = {"session_id": name}
        try:
            copied = _copied(store, source, parameters, asked, name)
            yield _reading(source, name) if copied else source
        finally:
            # With the session gone or the store out of reach there is nothing left to drop.
            with contextlib.suppress(ClickHouseError):
                store.client().command(f"DROP TEMPORARY TABLE IF EXISTS {name}", settings=session)
    finally:
        _AT_ONCE.release()


def is_gone(error: BaseException) -> bool:
    """Return whether a statement failed because its session is not known there, as behind a balancer of servers."""
    return any(reason in str(error.__cause__) for reason in _GONE)


def _relations(text: str) -> list[str]:
    return re.findall(r"\{(\w+):Identifier\}", text)


def _copied(
    store: Store, source: Source, parameters: Mapping[str, Any], texts: Sequence[str], name: str
) -> bool:
    """Copy what of the uses is named by the statements, or by what those read; return whether all uses are there."""
    text = " ".join(texts)
    text += "".join(sql(RAW[r]) for r in _relations(text) if r in _SUMMED)
    if source.provisional and "Fingerprint" in text:
        text += sql("raw_errors")
    named = [*_ALWAYS, *(column for column in _COLUMNS if re.search(rf"\b{column}\b", text))]
    most = MOST_WIDE_ROWS if "Attributes" in named else MOST_ROWS
    uses = source.statement(f"SELECT {', '.join(named)} FROM uses LIMIT {most + 1}")
    session = {"session_id": name}
    client = store.client()
    try:
        client.command(
            f"CREATE TEMPORARY TABLE {name} ENGINE = Memory SETTINGS compress = 1 AS\n{uses}",
            parameters=dict(parameters),
            settings=session,
        )
        rows = client.query(f"SELECT count() FROM {name}", settings=session).result_rows[0][0]
    except ClickHouseError as error:
        # No leave to make tables, no memory: rows themselves answer, or say what is wrong with the question.
        _log.info("each statement looks for the uses itself: %s", error)
        return False
    return int(rows) <= most


def _reading(source: Source, name: str) -> Source:
    copy = sql("gathered").replace("{gathered:Identifier}", name)
    made = source.defining(uses=copy)
    if "every_use" not in source.definitions:
        made = made.defining(**{_KEPT: "SELECT * FROM uses WHERE Kind = 'span'"})
    return replace(made, session=name)
