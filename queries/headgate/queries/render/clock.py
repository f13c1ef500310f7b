"""A document for people: its times by the clock of the time zone that was asked for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from headgate.queries.window import zone_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo


def local(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with its window and every field `..._at` in its time zone, as ISO 8601 with the offset."""
    if document["params"]["timezone"] == "UTC":
        return dict(document)
    zone = zone_of(document["params"]["timezone"])
    window = {name: _by_clock(moment, zone) for name, moment in document["window"].items()}
    moved = _moved({part: document[part] for part in ("generated_at", "summary", "rows")}, zone)
    return {**document, **moved, "window": window}


def _moved(value: Any, zone: ZoneInfo) -> Any:
    if isinstance(value, list):
        return [_moved(item, zone) for item in value]
    if isinstance(value, dict):
        return {
            name: _by_clock(item, zone)
            if name.endswith("_at") and isinstance(item, str)
            else _moved(item, zone)
            for name, item in value.items()
        }
    return value


def _by_clock(moment: str, zone: ZoneInfo) -> str:
    return datetime.fromisoformat(moment).astimezone(zone).isoformat()
