"""What the demo shows while it runs: a live table in a terminal, lines elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headgate.cli.demo.shop import Load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

LINE_S = 3.0
"""How often a line is written where there is no terminal."""

NAMES = {"traces": "spans", "logs": "log records", "metrics": "metric points"}


@dataclass(frozen=True, slots=True)
class Moment:
    """How far the demo is: what customers did, what the collector counted by signal."""

    duration_s: float
    load: Load = field(default_factory=Load)
    received: Mapping[str, int] = field(default_factory=dict)
    stored: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)


class Progress:
    """Shows moments on a console, as often as it can bear."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._line_due = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, moment: Moment, *, last: bool = False) -> None:
        """Show a moment; the last one is always written."""
        if self._live:
            self._live.update(table(moment), refresh=True)
        elif last or moment.load.elapsed_s >= self._line_due:
            self._line_due = moment.load.elapsed_s + LINE_S
            self._console.print(line(moment), highlight=False, soft_wrap=True)


def table(moment: Moment) -> Group:
    """Return a moment as a bar, a line about the customers and a table of what arrived."""
    bar = Table.grid(padding=(0, 1))
    done = min(moment.load.elapsed_s, moment.duration_s)
    bar.add_row(
        f"{done:4.0f} s",
        ProgressBar(total=moment.duration_s, completed=done, width=44),
        f"of {moment.duration_s:.0f} s",
    )
    counts = Table(box=None, padding=(0, 2), header_style="dim")
    counts.add_column("", width=13)
    for head in ("received", "stored", "rejected"):
        counts.add_column(head, justify="right", width=10)
    for signal, name in NAMES.items():
        row = (moment.received, moment.stored, moment.rejected)
        counts.add_row(name, *(f"{kind.get(signal, 0):,}" for kind in row))
    return Group(bar, Text(f"  {customers(moment)}"), counts)


def line(moment: Moment) -> str:
    """Return a moment as one line of text."""
    arrived = ", ".join(
        f"{moment.received.get(s, 0):,} {name} ({moment.stored.get(s, 0):,} stored)"
        for s, name in NAMES.items()
    )
    rejected = sum(moment.rejected.values())
    more = f"; {rejected:,} rejected" if rejected else ""
    return f"{moment.load.elapsed_s:4.0f} s: {customers(moment)}; received {arrived}{more}"


def customers(moment: Moment) -> str:
    """Say what the customers did: requests, their rate, and failures by status."""
    load = moment.load
    broken = {k: n for k, n in (load.statuses or {}).items() if k >= "500"}
    if load.unanswered:
        broken["no answer"] = load.unanswered
    how = f" ({', '.join(f'{k}: {n:,}' for k, n in broken.items())})" if broken else ""
    failed = sum(broken.values())
    rate = load.sent / load.elapsed_s if load.elapsed_s else 0.0
    return f"{load.sent:,} requests, {rate:.1f}/s, {failed:,} failed{how}"
