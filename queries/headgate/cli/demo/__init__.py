"""`headgate demo`: a real shop, watched by OpenTelemetry, counted by Headgate."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import headgate.cli
from headgate.cli.children import ChildFailed
from headgate.cli.demo.run import Plan, run
from headgate.cli.demo.shop import ShopMissing, find_shop
from headgate.cli.ending import INTERRUPTED, Interrupted, fail, stop_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["demo"]

REPORTS = ("usage", "performance", "errors")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Return seconds from `30s`, `1.5m`, `1h` or a bare number of seconds; raises ValueError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?", text)
    if not found or not float(found[1]):
        raise ValueError(f"--duration {text!r} is no duration; write 30s, 5m or 1h")
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def demo(
    *,
    duration: Annotated[
        str, typer.Option(metavar="TIME", help="How long customers come: 30s, 2m, 1h.")
    ] = "30s",
    rate: Annotated[
        float, typer.Option(help="Requests that they send in a second.", min=0.1, max=1000)
    ] = 20.0,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write to this data directory and keep it.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the temporary directory: data, logs, the shop's.")
    ] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Print no reports.")] = False,
    seed: Annotated[int, typer.Option(help="Which customers come, and what they do.")] = 1,
) -> None:
    """Watch real OpenTelemetry traffic being counted, then read reports of it.

    Starts a collector on free ports, a small web shop (examples/shop: two services that know
    nothing of Headgate, under opentelemetry-instrument), and customers who visit it. The shop has
    faults that are meant: the reports show them. All of it ends with the demo, also by Ctrl-C.
    """
    try:
        duration_s = parse_duration(duration)
    except ValueError as error:
        fail(str(error))
    console = Console()
    reports = () if no_report else REPORTS
    try:
        shop = find_shop(Path(headgate.cli.__file__).parent)
        with stop_on_signals() as stop, _directory(keep=keep) as work:
            plan = Plan(shop, work, data or work / "data", duration_s, rate, seed, reports)
            run(plan, os.environ, console, stop)
    except Interrupted:
        console.print("Stopped before the end; nothing is left running.")
        raise typer.Exit(INTERRUPTED) from None
    except (ShopMissing, ChildFailed) as error:
        fail(str(error))
    console.print()
    onwards = _onwards(plan, kept=keep or data is not None)
    console.print(onwards, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def _directory(*, keep: bool) -> Iterator[Path]:
    """Make a directory for the run, and remove it afterwards unless it is to be kept."""
    path = Path(tempfile.mkdtemp(prefix="headgate-demo-"))
    try:
        yield path
    finally:
        if not keep:
            shutil.rmtree(path)


def _onwards(plan: Plan, *, kept: bool) -> str:
    """Say how to look further."""
    if not kept:
        return (
            "The data is gone with the demo. To look further, keep it:\n"
            "  headgate demo --data demo-data\n"
            "  headgate report errors --data demo-data --service storefront"
        )
    return (
        f"The data is in {plan.data}. To look further:\n"
        f"  headgate reports\n"
        f"  headgate report errors --data {plan.data} --service storefront\n"
        f"  headgate report usage --data {plan.data} --where user.id=customer-03\n"
        f"  headgate serve --data {plan.data}"
    )
