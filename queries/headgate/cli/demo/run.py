"""One run of the demo: collector, shop, customers, progress, reports, and all of it ended again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from headgate.cli.children import HEADGATE, ChildFailed, Children
from headgate.cli.demo.progress import Moment, Progress
from headgate.cli.demo.shop import Shop, load_so_far
from headgate.store.server import server_client

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import httpx
    from rich.console import Console

    from headgate.cli.children import Child
    from headgate.cli.ending import Stop

REFRESH_S = 0.5
SETTLE_S = 8.0
"""How long the last telemetry may take from the shop to the store, before the reports are asked."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does; `work` is for logs and the shop's databases, `data` for the collector."""

    shop: Path
    work: Path
    data: Path
    duration_s: float
    rate: float
    seed: int
    reports: tuple[str, ...]


def run(plan: Plan, environ: Mapping[str, str], console: Console, stop: Stop) -> None:
    """Run the demo to its end; raises ChildFailed or Interrupted with no process left behind."""
    with Children(plan.work, stop) as children:
        say = partial(console.print, soft_wrap=True, highlight=False)
        say("Starting the collector; the first time, its kernels are compiled.")
        with console.status(""):
            collector, addresses = children.start_collector(plan.data)
        say(
            f"It listens on {addresses['otlp_grpc']} (OTLP/gRPC) and {addresses['otlp_http']}"
            " (OTLP/HTTP). Opening the shop."
        )
        shop = Shop(plan.shop, plan.work, environ)
        with console.status(""):
            shop.open(children, addresses, plan.seed)
        say("Two services run under opentelemetry-instrument. Customers come; Ctrl-C ends it all.")
        customers = shop.admit(children, plan.rate, plan.duration_s, plan.seed)
        with (
            Progress(console) as progress,
            server_client(addresses) as api,
        ):
            while customers.running():
                children.check()
                progress.show(_moment(plan, customers, api))
                stop.sleep(REFRESH_S)
            children.check()
            shop.close(children)
            progress.show(_settled(plan, customers, api, stop), last=True)
        for name in plan.reports:
            console.print()
            code = children.run((*HEADGATE, "report", name, "--data", str(plan.data)))
            if code:
                raise ChildFailed(f"the report {name} failed (exit code {code})")
        children.finish(collector)


def _moment(plan: Plan, customers: Child, api: httpx.Client) -> Moment:
    status: dict[str, Any] = api.get("/api/status").raise_for_status().json()
    counts = (status["received"], status["stored"], status["rejected"])
    return Moment(plan.duration_s, load_so_far(customers), *counts)


def _settled(plan: Plan, customers: Child, api: httpx.Client, stop: Stop) -> Moment:
    """Return the last moment: when all that was received is stored, or waiting longer is no use."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        moment = _moment(plan, customers, api)
        done = sum(moment.stored.values()) + sum(moment.rejected.values())
        if done >= sum(moment.received.values()) or time.monotonic() > deadline:
            return moment
        stop.sleep(REFRESH_S)
