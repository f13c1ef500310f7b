"""`headgate sampling simulate`: what would be kept of recorded or synthetic traffic, and the error bars that follow."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headgate.cli.rules import rules_of
from headgate.cli.settings import load
from headgate.queries.render.readable import readable
from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headgate.cli.simulation import Outcome, Stratum
    from headgate.collector.policy import Policy
    from headgate.collector.process import Request
    from headgate.collector.rules import Rules

WIDTH = 80
_SHOWN = 20


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"


def simulate(
    *,
    from_: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Files of OTLP, as `headgate import` takes; may be repeated."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Synthetic traffic instead: requests a minute.", min=1.0)
    ] = None,
    duration: Annotated[
        str, typer.Option(help="How long the synthetic traffic lasts: 90s, 5m, 1h.")
    ] = "5m",
    operations: Annotated[
        int, typer.Option(help="Operations of the synthetic traffic.", min=1, max=100_000)
    ] = 40,
    errors: Annotated[
        float, typer.Option(help="Share of its requests that fail.", min=0.0, max=1.0)
    ] = 0.02,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic traffic.", min=0)] = 1,
    low: Annotated[float | None, typer.Option(help="Try this `low` for traces.")] = None,
    high: Annotated[float | None, typer.Option(help="Try this `high`.")] = None,
    share: Annotated[float | None, typer.Option(help="Try this `rate` of the settings.")] = None,
    rows: Annotated[float | None, typer.Option(help="Try this budget of rows.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file (YAML) whose `sampling` is used.")
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="table for people, json for programs.")
    ] = Format.table,
) -> None:
    """Show what would be kept of traffic, by stratum, and how sure counts of what is kept would be.

    Nothing is stored. What is recorded in files is taken to arrive when it ended.
    """
    if bool(from_) == (rate is not None):
        raise StoreError("give either --from FILE or --rate REQUESTS, for instance --rate 50000")
    tried = {"low": low, "high": high, "rate": share, "rows": rows}
    changes = {name: value for name, value in tried.items() if value is not None}
    try:
        settings = load({}, config, os.environ)
        policy = settings.sampling.policy().overridden({"traces": changes})
    except ValueError as error:
        raise StoreError(str(error)) from error
    if from_:
        outcomes = _of_files(from_, policy, rules_of(settings))
    else:
        outcomes = _of_traffic(policy, rate or 0.0, duration, operations, errors, seed)
    if format_ is Format.json:
        sys.stdout.write(json.dumps(_document(outcomes, policy), indent=2) + "\n")
        return
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    for signal, outcome in outcomes.items():
        console.print(_table(signal, outcome))
        console.print(_summary(outcome))


def _of_files(files: Sequence[Path], policy: Policy, rules: Rules) -> dict[str, Outcome]:
    from headgate.cli.simulation import recorded
    from headgate.collector.errors import Malformed

    try:
        requests = sorted(_requests(files), key=lambda request: request.arrival_ns)
    except (OSError, Malformed) as error:
        raise StoreError(f"cannot read the traffic: {error}") from error
    found = {str(signal): outcome for signal, outcome in recorded(requests, policy, rules).items()}
    if not found:
        raise StoreError("there are no spans and no unnamed log records in these files")
    return found


def _requests(files: Sequence[Path]) -> Iterator[Request]:
    """Yield the requests of files that sampling is about, each at the time of its last item."""
    from headgate.collector.otlp_file import Damage, items, read
    from headgate.collector.otlp_json import REQUESTS
    from headgate.collector.process import Request
    from headgate.collector.signals import Signal

    names = {
        Signal.TRACES: ("end_time_unix_nano", "start_time_unix_nano"),
        Signal.LOGS: ("observed_time_unix_nano", "time_unix_nano"),
    }
    for path in files:
        for found in read(path, None):
            if isinstance(found, Damage):
                sys.stderr.write(f"headgate: {path}, {found.place}: {found.problem}; left out\n")
            elif found.signal in names:
                message = REQUESTS[found.signal].FromString(found.body)
                times = [
                    next(filter(None, (getattr(item, n) for n in names[found.signal])), 0)
                    for item in items(found.signal, message)
                ]
                if times:
                    yield Request(found.signal, found.body, len(times), max(times))


def _of_traffic(
    policy: Policy, rate: float, duration: str, operations: int, errors: float, seed: int
) -> dict[str, Outcome]:
    from headgate.cli.demo import parse_duration
    from headgate.cli.simulation import Traffic, synthetic
    from headgate.collector.sampler import State

    try:
        traffic = Traffic(rate, parse_duration(duration), operations, errors, seed=seed)
    except ValueError as error:
        raise StoreError(str(error)) from error
    return {"traces": synthetic(traffic, policy.traces, State.new(seed))}


def _document(outcomes: Mapping[str, Outcome], policy: Policy) -> dict[str, Any]:
    return {
        "budgets": policy.budgets(),
        "signals": {
            signal: {
                "requests_a_minute": outcome.busiest,
                "probability": outcome.least,
                "rows": outcome.rows,
                "rows_kept": outcome.rows_kept,
                "rows_dropped_by_rule": outcome.dropped,
                "total": _line(outcome.total),
                "strata": [_line(stratum) for stratum in _ordered(outcome)],
            }
            for signal, outcome in outcomes.items()
        },
    }


def _line(stratum: Stratum) -> dict[str, Any]:
    name = json.loads(stratum.name) if stratum.name else []
    return asdict(stratum) | {"name": name, "relative_error_95": stratum.error}


def _ordered(outcome: Outcome) -> list[Stratum]:
    return sorted(outcome.strata.values(), key=lambda s: (-s.requests, s.name))


def _table(signal: str, outcome: Outcome) -> Table:
    table = Table(title=f"What would be kept of {signal}", title_justify="left", box=None)
    table.add_column("stratum", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("requests", "kept", "share", "count ± 95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    strata = _ordered(outcome)
    for stratum in strata[:_SHOWN]:
        _row(table, " · ".join(json.loads(stratum.name)), stratum)
    if len(strata) > _SHOWN:
        others = strata[_SHOWN:]
        table.add_row(
            f"{len(others)} others",
            f"{sum(s.requests for s in others):,}",
            f"{sum(s.expected for s in others):,.0f}",
            f"{sum(s.expected for s in others) / sum(s.requests for s in others):.1%}",
            f"at most {max(s.error for s in others):.1%}",
        )
    table.add_section()
    _row(table, "all", outcome.total)
    return table


def _row(table: Table, name: str, stratum: Stratum) -> None:
    table.add_row(
        Text(readable(name)),
        f"{stratum.requests:,}",
        f"{stratum.expected:,.0f}",
        f"{stratum.expected / stratum.requests:.1%}",
        "exact" if not stratum.variance else f"± {stratum.error:.1%}",
    )


def _summary(outcome: Outcome) -> str:
    dropped = f", {outcome.dropped:,} of them dropped by rules" if outcome.dropped else ""
    return (
        f"At most {outcome.busiest:,.0f} requests a minute, kept with probability {outcome.least:.1%}"
        f" then; {outcome.rows_kept:,} of {outcome.rows:,} rows kept{dropped}."
        " Rollups, and every report that reads them, stay exact.\n"
    )
