"""What an attempt to deliver a segment starts from, and what has become of the segment's items."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.collector.decisions import Chosen, Decisions
    from headgate.collector.rules import Rules
    from headgate.collector.signals import Signal
    from headgate.collector.states import States


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a segment's items, by signal."""

    stored: Counter[Signal] = field(default_factory=Counter)
    rejected: Counter[Signal] = field(default_factory=Counter)
    sampled_out: Counter[Signal] = field(default_factory=Counter)


@dataclass(slots=True)
class Attempt:
    """One attempt at a segment, by `rules`: `earlier` is what its plan has chosen, the others grow part by part."""

    rules: Rules
    earlier: Decisions | None
    states: States | None
    delivered: Delivered = field(default_factory=Delivered)
    chosen: dict[str, Chosen] = field(default_factory=dict)
