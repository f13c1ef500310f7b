"""How a collector is: what it took, what became of it, what waits, how much memory that takes.

Received = stored + sampled out + rejected + duplicate + what waits: the ledger, since the start of the process; what an
earlier one received and this one stores is counted as stored only. Counters never go down.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.collector.pipeline import Pipeline
    from headgate.collector.refusals import Refusals
    from headgate.collector.room import Room

FATES = ("received", "stored", "sampled_out", "rejected", "duplicate")
_ADDED = (
    "backlog_bytes",
    "waiting_segments",
    "memory_bytes",
    "memory_limit_bytes",
    "resident_bytes",
    "quarantined",
    "broken_parts",
    "refused",
    "unauthorized",
    "forgotten_early",
)
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Vitals:
    """One look at a collector.

    `items` counts by fate and signal since the start, `quarantined` what was put aside, `broken_parts` what the
    embedded engine could not write whole, `refused` requests that were told to come again, `unauthorized` those without
    a valid token; neither are in a ledger. `forgotten_early` counts requests whose retry would not be recognised for
    the full time. `last_stored_ns` is when a segment was last stored, None before the first. `accepting` is False once
    it is told to stop. `resident_bytes` is 0 where the system does not tell.
    """

    now_ns: int
    uptime_s: float
    accepting: bool
    items: Mapping[str, Mapping[str, int]]
    backlog_bytes: int
    waiting_segments: int
    last_stored_ns: int | None
    memory_bytes: int
    memory_limit_bytes: int
    resident_bytes: int
    quarantined: int
    broken_parts: int
    refused: int
    unauthorized: int
    forgotten_early: int


def vitals(
    pipelines: Sequence[Pipeline],
    room: Room,
    refusals: Refusals,
    *,
    now_ns: int,
    uptime_s: float,
) -> Vitals:
    """Look at the pipelines of all tenants together."""
    stored = [p.last_stored_ns for p in pipelines if p.last_stored_ns is not None]
    return Vitals(
        now_ns=now_ns,
        uptime_s=uptime_s,
        accepting=all(p.accepting for p in pipelines),
        items={
            fate: {
                str(signal): sum(getattr(pipeline.books, fate)[signal] for pipeline in pipelines)
                for signal in Signal
            }
            for fate in FATES
        },
        backlog_bytes=sum(p.backlog_bytes for p in pipelines),
        waiting_segments=sum(p.waiting_segments for p in pipelines),
        last_stored_ns=max(stored, default=None),
        memory_bytes=room.used,
        memory_limit_bytes=room.limit_bytes,
        resident_bytes=_resident_bytes(),
        quarantined=sum(p.quarantine.count for p in pipelines),
        broken_parts=sum(p.broken_parts for p in pipelines),
        refused=refusals.for_now,
        unauthorized=refusals.unauthorized,
        forgotten_early=sum(p.forgotten_early for p in pipelines),
    )


def together(looks: Sequence[Vitals]) -> Vitals:
    """Return several collectors as one: counts and sizes added up, the latest time of storing, the longest life."""
    first = looks[0]
    stored = [look.last_stored_ns for look in looks if look.last_stored_ns is not None]
    return Vitals(
        now_ns=first.now_ns,
        uptime_s=max(look.uptime_s for look in looks),
        accepting=all(look.accepting for look in looks),
        items={
            fate: {signal: sum(look.items[fate][signal] for look in looks) for signal in counts}
            for fate, counts in first.items.items()
        },
        last_stored_ns=max(stored, default=None),
        **{name: sum(getattr(look, name) for look in looks) for name in _ADDED},
    )


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
