"""Documents: small things that people save, as versions of JSON that are never overwritten.

Every write carries a token of its own: the table recognises repeated blocks by their content otherwise, and saving A, B
and A again would lose the last A.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headgate.store.errors import StoreError
from headgate.store.watch import failed_writes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headgate.store.client import Store

_COLUMNS = "Name, Version, SavedAt, SavedBy, Body"
_LATEST = f"""
SELECT {_COLUMNS} FROM
(
    SELECT * FROM document WHERE Kind = {{kind:String}}
    ORDER BY Version DESC, SavedAt DESC LIMIT 1 BY Name
)
WHERE NOT Deleted ORDER BY Name
"""
_VERSIONS = f"""
SELECT {_COLUMNS} FROM document
WHERE Kind = {{kind:String}} AND Name = {{name:String}} AND NOT Deleted ORDER BY Version, SavedAt
"""
_SAVE = """
INSERT INTO document (Kind, Name, Version, SavedAt, SavedBy, Deleted, Body)
SELECT {kind:String}, {name:String}, 1 + max(Version), parseDateTime64BestEffort({at:String}, 3, 'UTC'),
    {by:String}, {deleted:Bool}, {body:String}
FROM document WHERE Kind = {kind:String} AND Name = {name:String}
"""


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document; `saved_at` is UTC without a zone, as the store gives it."""

    name: str
    version: int
    saved_at: datetime
    saved_by: str
    body: dict[str, Any]


def documents(store: Store, kind: str) -> list[Document]:
    """Return the latest version of each document of a kind, by name."""
    rows = store.client().query(_LATEST, parameters={"kind": kind}).result_rows
    return [_document(row) for row in rows]


def document(store: Store, kind: str, name: str) -> Document | None:
    """Return the latest version of a document; None when there is none, or it was deleted."""
    return next((found for found in documents(store, kind) if found.name == name), None)


def versions(store: Store, kind: str, name: str) -> list[Document]:
    """Return every version that was saved, the oldest first."""
    rows = store.client().query(_VERSIONS, parameters={"kind": kind, "name": name}).result_rows
    return [_document(row) for row in rows]


def save(
    store: Store, kind: str, name: str, body: Mapping[str, Any], *, by: str, now: datetime
) -> None:
    """Save a new version; `now` is aware. Raises StoreError where the disk was full meanwhile."""
    _write(store, kind, name, json.dumps(body, sort_keys=True), by=by, now=now, deleted=False)


def delete(store: Store, kind: str, name: str, *, by: str, now: datetime) -> None:
    """Note that a document is gone; its versions stay."""
    _write(store, kind, name, "{}", by=by, now=now, deleted=True)


def _write(
    store: Store, kind: str, name: str, body: str, *, by: str, now: datetime, deleted: bool
) -> None:
    failed = failed_writes(store) if store.embedded else 0
    store.client().command(
        _SAVE,
        parameters={
            "kind": kind, "name": name, "body": body, "by": by, "deleted": deleted,
            "at": now.isoformat(timespec="milliseconds"),
        },
        settings={"insert_deduplication_token": uuid.uuid4().hex},
    )  # fmt: skip
    if store.embedded and failed_writes(store) != failed:
        raise StoreError(
            f"{kind} {name!r} may not have been saved, since the disk was full; make room on it and save again"
        )


def _document(row: Any) -> Document:
    name, version, saved_at, saved_by, body = row
    return Document(name, version, saved_at, saved_by, json.loads(body))
