"""`headgate warmup`: compile the collector's kernels ahead of time, for an image or before a first start."""

from __future__ import annotations

import time

import typer
from rich.console import Console


def warmup() -> None:
    """Compile what the collector computes with, so that the first start need not.

    It takes about half a minute, once for each version of Headgate, Numba and kind of processor. What was compiled is
    kept in $HEADGATE_KERNEL_CACHE, else in the user's cache directory.
    """
    console = Console(stderr=True)
    with console.status("compiling"):
        began = time.perf_counter()
        from headgate.collector.kernel import CACHE_DIRECTORY
        from headgate.collector.warmup import warm_up

        warm_up()
    if CACHE_DIRECTORY is None:
        typer.echo(
            "compiled, but there is no directory to keep it in; set HEADGATE_KERNEL_CACHE to one that can be written",
            err=True,
        )
        raise typer.Exit(1)
    typer.echo(f"ready after {time.perf_counter() - began:.1f} s, kept in {CACHE_DIRECTORY}")
