"""The audit log: who did what to what, when, how many rows it touched and how long it took."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headgate.store.client import Store

_NOTE = """
INSERT INTO audit (Time, Actor, Action, Object, Rows, DurationMs, Detail) VALUES (
    parseDateTime64BestEffort({at:String}, 3, 'UTC'), {actor:String}, {action:String}, {object:String},
    {rows:UInt64}, {ms:Float64}, {detail:String})
"""


def note(
    store: Store,
    *,
    now: datetime,
    actor: str,
    action: str,
    object_: str,
    rows: int = 0,
    duration_ms: float = 0.0,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write a line; `action` is a verb with its subject ("sampling.set"), `object_` what it was done to.

    `now` is aware.
    """
    store.client().command(
        _NOTE,
        parameters={
            "at": now.isoformat(timespec="milliseconds"),
            "actor": actor,
            "action": action,
            "object": object_,
            "rows": rows,
            "ms": duration_ms,
            "detail": json.dumps(detail or {}, sort_keys=True),
        },
        settings={"insert_deduplication_token": uuid.uuid4().hex},
    )
